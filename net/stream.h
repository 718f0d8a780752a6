// Stream: one TCP connection, plain or under TLS. Non-blocking; writes that the socket takes at once need no
// await. Used on its worker only.
#pragma once

#include <sys/uio.h>

#include <array>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>

#include "net/asio.h"
#include "net/poller.h"

namespace vmproxy::net {

class Worker;

// Up to four pieces of memory to be written one after the other.
class Pieces {
 public:
  Pieces() = default;
  Pieces(std::initializer_list<std::string_view> pieces) {
    for (const auto piece : pieces) add(piece);
  }
  void add(std::string_view piece) {
    if (!piece.empty()) vectors_[count_++] = {const_cast<char*>(piece.data()), piece.size()};
  }
  bool empty() const { return first_ == count_; }
  void consume(size_t bytes);
  size_t bytes() const {
    size_t sum = 0;
    for (size_t i = first_; i < count_; ++i) sum += vectors_[i].iov_len;
    return sum;
  }
  iovec* data() { return &vectors_[first_]; }
  size_t count() const { return count_ - first_; }

 private:
  std::array<iovec, 4> vectors_{};
  size_t first_ = 0;
  size_t count_ = 0;
};

class Stream {
 public:
  using Tls = asio::ssl::stream<tcp::socket>;
  using ReadResult = std::tuple<error_code, size_t>;

  // Takes the descriptor.
  Stream(Worker& worker, int fd);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  bool encrypted() const { return tls_ != nullptr; }

  // Reads what is there. False: nothing yet (or TLS), await read_some(). asio::error::eof when the peer
  // closed.
  bool read_now(std::span<char> space, ReadResult& result);
  asio::awaitable<ReadResult> read_some(std::span<char> space);
  // Plain only: true when read_now() may succeed now, false after cancel() or close().
  asio::awaitable<bool> wait_readable() { return plain_.wait_readable(); }
  // Writes what the socket takes now and removes it from `pieces`. True when nothing is left or it failed.
  bool write_now(Pieces& pieces, error_code& failed);
  // Writes all that is left and removes it from `pieces`, also when it fails; under TLS a record at a time: one that
  // was cut is nothing to the peer.
  asio::awaitable<error_code> write_rest(Pieces& pieces);
  asio::awaitable<error_code> write(Pieces pieces);
  // Plain only, for a connect() that was begun.
  asio::awaitable<bool> wait_writable() { return plain_.wait_writable(); }

  // TLS from here on. The name is verified (unless the context does not verify) and sent as SNI.
  asio::awaitable<error_code> handshake_client(asio::ssl::context& context, std::string name);
  asio::awaitable<error_code> handshake_server(asio::ssl::context& context);
  bool negotiated_http2() const;

  void cancel();                        // pending reads and writes end with operation_aborted
  void close();                         // orderly, at once
  void reset();                         // with a TCP reset, so that the peer sees that something was cut
  void end_writing();                   // half-closes
  asio::awaitable<void> say_goodbye();  // TLS close_notify, within a second
  bool peer_closed();                   // FIN or reset arrived, even behind unread bytes
  // Idle and usable: no FIN, and no bytes that nobody asked for. `surely` asks the kernel, else as of the
  // last look.
  bool quiet(bool surely);

 private:
  int descriptor() { return tls_ ? tls_->next_layer().native_handle() : plain_.fd(); }
  void begin_tls(asio::ssl::context& context);

  Worker& worker_;
  Watched plain_;
  std::unique_ptr<Tls> tls_;
};

}  // namespace vmproxy::net
