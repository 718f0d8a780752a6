#include "shaper.h"

#include <algorithm>

namespace vmproxy::faultproxy {

TimePoint Shaper::due(const Faults& faults, TimePoint now) {
  const uint64_t chance = random_();
  Duration delay = faults.latency;
  if (faults.jitter > Duration{})
    delay +=
        Duration(static_cast<Duration::rep>(chance % (static_cast<uint64_t>(faults.jitter.count()) + 1)));
  last_due_ = std::max(last_due_, now + delay);
  return last_due_;
}

size_t Shaper::allowance(const Faults& faults, size_t ready, TimePoint now) const {
  uint64_t most = ready;
  if (faults.bytes_per_second > 0) {
    if (now < free_at_) return 0;
    most = std::min(most, std::max<uint64_t>(1, faults.bytes_per_second / 50));
  }
  if (faults.cut_after) most = std::min(most, *faults.cut_after - std::min(*faults.cut_after, passed_));
  return static_cast<size_t>(most);
}

void Shaper::wrote(const Faults& faults, size_t bytes, TimePoint now) {
  passed_ += bytes;
  if (faults.bytes_per_second == 0) return;
  const double seconds = static_cast<double>(bytes) / static_cast<double>(faults.bytes_per_second);
  free_at_ =
      std::max(free_at_, now) + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

uint64_t seed_of(uint64_t seed, std::string_view name, uint64_t number) {
  uint64_t hash = 1469598103934665603u ^ seed;  // FNV-1a
  const auto add = [&hash](uint8_t byte) { hash = (hash ^ byte) * 1099511628211u; };
  for (const char c : name) add(static_cast<uint8_t>(c));
  for (int shift = 0; shift < 64; shift += 8) add(static_cast<uint8_t>(number >> shift));
  return hash;
}

}  // namespace vmproxy::faultproxy
