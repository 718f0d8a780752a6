// Whoever waits has waited.
#pragma once

#include "base/clock.h"

namespace vmproxy::fuzz {

class HurriedClock final : public Clock {
 public:
  TimePoint now() const override { return now_; }
  WallTime wall() const override { return WallTime(std::chrono::hours(1)); }
  bool wait_until(std::unique_lock<std::mutex>&, std::condition_variable&, TimePoint deadline,
                  const std::function<bool()>& done) override {
    if (!done()) now_ = std::max(now_, deadline);
    return done();
  }

 private:
  TimePoint now_{std::chrono::hours(1)};
};

}  // namespace vmproxy::fuzz
