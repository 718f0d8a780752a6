#include "backfill/pace.h"

#include <algorithm>

namespace vmproxy::backfill {

PageSize::PageSize(size_t fixed, uint64_t bytes_max)
    : fixed_(fixed > 0), bytes_max_(bytes_max), records_(fixed > 0 ? fixed : records_first) {}

size_t PageSize::records(double rate_max) const {
  std::lock_guard hold(mutex_);
  size_t n = records_;
  if (!fixed_) {
    const double by_bytes = static_cast<double>(bytes_max_) / record_bytes_;
    n = std::min(n, static_cast<size_t>(std::max(by_bytes, 1.0)));
  }
  if (rate_max > 0) n = std::min(n, static_cast<size_t>(std::clamp(rate_max / 4, 1.0, 1e9)));
  return std::max<size_t>(n, 1);
}

uint64_t PageSize::bytes_expected() const {
  std::lock_guard hold(mutex_);
  const double bytes = static_cast<double>(records_) * record_bytes_;
  return static_cast<uint64_t>(fixed_ ? bytes : std::min(bytes, static_cast<double>(bytes_max_)));
}

void PageSize::limit(double wanted) {
  if (fixed_) return;
  records_ = static_cast<size_t>(
      std::clamp(wanted, static_cast<double>(records_min), static_cast<double>(records_max)));
}

void PageSize::scanned(size_t records, uint64_t bytes, double seconds) {
  if (records == 0) return;
  std::lock_guard hold(mutex_);
  const double seen = static_cast<double>(bytes) / static_cast<double>(records);
  record_bytes_ = std::max(1.0, record_bytes_ * 0.5 + seen * 0.5);
  if (fixed_) return;
  if (seconds > seconds_high) {
    limit(static_cast<double>(records_) * std::max(0.5, 0.2 / seconds));
  } else if (seconds < seconds_low && records * 10 >= records_ * 9) {  // a short last page says nothing
    limit(static_cast<double>(records_) * std::min(2.0, 0.2 / std::max(seconds, 0.001)));
  }
}

void PageSize::acknowledged(double seconds) {
  if (seconds < acknowledged_seconds_high) return;
  std::lock_guard hold(mutex_);
  limit(static_cast<double>(records_) * 0.7);
}

void PageSize::timed_out() {
  std::lock_guard hold(mutex_);
  limit(static_cast<double>(records_) * 0.5);
}

Yield::Yield(Clock& clock, std::function<double()> latency) : clock_(clock), latency_(std::move(latency)) {}

Duration Yield::after(Duration busy) {
  if (!latency_) return Duration::zero();
  std::lock_guard hold(mutex_);
  const TimePoint now = clock_.now();
  if (looked_ == TimePoint{} || now - looked_ >= std::chrono::milliseconds(100)) {
    looked_ = now;
    look();
  }
  const double idle = static_cast<double>(busy.count()) * (1 / share_ - 1);
  return std::min(Duration(static_cast<Duration::rep>(idle)), Duration(std::chrono::seconds(10)));
}

void Yield::look() {
  const double latency = latency_();
  if (latency <= 0) {
    share_ = std::min(1.0, share_ + 0.1);
    return;
  }
  if (usual_ <= 0) usual_ = latency;
  if (latency > usual_ * tolerated_factor && latency > usual_ + tolerated_seconds) {
    share_ = std::max(share_min, share_ * 0.7);
    usual_ *= 1.002;  // the load may have changed for good: do not yield for ever
    return;
  }
  share_ = std::min(1.0, share_ + 0.05);
  usual_ = std::min(latency, usual_ * 1.01);
}

}  // namespace vmproxy::backfill
