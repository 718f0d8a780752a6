// What one worker (an io_context and its thread) owns: its deadlines and its connections to each database.
// Lives in the io_context as a service and ends with it.
#pragma once

#include <memory>
#include <unordered_map>

#include "net/deadline_queue.h"
#include "net/poller.h"
#include "net/signal.h"
#include "net/upstream_pool.h"

namespace vmproxy::net {

class Worker final : public asio::execution_context::service {
 public:
  static inline asio::execution_context::id id;
  explicit Worker(asio::execution_context& context)
      : service(context),
        io(static_cast<asio::io_context&>(context)),
        deadlines(io),
        poller(io),
        signals(io),
        places(signals) {}

  WorkerPool& pool(Upstream& upstream);
  // Of any database, for another. False: all are in use.
  bool close_idle_connection();
  void forget_connections() { pools_.clear(); }

  asio::io_context& io;
  DeadlineQueue deadlines;
  Poller poller;
  SignalSet signals;
  UpstreamPlaces places;

 private:
  void shutdown() override {
    pools_.clear();
    poller.shutdown();
    signals.shutdown();
    pools_.clear();
  }
  std::unordered_map<uint64_t, std::unique_ptr<WorkerPool>> pools_;
};

inline Worker& worker_of(asio::io_context& io) {
  return asio::use_service<Worker>(io);
}

}  // namespace vmproxy::net
