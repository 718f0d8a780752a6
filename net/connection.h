// Connection: one accepted connection, from its first byte to its close. It finds out which protocol is
// spoken and runs it. Lives on its worker.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <unordered_set>

#include "net/exchange.h"
#include "net/server.h"
#include "net/stream.h"
#include "net/tls.h"
#include "net/worker.h"

namespace vmproxy::net {

struct Listener {
  ListenOptions options;
  Handler handler;
  TlsContext tls;  // null: plain
};

class Connection;

// One worker's connections. The count is read by other threads.
struct ConnectionList {
  std::unordered_set<Connection*> all;
  std::atomic<size_t> count{0};
};

class Connection {
 public:
  Connection(Worker& worker, std::shared_ptr<const Listener> listener, ConnectionList& list, int fd);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  asio::awaitable<void> run();
  // No new requests after those that were begun.
  void drain();
  // Sends what is queued to the end, then waits shortly for the peer to close: a reset would destroy our last
  // answer.
  asio::awaitable<void> linger();

  Worker& worker;
  const std::shared_ptr<const Listener> listener;
  Stream stream;
  Buffer buffer;
  DeadlineTimer timer;
  std::function<void()> on_expired;  // set by the protocol; by default the connection closes
  std::function<void()> on_drain;
  bool draining = false;
  bool busy = true;  // false: waits for a request, may be closed

 private:
  ConnectionList& list_;
};

asio::awaitable<void> run_http1(Connection& connection);
asio::awaitable<void> run_http2(Connection& connection);

}  // namespace vmproxy::net
