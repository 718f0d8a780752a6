// Pacer: slows writes down, by a bounded time each, while a change of the primary is prepared and the replica falls behind
// or gains so little that it would not be level soon (C7: only bounded latency; users.md 8: no cut-over that never catches up).
// One thread; writes go at full speed again when it goes.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "proxy/gate.h"

namespace vmproxy::cutover {

// For the first `patience` no write waits for longer than `gentle`. An application that has time to spare between its writes
// hardly slows down by that: afterwards each may wait for `firm`, which is still less than what the fence may cost it.
struct PacerLimits {
  Duration gentle, firm, patience;
};

class Pacer {
 public:
  // `lag`: how much the replica lacks, in any unit that look() keeps to.
  Pacer(proxy::Gate& gate, Clock& clock, PacerLimits limits, uint64_t lag);
  Pacer(const Pacer&) = delete;
  Pacer& operator=(const Pacer&) = delete;
  ~Pacer();

  // To be called often; looks twice a second.
  void look(uint64_t lag);

 private:
  proxy::Gate& gate_;
  Clock& clock_;
  const PacerLimits limits_;
  const TimePoint firm_from_;
  uint64_t last_;
  TimePoint next_;
};

}  // namespace vmproxy::cutover
