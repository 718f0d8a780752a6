// Poller: readiness of a worker's plain sockets, edge-triggered. Asio 1.81 tries every read before it waits,
// which on a proxy's path is a wasted system call per read; here a wait costs none and resumes its coroutine
// directly. Asio sees one descriptor (the epoll set). Used on its worker only.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <memory>
#include <optional>
#include <unordered_set>
#include <vector>

#include "net/asio.h"

namespace vmproxy::net {

class Poller;

// One watched descriptor, owned here: it closes with this object.
class Watched {
 public:
  using Waiter = asio::async_result<asio::use_awaitable_t<>, void(bool)>::handler_type;

  Watched(Poller& poller, int fd);
  ~Watched();
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;

  int fd() const;
  int release();  // gives the descriptor away, unwatched
  bool open() const { return fd() >= 0; }
  // A short read or write says that there is nothing more until the next event.
  bool readable() const;
  void drained();
  // FIN or reset arrived, as of the last look.
  bool hung_up() const;

  // One waiter for each direction at a time. False after cancel() or close().
  asio::awaitable<bool> wait_readable();
  asio::awaitable<bool> wait_writable();
  void cancel();
  void close();

 private:
  friend class Poller;
  struct State;
  State* state_;
};

class Poller {
 public:
  explicit Poller(asio::io_context& io);
  ~Poller();
  // Destroys the coroutines that wait. No more after this.
  void shutdown();

 private:
  friend class Watched;
  void arm();
  int look();  // how many events were served

  asio::io_context& io_;
  int set_ = -1;
  asio::posix::stream_descriptor watch_;
  std::unordered_set<Watched::State*> states_;
  std::vector<std::unique_ptr<Watched::State>> gone_;  // freed after the events that may name them
  bool looking_ = false;
};

}  // namespace vmproxy::net
