// The model's time: it moves by half windows, and only where whatever must have ended by then has.
#pragma once

#include "base/clock.h"

namespace vmproxy::model_check {

inline constexpr Duration tick = std::chrono::seconds(10'000);
inline constexpr Duration window = 2 * tick;  // max_exec and max_zombie of both sides

// Waits end when the world says so: waited() is asked, and moves the clock a little.
class ModelClock final : public Clock {
 public:
  TimePoint now() const override { return now_; }
  WallTime wall() const override {
    return WallTime(std::chrono::duration_cast<WallTime::duration>(now_.time_since_epoch()));
  }
  bool wait_until(std::unique_lock<std::mutex>& lock, std::condition_variable&, TimePoint deadline,
                  const std::function<bool()>& done) override {
    while (!done() && now_ < deadline) {
      lock.unlock();
      waited(deadline);
      lock.lock();
    }
    return done();
  }
  void advance_to(TimePoint time) { now_ = std::max(now_, time); }

  std::function<void(TimePoint)> waited;

 private:
  TimePoint now_{std::chrono::hours(1000)};
};

}  // namespace vmproxy::model_check
