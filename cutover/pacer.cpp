#include "cutover/pacer.h"

#include <algorithm>

namespace vmproxy::cutover {

namespace {

constexpr Duration between_looks = std::chrono::milliseconds(500);
constexpr Duration first_step = std::chrono::milliseconds(5);
constexpr uint64_t soon_looks = 10;  // level within so many is soon enough

}  // namespace

Pacer::Pacer(proxy::Gate& gate, Clock& clock, PacerLimits limits, uint64_t lag)
    : gate_(gate),
      clock_(clock),
      limits_(limits),
      firm_from_(clock.in(limits.patience)),
      last_(lag),
      next_(clock.in(between_looks)) {}

Pacer::~Pacer() {
  gate_.set_pace(Duration::zero());
}

void Pacer::look(uint64_t lag) {
  const TimePoint now = clock_.now();
  if (now < next_) return;
  next_ = clock_.in(between_looks);
  const bool soon = lag < last_ && lag / (last_ - lag) < soon_looks;
  last_ = lag;
  if (soon) return;
  const Duration longest = now < firm_from_ ? limits_.gentle : std::max(limits_.gentle, limits_.firm);
  gate_.set_pace(std::min(longest, gate_.pace() * 2 + first_step));
}

}  // namespace vmproxy::cutover
