#include "net/stream.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/write.hpp>

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

Stream::Stream(tcp::socket socket) : plain_(std::move(socket)) {
  error_code ignored;
  plain_.native_non_blocking(true, ignored);
  plain_.set_option(tcp::no_delay(true), ignored);
}
Stream::~Stream() = default;
Stream::Stream(Stream&&) noexcept = default;

bool Stream::write_now(Pieces& pieces, error_code& failed) {
  if (tls_) return pieces.empty();
  while (!pieces.empty()) {
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = pieces.count();
    const ssize_t sent = ::sendmsg(plain_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
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

asio::awaitable<error_code> Stream::write_rest(Pieces pieces) {
  if (tls_) {
    while (!pieces.empty()) {
      const auto piece = asio::buffer(pieces.data()->iov_base, pieces.data()->iov_len);
      const auto [failed, bytes] = co_await asio::async_write(*tls_, piece, as_values);
      if (failed) co_return failed;
      pieces.consume(bytes);
    }
    co_return error_code();
  }
  error_code failed;
  while (!write_now(pieces, failed)) {
    const auto [waited] = co_await plain_.async_wait(tcp::socket::wait_write, as_values);
    if (waited) co_return waited;
  }
  co_return failed;
}

asio::awaitable<error_code> Stream::write(Pieces pieces) {
  error_code failed;
  if (!write_now(pieces, failed)) failed = co_await write_rest(pieces);
  co_return failed;
}

asio::awaitable<error_code> Stream::handshake_client(asio::ssl::context& context, std::string name) {
  tls_ = std::make_unique<Tls>(std::move(plain_), context);
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
  tls_ = std::make_unique<Tls>(std::move(plain_), context);
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
  socket().cancel(ignored);
}

void Stream::close() {
  error_code ignored;
  socket().close(ignored);
}

void Stream::reset() {
  error_code ignored;
  socket().set_option(asio::socket_base::linger(true, 0), ignored);
  socket().close(ignored);
}

void Stream::end_writing() {
  error_code ignored;
  socket().shutdown(tcp::socket::shutdown_send, ignored);
}

asio::awaitable<void> Stream::say_goodbye() {
  using namespace asio::experimental::awaitable_operators;
  if (!tls_) co_return;
  asio::steady_timer timer(executor(), std::chrono::seconds(1));
  co_await (tls_->async_shutdown(as_values) || timer.async_wait(as_values));
}

bool Stream::peer_closed() {
  if (!socket().is_open()) return true;
  pollfd waiting{socket().native_handle(), POLLRDHUP, 0};
  return ::poll(&waiting, 1, 0) > 0 && (waiting.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

bool Stream::quiet() {
  char byte = 0;
  const ssize_t got = ::recv(socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

}  // namespace vmproxy::net
