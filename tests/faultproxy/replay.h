// Replay: the second connection of a duplicate connect. It outlives the first one. One thread.
#pragma once

#include "link.h"
#include "net/asio.h"
#include "request_reader.h"

namespace vmproxy::faultproxy {

class Replay : public std::enable_shared_from_this<Replay> {
 public:
  // `connection` is the number of the first.
  Replay(net::asio::any_io_executor executor, std::shared_ptr<LinkState> link, Duplicate duplicate,
         uint64_t connection);

  // Call once, with the first byte: the time of `duplicate.after` begins.
  void start();
  // What the first connection sent; ignored once the replay has begun or the bound is reached.
  void add(std::string_view bytes);
  void close();

 private:
  static net::asio::awaitable<void> run(std::shared_ptr<Replay> self);

  std::shared_ptr<LinkState> link_;
  const Duplicate duplicate_;
  RequestReader reader_;
  net::tcp::socket socket_;
  net::asio::steady_timer timer_;
  std::string bytes_;  // at most duplicate_.bytes
  bool begun_ = false;
  bool closed_ = false;
};

}  // namespace vmproxy::faultproxy
