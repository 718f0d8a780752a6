// OpenSSL contexts from options: TLS 1.2 and newer, verification on unless the user chose otherwise.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>

#include "base/error.h"
#include "net/server.h"
#include "net/upstream.h"

namespace vmproxy::net {

using TlsContext = std::shared_ptr<boost::asio::ssl::context>;

// Offers HTTP/2 and HTTP/1.1 by ALPN. An error names the file and what is wrong with it.
Result<TlsContext> server_tls(const TlsServerOptions& options);

// Which protocols the client asks for by ALPN.
enum class ClientProtocol { http1, http2 };
Result<TlsContext> client_tls(const TlsClientOptions& options, ClientProtocol protocol);

}  // namespace vmproxy::net
