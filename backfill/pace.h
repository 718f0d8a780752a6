// How fast the copy goes: the size of its pages, and how much it yields to the application. No I/O, no
// waiting: the workers ask and wait themselves. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>

#include "base/clock.h"

namespace vmproxy::backfill {

// Records per page, so that a page takes 100 to 300 ms to scan and stays below a size in bytes.
class PageSize {
 public:
  // `fixed` 0: sizes itself.
  PageSize(size_t fixed, uint64_t bytes_max);

  // `rate_max` records per second (0: no bound): a page is at most a quarter of a second of it.
  size_t records(double rate_max) const;
  uint64_t bytes_expected() const;
  void scanned(size_t records, uint64_t bytes, double seconds);
  void acknowledged(double seconds);  // since it was handed over
  void timed_out();

 private:
  static constexpr size_t records_min = 20, records_max = 10000, records_first = 500;
  static constexpr double seconds_low = 0.1, seconds_high = 0.3;
  // Waiting in the lanes is part of this time, so only a long one says that pages are too large.
  static constexpr double acknowledged_seconds_high = 5;

  void limit(double wanted);

  mutable std::mutex mutex_;
  const bool fixed_;
  const uint64_t bytes_max_;
  size_t records_;
  double record_bytes_ = 2048;  // as seen lately
};

// Compares the latency of the application's writes with what it was, and makes the copy slower while it has
// grown.
class Yield {
 public:
  // `latency` may be empty; 0 from it: no writes now.
  Yield(Clock& clock, std::function<double()> latency);

  // How long a worker stays idle after a page that kept it busy for this long.
  Duration after(Duration busy);

 private:
  static constexpr double tolerated_factor = 1.5;
  static constexpr double tolerated_seconds = 0.002;  // below this a difference is noise
  static constexpr double share_min = 0.05;           // the copy never stands still

  void look();

  Clock& clock_;
  const std::function<double()> latency_;
  std::mutex mutex_;
  TimePoint looked_{};
  double usual_ = 0;  // latency while we do no harm
  double share_ = 1;  // of the time that a worker may be busy
};

}  // namespace vmproxy::backfill
