#include "net/stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>

#include "net/worker.h"

namespace vmproxy::net {

void Pieces::consume(size_t bytes) {
  while (bytes > 0 && first_ < count_) {
    auto& piece = vectors_[first_];
    const size_t taken = std::min(bytes, piece.iov_len);
    piece.iov_base = static_cast<char*>(piece.iov_base) + taken;
    piece.iov_len -= taken;
    bytes -= taken;
    if (piece.iov_len == 0) ++first_;
  }
}

Stream::Stream(Worker& worker, int fd) : worker_(worker), plain_(worker.poller, fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}
Stream::~Stream() = default;

bool Stream::read_now(std::span<char> space, ReadResult& result) {
  if (tls_ || !plain_.readable()) return false;
  for (;;) {
    const ssize_t got = ::recv(plain_.fd(), space.data(), space.size(), MSG_DONTWAIT);
    if (got > 0) {
      if (static_cast<size_t>(got) < space.size()) plain_.drained();
      result = {error_code(), static_cast<size_t>(got)};
      return true;
    }
    if (got == 0) {
      result = {asio::error::eof, 0};
      return true;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      plain_.drained();
      return false;
    }
    result = {error_code(errno, boost::system::system_category()), 0};
    return true;
  }
}

asio::awaitable<Stream::ReadResult> Stream::read_some(std::span<char> space) {
  if (tls_) co_return co_await tls_->async_read_some(asio::buffer(space.data(), space.size()), as_values);
  ReadResult result;
  while (!read_now(space, result)) {
    if (!co_await plain_.wait_readable()) co_return ReadResult{asio::error::operation_aborted, 0};
  }
  co_return result;
}

bool Stream::write_now(Pieces& pieces, error_code& failed) {
  if (tls_) return pieces.empty();
  while (!pieces.empty()) {
    ssize_t sent = 0;
    if (pieces.count() == 1) {
      sent =
          ::send(plain_.fd(), pieces.data()->iov_base, pieces.data()->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
    } else {
      msghdr message{};
      message.msg_iov = pieces.data();
      message.msg_iovlen = pieces.count();
      sent = ::sendmsg(plain_.fd(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
      failed = error_code(errno, boost::system::system_category());
      return true;
    }
    pieces.consume(static_cast<size_t>(sent));
  }
  return true;
}

asio::awaitable<error_code> Stream::write_rest(Pieces& pieces) {
  if (tls_) {
    while (!pieces.empty()) {
      const auto piece = asio::buffer(pieces.data()->iov_base, pieces.data()->iov_len);
      const auto [failed, bytes] = co_await tls_->async_write_some(piece, as_values);
      if (failed) co_return failed;
      pieces.consume(bytes);
    }
    co_return error_code();
  }
  error_code failed;
  while (!write_now(pieces, failed)) {
    if (!co_await plain_.wait_writable()) co_return asio::error::operation_aborted;
  }
  co_return failed;
}

asio::awaitable<error_code> Stream::write(Pieces pieces) {
  error_code failed;
  if (!write_now(pieces, failed)) failed = co_await write_rest(pieces);
  co_return failed;
}

// Under TLS the socket is Asio's.
void Stream::begin_tls(asio::ssl::context& context) {
  tcp::socket socket(worker_.io);
  error_code ignored;
  socket.assign(tcp::v4(), plain_.release(), ignored);
  socket.native_non_blocking(true, ignored);
  tls_ = std::make_unique<Tls>(std::move(socket), context);
}

asio::awaitable<error_code> Stream::handshake_client(asio::ssl::context& context, std::string name) {
  begin_tls(context);
  error_code literal;
  asio::ip::make_address(name, literal);
  if (literal) SSL_set_tlsext_host_name(tls_->native_handle(), name.c_str());
  if ((SSL_CTX_get_verify_mode(context.native_handle()) & SSL_VERIFY_PEER) != 0) {
    tls_->set_verify_callback(asio::ssl::host_name_verification(name));
  }
  const auto [failed] = co_await tls_->async_handshake(asio::ssl::stream_base::client, as_values);
  co_return failed;
}

asio::awaitable<error_code> Stream::handshake_server(asio::ssl::context& context) {
  begin_tls(context);
  const auto [failed] = co_await tls_->async_handshake(asio::ssl::stream_base::server, as_values);
  co_return failed;
}

bool Stream::negotiated_http2() const {
  if (!tls_) return false;
  const unsigned char* name = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(tls_->native_handle(), &name, &length);
  return length == 2 && name[0] == 'h' && name[1] == '2';
}

void Stream::cancel() {
  error_code ignored;
  if (tls_) {
    tls_->next_layer().cancel(ignored);
  } else {
    plain_.cancel();
  }
}

void Stream::close() {
  error_code ignored;
  if (tls_) {
    tls_->next_layer().close(ignored);
  } else {
    plain_.close();
  }
}

void Stream::reset() {
  const linger at_once{1, 0};
  if (descriptor() >= 0) ::setsockopt(descriptor(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close();
}

void Stream::end_writing() {
  ::shutdown(descriptor(), SHUT_WR);
}

asio::awaitable<void> Stream::say_goodbye() {
  using namespace asio::experimental::awaitable_operators;
  if (!tls_) co_return;
  asio::steady_timer timer(worker_.io, std::chrono::seconds(1));
  co_await (tls_->async_shutdown(as_values) || timer.async_wait(as_values));
}

bool Stream::peer_closed() {
  const int fd = descriptor();
  if (fd < 0 || (!tls_ && plain_.hung_up())) return true;
  pollfd waiting{fd, POLLRDHUP, 0};
  return ::poll(&waiting, 1, 0) > 0 && (waiting.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

bool Stream::quiet(bool surely) {
  if (!tls_ && (plain_.readable() || plain_.hung_up())) surely = true;
  if (!surely && !tls_) return true;
  // What came with the last answer is not in the socket any more.
  if (tls_) {
    auto* const tls = tls_->native_handle();
    if (SSL_pending(tls) > 0 || BIO_ctrl_pending(SSL_get_rbio(tls)) > 0) return false;
  }
  char byte = 0;
  const ssize_t got = ::recv(descriptor(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

}  // namespace vmproxy::net
