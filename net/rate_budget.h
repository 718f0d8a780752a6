// RateBudget: so many at once, and so many more in each second. What goes beyond is somebody's flood.
#pragma once

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace vmproxy::net {

class RateBudget {
 public:
  RateBudget(double burst, double per_second) : burst_(burst), per_second_(per_second), left_(burst) {}

  bool take() {
    const auto now = std::chrono::steady_clock::now();
    const std::chrono::duration<double> passed = now - std::exchange(since_, now);
    left_ = std::min(burst_, left_ + passed.count() * per_second_);
    if (left_ < 1) return false;
    --left_;
    return true;
  }
  void give() { left_ = std::min(burst_, left_ + 1); }

 private:
  const double burst_;
  const double per_second_;
  double left_;
  TimePoint since_ = std::chrono::steady_clock::now();
};

}  // namespace vmproxy::net
