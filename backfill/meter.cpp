#include "backfill/meter.h"

namespace vmproxy::backfill {

void Meter::begin(TimePoint now, uint64_t records) {
  samples_.clear();
  samples_.push_back({now, records});
}

void Meter::sample(TimePoint now, uint64_t records) {
  if (!samples_.empty() && now - samples_.back().at < step) return;
  samples_.push_back({now, records});
  while (samples_.size() > 2 && now - samples_[1].at >= window) samples_.pop_front();
}

double Meter::rate(TimePoint now, uint64_t records) const {
  if (samples_.empty()) return 0;
  // The newest sample that is a whole window old, or the oldest there is.
  const Sample* from = &samples_.front();
  for (const auto& sample : samples_) {
    if (now - sample.at < window) break;
    from = &sample;
  }
  const double seconds = std::chrono::duration<double>(now - from->at).count();
  if (seconds <= 0 || records <= from->records) return 0;
  return static_cast<double>(records - from->records) / seconds;
}

double Meter::eta_seconds(TimePoint now, uint64_t records, uint64_t total) const {
  if (total == 0 || records * 100 < total) return -1;
  if (records >= total) return 0;
  const double per_second = rate(now, records);
  if (per_second <= 0) return -1;
  return static_cast<double>(total - records) / per_second;
}

}  // namespace vmproxy::backfill
