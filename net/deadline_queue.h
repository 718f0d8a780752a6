// Deadlines of one worker's connections. Moving a deadline later costs nothing (the queue looks again when
// the old one passes), so that every request can have one. Used by one thread only.
#pragma once

#include <functional>
#include <map>

#include "base/clock.h"
#include "net/asio.h"

namespace vmproxy::net {

class DeadlineTimer;

class DeadlineQueue {
 public:
  explicit DeadlineQueue(asio::io_context& io) : timer_(io) {}

 private:
  friend class DeadlineTimer;
  using Entries = std::multimap<TimePoint, DeadlineTimer*>;
  void arm();
  void run();

  Entries entries_;
  asio::steady_timer timer_;
  TimePoint armed_ = TimePoint::max();
};

// Calls `expired` once when the deadline passes; it must outlive neither its queue nor its owner.
class DeadlineTimer {
 public:
  DeadlineTimer(DeadlineQueue& queue, std::function<void()> expired)
      : queue_(queue), expired_(std::move(expired)) {}
  ~DeadlineTimer() { remove(); }
  DeadlineTimer(const DeadlineTimer&) = delete;
  DeadlineTimer& operator=(const DeadlineTimer&) = delete;

  void set(TimePoint deadline);
  void clear() { deadline_ = TimePoint::max(); }
  TimePoint deadline() const { return deadline_; }

 private:
  friend class DeadlineQueue;
  void remove();

  DeadlineQueue& queue_;
  std::function<void()> expired_;
  TimePoint deadline_ = TimePoint::max();
  bool queued_ = false;
  DeadlineQueue::Entries::iterator entry_;
};

}  // namespace vmproxy::net
