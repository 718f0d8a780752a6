#include "proxy/lag_trend.h"

#include <algorithm>

namespace vmproxy::proxy {

namespace {
constexpr auto sample_every = std::chrono::seconds(1);
constexpr auto watched_at_least = std::chrono::seconds(5);
constexpr auto watched_at_most = std::chrono::seconds(30);
}  // namespace

void LagTrend::note(TimePoint now, uint64_t applied, uint64_t lag) {
  std::lock_guard hold(mutex_);
  if (!samples_.empty() && now - samples_.back().at < sample_every) return;
  samples_.push_back({now, applied, lag});
  while (now - samples_.front().at > watched_at_most) samples_.pop_front();
}

std::optional<LagTrend::Rates> LagTrend::rates() const {
  std::lock_guard hold(mutex_);
  if (samples_.size() < 2) return std::nullopt;
  const Sample &first = samples_.front(), &last = samples_.back();
  if (last.at - first.at < watched_at_least) return std::nullopt;
  const double seconds = std::chrono::duration<double>(last.at - first.at).count();
  const double applied = static_cast<double>(last.applied - first.applied);
  const double grown = static_cast<double>(last.lag) - static_cast<double>(first.lag);
  Rates rates;
  rates.applied = applied / seconds;
  rates.written = std::max(0.0, applied + grown) / seconds;
  if (last.lag == 0)
    rates.seconds_left = 0;
  else if (grown < 0)
    rates.seconds_left = static_cast<double>(last.lag) * seconds / -grown;
  return rates;
}

void LagTrend::forget() {
  std::lock_guard hold(mutex_);
  samples_.clear();
}

}  // namespace vmproxy::proxy
