#include "net/tls.h"

#include <openssl/ssl.h>

#include <cstring>

namespace vmproxy::net {
namespace {

using Context = boost::asio::ssl::context;
using boost::system::error_code;

// The client's order does not matter: HTTP/2 when it is offered.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_length, const unsigned char* offered,
                    unsigned length, void*) {
  for (const std::string_view wanted : {"h2", "http/1.1"}) {
    for (unsigned at = 0; at < length && at + 1 + offered[at] <= length; at += 1u + offered[at]) {
      if (offered[at] == wanted.size() && std::memcmp(offered + at + 1, wanted.data(), wanted.size()) == 0) {
        *out = offered + at + 1;
        *out_length = offered[at];
        return SSL_TLSEXT_ERR_OK;
      }
    }
  }
  return SSL_TLSEXT_ERR_NOACK;
}

TlsContext make_context(Context::method method) {
  auto context = std::make_shared<Context>(method);
  context->set_options(Context::default_workarounds | Context::no_sslv2 | Context::no_sslv3 |
                       Context::no_tlsv1 | Context::no_tlsv1_1 | Context::no_compression);
  SSL_CTX_set_mode(context->native_handle(), SSL_MODE_RELEASE_BUFFERS);
  // Renegotiation costs the server much and the client little.
  SSL_CTX_set_options(context->native_handle(), SSL_OP_NO_RENEGOTIATION);
  return context;
}

Error file_error(const char* what, const std::string& file, const error_code& failed) {
  return {Code::invalid, "tls: the " + std::string(what) + " in '" + file +
                             "' cannot be used: " + failed.message() +
                             ". Check that the file exists, is readable by this user and is PEM."};
}

}  // namespace

Result<TlsContext> server_tls(const TlsServerOptions& options) {
  auto context = make_context(Context::tls_server);
  error_code failed;
  context->use_certificate_chain_file(options.certificate_file, failed);
  if (failed) return file_error("certificate", options.certificate_file, failed);
  context->use_private_key_file(options.key_file, Context::pem, failed);
  if (failed) return file_error("key", options.key_file, failed);
  if (SSL_CTX_check_private_key(context->native_handle()) != 1) {
    return Error(Code::invalid, "tls: the key in '" + options.key_file +
                                    "' does not belong to the certificate in '" + options.certificate_file +
                                    "'.");
  }
  SSL_CTX_set_alpn_select_cb(context->native_handle(), choose_protocol, nullptr);
  return context;
}

Result<TlsContext> client_tls(const TlsClientOptions& options, ClientProtocol protocol) {
  auto context = make_context(Context::tls_client);
  error_code failed;
  if (options.insecure) {
    context->set_verify_mode(boost::asio::ssl::verify_none, failed);
  } else {
    context->set_verify_mode(boost::asio::ssl::verify_peer, failed);
    if (options.ca_file.empty()) {
      context->set_default_verify_paths(failed);
      if (failed) return file_error("system's certificates", "default paths", failed);
    } else {
      context->load_verify_file(options.ca_file, failed);
      if (failed) return file_error("certificate authority", options.ca_file, failed);
    }
  }
  const std::string_view offer =
      protocol == ClientProtocol::http2 ? std::string_view("\x02h2") : std::string_view("\x08http/1.1");
  SSL_CTX_set_alpn_protos(context->native_handle(), reinterpret_cast<const unsigned char*>(offer.data()),
                          static_cast<unsigned>(offer.size()));
  return context;
}

}  // namespace vmproxy::net
