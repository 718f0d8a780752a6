// LagTrend: whether the replica comes nearer while the application writes on, from how the lag and the number of applied changes
// moved in the last half minute. One thread notes, any thread asks.
#pragma once

#include <deque>
#include <mutex>
#include <optional>

#include "base/clock.h"

namespace vmproxy::proxy {

class LagTrend {
 public:
  struct Rates {
    double written =
        0;  // changes a second that came to be owed; those of a key that waits already count once with it
    double applied = 0;  // changes a second that the replica took
    // Until `lag` is gone at these rates; none: never.
    std::optional<double> seconds_left;
  };

  // `applied`: so many changes ever. `lag`: so many are owed now. More often than once a second is not kept.
  void note(TimePoint now, uint64_t applied, uint64_t lag);
  // Nothing yet before five seconds were noted.
  std::optional<Rates> rates() const;
  // What is noted from now on is of another replica.
  void forget();

 private:
  struct Sample {
    TimePoint at;
    uint64_t applied, lag;
  };
  mutable std::mutex mutex_;
  std::deque<Sample> samples_;  // one a second, half a minute of them
};

}  // namespace vmproxy::proxy
