// Meter: the rate of the last seconds, and from it the time that is left. Not thread-safe.
#pragma once

#include <cstdint>
#include <deque>

#include "base/clock.h"

namespace vmproxy::backfill {

class Meter {
 public:
  void begin(TimePoint now, uint64_t records);
  void sample(TimePoint now, uint64_t records);
  double rate(TimePoint now, uint64_t records) const;
  // -1: not known: before 1 % nothing honest can be said, nor while nothing moves.
  double eta_seconds(TimePoint now, uint64_t records, uint64_t total) const;

 private:
  static constexpr Duration window = std::chrono::seconds(15);
  static constexpr Duration step = std::chrono::milliseconds(250);

  struct Sample {
    TimePoint at;
    uint64_t records;
  };
  std::deque<Sample> samples_;  // at most window / step
};

}  // namespace vmproxy::backfill
