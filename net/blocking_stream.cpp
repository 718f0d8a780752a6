#include "net/blocking_stream.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

namespace vmproxy::net {
namespace {

Error lost(const std::string& why) {
  return {Code::connection_lost, why};
}
std::string text_of(int number) {
  return boost::system::system_category().message(number);
}

std::string tls_reason() {
  const auto code = ERR_get_error();
  if (code == 0) return "the peer ended the TLS connection";
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : "TLS error " + std::to_string(code);
}

struct AddressList {
  addrinfo* first = nullptr;
  ~AddressList() {
    if (first != nullptr) ::freeaddrinfo(first);
  }
};

}  // namespace

Result<void> BlockingStream::wait(short events, Deadline deadline) const {
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    if (left <= 0) return Error(Code::timeout, "no answer before the deadline");
    pollfd waiting{fd_, events, 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::min<int64_t>(left, INT_MAX)));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return lost(text_of(errno));
  }
}

Result<std::unique_ptr<BlockingStream>> BlockingStream::connect(const UpstreamOptions& options,
                                                                const TlsContext& tls, Deadline deadline) {
  const std::string address = options.host + ":" + std::to_string(options.port);
  deadline = std::min(deadline, std::chrono::steady_clock::now() + options.connect_timeout);
  const auto refused = [&](const std::string& why) {
    return Error(Code::refused_connection,
                 "cannot connect to " + address + ": " + why +
                     ". Nothing was sent. Check that the database runs and that the address is right.");
  };
  AddressList found;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  if (const int failed =
          ::getaddrinfo(options.host.c_str(), std::to_string(options.port).c_str(), &hints, &found.first);
      failed != 0) {
    return refused(::gai_strerror(failed));
  }
  std::string why = "no address";
  for (const auto* entry = found.first; entry != nullptr; entry = entry->ai_next) {
    const int fd = ::socket(entry->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
      why = text_of(errno);
      continue;
    }
    std::unique_ptr<BlockingStream> stream(new BlockingStream(fd));
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (::connect(fd, entry->ai_addr, entry->ai_addrlen) != 0) {
      if (errno != EINPROGRESS) {
        why = text_of(errno);
        continue;
      }
      if (auto ready = stream->wait(POLLOUT, deadline); !ready) {
        why = ready.error().message;
        continue;
      }
      int failed = 0;
      socklen_t size = sizeof failed;
      ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size);
      if (failed != 0) {
        why = text_of(failed);
        continue;
      }
    }
    if (tls) {
      const auto& name = options.tls.server_name.empty() ? options.host : options.tls.server_name;
      if (auto safe = stream->handshake(tls, name, deadline); !safe) {
        return Error(Code::refused_connection,
                     "TLS with " + address + " as '" + name + "' failed: " + safe.error().message +
                         ". Nothing was sent. Check the certificate, tls.ca and tls.server_name.");
      }
    }
    return stream;
  }
  return refused(why);
}

BlockingStream::~BlockingStream() {
  if (tls_ != nullptr) {
    SSL_shutdown(tls_);
    SSL_free(tls_);
    ERR_clear_error();
  }
  ::close(fd_);
}

Result<void> BlockingStream::handshake(const TlsContext& tls, const std::string& name, Deadline deadline) {
  context_ = tls;
  tls_ = SSL_new(tls->native_handle());
  if (tls_ == nullptr || SSL_set_fd(tls_, fd_) != 1) return lost("no memory for TLS");
  in6_addr literal{};
  if (::inet_pton(AF_INET, name.c_str(), &literal) == 1 ||
      ::inet_pton(AF_INET6, name.c_str(), &literal) == 1) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls_), name.c_str());
  } else {
    SSL_set_tlsext_host_name(tls_, name.c_str());
    SSL_set1_host(tls_, name.c_str());
  }
  for (;;) {
    ERR_clear_error();
    const int done = SSL_connect(tls_);
    if (done == 1) return {};
    const long verified = SSL_get_verify_result(tls_);
    bool ended = false;
    if (auto ready = tls_wait(done, deadline, &ended); !ready) {
      return verified == X509_V_OK ? ready.error() : lost(X509_verify_cert_error_string(verified));
    }
    if (ended) return lost("the peer closed the connection");
  }
}

// After an SSL call that did not succeed: waits for what it wants.
Result<void> BlockingStream::tls_wait(int returned, Deadline deadline, bool* ended) const {
  switch (SSL_get_error(tls_, returned)) {
    case SSL_ERROR_WANT_READ: return wait(POLLIN, deadline);
    case SSL_ERROR_WANT_WRITE: return wait(POLLOUT, deadline);
    case SSL_ERROR_ZERO_RETURN: *ended = true; return {};
    default: return lost(tls_reason());
  }
}

Result<size_t> BlockingStream::read_some(std::span<char> space, Deadline deadline) {
  for (;;) {
    if (tls_ != nullptr) {
      ERR_clear_error();
      size_t bytes = 0;
      const int done = SSL_read_ex(tls_, space.data(), space.size(), &bytes);
      if (done == 1) return bytes;
      bool ended = false;
      if (auto ready = tls_wait(done, deadline, &ended); !ready) return ready.error();
      if (ended) return size_t{0};
      continue;
    }
    const ssize_t bytes = ::recv(fd_, space.data(), space.size(), 0);
    if (bytes >= 0) return static_cast<size_t>(bytes);
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return lost(text_of(errno));
    if (auto ready = wait(POLLIN, deadline); !ready) return ready.error();
  }
}

Result<void> BlockingStream::write(std::string_view bytes, Deadline deadline, size_t* sent) {
  while (!bytes.empty()) {
    size_t taken = 0;
    if (tls_ != nullptr) {
      ERR_clear_error();
      const int done = SSL_write_ex(tls_, bytes.data(), bytes.size(), &taken);
      if (done != 1) {
        bool ended = false;
        if (sent != nullptr) ++*sent;  // a part of a record may have left
        if (auto ready = tls_wait(done, deadline, &ended); !ready) return ready.error();
        if (ended) return lost("the peer closed the connection");
        continue;
      }
    } else {
      const ssize_t count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count < 0) {
        if (errno == EINTR) continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK) return lost(text_of(errno));
        if (auto ready = wait(POLLOUT, deadline); !ready) return ready.error();
        continue;
      }
      taken = static_cast<size_t>(count);
    }
    if (sent != nullptr) *sent += taken;
    bytes.remove_prefix(taken);
  }
  return {};
}

bool BlockingStream::quiet() const {
  if (tls_ != nullptr && SSL_pending(tls_) > 0) return false;
  char byte = 0;
  const ssize_t got = ::recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

bool BlockingStream::negotiated_http2() const {
  if (tls_ == nullptr) return false;
  const unsigned char* name = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(tls_, &name, &length);
  return length == 2 && std::memcmp(name, "h2", 2) == 0;
}

}  // namespace vmproxy::net
