// A clock for tests: time stands still until advance() moves it, which wakes every waiter. Thread-safe.
#pragma once

#include <set>

#include "base/clock.h"

namespace vmproxy {

class FakeClock final : public Clock {
 public:
  TimePoint now() const override {
    std::lock_guard hold(mutex_);
    return now_;
  }
  // Runs before the wall clock is read; what it throws whoever reads it meets. Set before other threads use the clock.
  std::function<void()> before_wall;
  WallTime wall() const override {
    if (before_wall) before_wall();
    std::lock_guard hold(mutex_);
    return WallTime(std::chrono::duration_cast<WallTime::duration>(now_.time_since_epoch()));
  }
  bool wait_until(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, TimePoint deadline,
                  const std::function<bool()>& done) override {
    {
      std::lock_guard hold(mutex_);
      waiting_.insert(&changed);
    }
    while (!done() && now() < deadline) {
      // The short real wait covers an advance() between the test above and the wait: no wake-up is lost.
      changed.wait_for(lock, std::chrono::milliseconds(1));
    }
    const bool result = done();
    std::lock_guard hold(mutex_);
    waiting_.erase(waiting_.find(&changed));
    return result;
  }
  void advance(Duration d) {
    std::lock_guard hold(mutex_);
    now_ += d;
    for (auto* changed : waiting_) changed->notify_all();
  }

 private:
  mutable std::mutex mutex_;
  TimePoint now_{std::chrono::hours(1)};
  std::multiset<std::condition_variable*> waiting_;
};

}  // namespace vmproxy
