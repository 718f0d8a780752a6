// Backoff: how long to wait before the same thing is tried again: doubling, jittered, bounded. One owner, one
// thread.
#pragma once

#include <algorithm>

#include "base/clock.h"
#include "base/random.h"

namespace vmproxy {

class Backoff {
 public:
  explicit Backoff(Random& random, Duration first = std::chrono::milliseconds(50),
                   Duration longest = std::chrono::seconds(5))
      : random_(random), first_(first), longest_(longest), next_(first) {}

  Duration next() {
    const Duration whole = next_;
    next_ = std::min(next_ * 2, longest_);
    return std::chrono::duration_cast<Duration>(whole * (0.5 + random_.unit() / 2));
  }
  void reset() { next_ = first_; }

 private:
  Random& random_;
  const Duration first_;
  const Duration longest_;
  Duration next_;
};

}  // namespace vmproxy
