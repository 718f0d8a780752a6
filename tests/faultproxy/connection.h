// Connection: one accepted connection, its connection to the upstream, and the bytes between them, as the link's
// faults say at the moment. One thread; kept alive by its own coroutines.
#pragma once

#include <deque>
#include <exception>

#include "link.h"
#include "net/asio.h"
#include "replay.h"
#include "request_reader.h"
#include "shaper.h"

namespace vmproxy::faultproxy {

// A bug of ours ends the program that tests with it, instead of a test that waits.
inline void rethrow(std::exception_ptr failed) {
  if (failed) std::rethrow_exception(failed);
}

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  // What one direction holds at most, besides the sockets' own buffers. When full, nothing more is read.
  static constexpr size_t queue_bytes_max = 256 * 1024;

  Connection(net::tcp::socket client, std::shared_ptr<LinkState> link, uint64_t number);

  void start();
  void faults_changed();
  // RST to both sides, now; or to the receiver now, and to the sender once it sends more, or after `last_words`.
  void reset();
  void reset(Direction direction);
  void half_close(Direction direction);  // the receiver sees an orderly end now; what was on its way is lost
  void close();                          // without saying so to anybody: the program ends

 private:
  enum class End { fin, reset };
  struct Piece {
    std::string bytes;
    size_t begin = 0;  // written up to here
    TimePoint due{};
    std::optional<End> end;  // then without bytes
  };
  struct Flow {
    Flow(net::tcp::socket& f, net::tcp::socket& t, Direction d, LinkState& link, uint64_t number);
    net::tcp::socket& from;
    net::tcp::socket& to;
    const Direction direction;
    const Faults& faults;
    Shaper shaper;
    std::deque<Piece> queue;
    size_t queued = 0;  // bytes
    bool source_ended = false;
    bool finished = false;  // nothing more is written; what still comes is thrown away
    TimePoint read_at{};
    net::asio::steady_timer reader;  // wakes the one coroutine that reads `from` ...
    net::asio::steady_timer writer;  // ... and the one that writes `to`
  };

  static net::asio::awaitable<void> run(std::shared_ptr<Connection> self);
  static net::asio::awaitable<void> read(std::shared_ptr<Connection> self, Flow& flow);
  static net::asio::awaitable<void> write(std::shared_ptr<Connection> self, Flow& flow);
  net::asio::awaitable<void> cut(Flow& flow);
  void arrived(Flow& flow, std::string_view bytes);
  void passed(Flow& flow, std::string_view bytes);
  void source_ended(Flow& flow, net::error_code why);
  void target_gone(Flow& flow);
  void end(Flow& flow, End how);
  void finish(Flow& flow);
  void end_in_order();
  void abort();
  void close_if_over();
  void narrow_windows();
  Flow& other(Flow& flow) { return &flow == &to_upstream_ ? to_client_ : to_upstream_; }

  std::shared_ptr<LinkState> link_;
  net::tcp::socket client_;
  net::tcp::socket upstream_;
  Flow to_upstream_;
  Flow to_client_;
  RequestReader arrived_;
  RequestReader passed_;
  const std::optional<Duplicate> duplicate_;
  std::shared_ptr<Replay> replay_;
  const uint64_t number_;
  net::asio::steady_timer waiting_;  // before the upstream is connected, and before the last close
  bool open_ = true;
  bool broken_ = false;      // a side took no more: its end is a RST
  bool half_reset_ = false;  // the receiver of one direction is gone
};

}  // namespace vmproxy::faultproxy
