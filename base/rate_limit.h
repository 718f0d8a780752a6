// RateLimit: how many per second may pass, paid afterwards: ask ready(), do the work, report spent(n). What
// was spent moves ready() on, so the average holds however large the portions are. Thread-safe.
#pragma once

#include <algorithm>
#include <mutex>

#include "base/clock.h"

namespace vmproxy {

class RateLimit {
 public:
  // 0: no bound.
  RateLimit(Clock& clock, double per_second) : clock_(clock), per_second_(per_second) {}

  void set(double per_second) {
    std::lock_guard hold(mutex_);
    const TimePoint now = clock_.now();
    // What is still owed is owed at the new rate.
    const double owed = per_second_ > 0 && ready_ > now ? seconds(ready_ - now) * per_second_ : 0;
    per_second_ = std::max(per_second, 0.0);
    ready_ = per_second_ > 0 ? now + of_seconds(owed / per_second_) : TimePoint{};
  }
  double per_second() const {
    std::lock_guard hold(mutex_);
    return per_second_;
  }
  // When the next portion may begin.
  TimePoint ready() const {
    std::lock_guard hold(mutex_);
    return ready_;
  }
  void spent(double n) {
    std::lock_guard hold(mutex_);
    if (per_second_ <= 0) return;
    ready_ = std::max(ready_, clock_.now()) + of_seconds(n / per_second_);
  }

 private:
  static double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }
  static Duration of_seconds(double s) {
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(std::min(s, 86400.0)));
  }

  Clock& clock_;
  mutable std::mutex mutex_;
  double per_second_;
  TimePoint ready_{};
};

}  // namespace vmproxy
