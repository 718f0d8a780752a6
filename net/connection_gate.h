// A bounded set of reusable connections for blocking clients: the caller waits for one until its deadline.
// Thread-safe.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>

#include "base/clock.h"

namespace vmproxy::net {

template <class Connection>
class ConnectionGate {
 public:
  explicit ConnectionGate(size_t connections_max) : free_(connections_max > 0 ? connections_max : 1) {}

  // A place among the connections; false when none became free in time.
  bool enter(Deadline deadline) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_until(lock, deadline, [this] { return free_ > 0; })) return false;
    --free_;
    return true;
  }
  void leave() {
    {
      std::lock_guard hold(mutex_);
      ++free_;
    }
    changed_.notify_one();
  }
  // The idle connection used last and not older than its time; or null.
  std::unique_ptr<Connection> take() {
    std::lock_guard hold(mutex_);
    const auto now = std::chrono::steady_clock::now();
    while (!idle_.empty() && idle_.front().first <= now) idle_.pop_front();
    if (idle_.empty()) return nullptr;
    auto connection = std::move(idle_.back().second);
    idle_.pop_back();
    return connection;
  }
  void put_back(std::unique_ptr<Connection> connection, Duration usable_for) {
    if (usable_for <= Duration{}) return;
    std::lock_guard hold(mutex_);
    idle_.emplace_back(std::chrono::steady_clock::now() + usable_for, std::move(connection));
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t free_;
  std::deque<std::pair<TimePoint, std::unique_ptr<Connection>>> idle_;  // bound: connections_max
};

}  // namespace vmproxy::net
