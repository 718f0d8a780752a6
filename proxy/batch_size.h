// BatchSize: how many entries one call to a side carries, so that it is answered well before its deadline. Whoever is slow, or far
// away, gets little at once: a call that ends unanswered has cost all of its time, may be executed all the same, and what it
// carried is owed again. Thread-safe.
#pragma once

#include <algorithm>
#include <mutex>

#include "base/clock.h"

namespace vmproxy::proxy {

class BatchSize {
 public:
  // `timeout`: how long a call may take.
  BatchSize(size_t max, Duration timeout) : max_(max), timeout_(timeout), now_(max) {}

  size_t now() const {
    std::lock_guard hold(mutex_);
    return now_;
  }
  // A call with so many ended after `took`. What may grow fast is far from what fails: others were silent perhaps, and will not be.
  void answered(size_t entries, Duration took) {
    size_t next = entries + 1;  // always: it may also be that each call takes that long, whatever it carries
    if (took < timeout_ / 32) {
      next = 2 * entries;
    } else if (took < timeout_ / 8) {
      next += entries / 8;
    }
    std::lock_guard hold(mutex_);
    now_ = std::min(max_, std::max(now_, next));
  }
  void failed(size_t entries, Duration took) {
    if (took < timeout_ / 8) return;  // not for its size
    std::lock_guard hold(mutex_);
    now_ = std::min(now_, std::max<size_t>(1, entries / 2));
  }

 private:
  const size_t max_;
  const Duration timeout_;
  mutable std::mutex mutex_;
  size_t now_;
};

}  // namespace vmproxy::proxy
