// ClockMutex: a mutex that nobody waits for beyond a deadline of the Clock, for what is held while a database is asked.
// For std::lock_guard, which waits however long, and std::unique_lock(mutex, deadline). Thread-safe.
#pragma once

#include <condition_variable>
#include <mutex>

#include "base/clock.h"

namespace vmproxy {

class ClockMutex {
 public:
  explicit ClockMutex(Clock& clock) : clock_(clock) {}

  void lock() {
    std::unique_lock hold(mutex_);
    free_.wait(hold, [this] { return !taken_; });
    taken_ = true;
  }
  // False, and not locked: the deadline came first.
  bool try_lock_until(Deadline deadline) {
    std::unique_lock hold(mutex_);
    if (!clock_.wait_until(hold, free_, deadline, [this] { return !taken_; })) return false;
    taken_ = true;
    return true;
  }
  void unlock() {
    {
      std::lock_guard hold(mutex_);
      taken_ = false;
    }
    free_.notify_one();
  }

 private:
  Clock& clock_;
  std::mutex mutex_;
  std::condition_variable free_;
  bool taken_ = false;
};

}  // namespace vmproxy
