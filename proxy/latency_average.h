// LatencyAverage: how long something takes lately, as a moving average over some twenty of them. Thread-safe, lock-free.
#pragma once

#include <atomic>
#include <chrono>

#include "base/clock.h"

namespace vmproxy::proxy {

class LatencyAverage {
 public:
  void observe(Duration took, TimePoint now) {
    const double seconds = std::chrono::duration<double>(took).count();
    double average = seconds_.load(std::memory_order_relaxed);
    double next = 0;
    do {
      next = average == 0 ? seconds : average + (seconds - average) / 20;
    } while (!seconds_.compare_exchange_weak(average, next, std::memory_order_relaxed));
    last_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
  }
  // 0: never observed.
  double seconds() const { return seconds_.load(std::memory_order_relaxed); }
  // 0: none within the last two seconds.
  double recent_seconds(TimePoint now) const {
    const TimePoint last{Duration(last_.load(std::memory_order_relaxed))};
    return now - last > std::chrono::seconds(2) ? 0 : seconds();
  }

 private:
  std::atomic<double> seconds_{0};
  std::atomic<Duration::rep> last_{0};
};

}  // namespace vmproxy::proxy
