// CopyState: what the operator's calls, the workers and the pages in flight share. It outlives all of them: a
// page that the lanes still hold when a run has ended reports here and nowhere else.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>

#include "backfill/counts.h"
#include "backfill/meter.h"

namespace vmproxy::backfill {

struct CopyState {
  mutable std::mutex mutex;
  std::condition_variable changed;  // any of the below

  bool running = false;
  bool stopping = false;
  bool paused = false;

  std::string phase = "none";
  std::string reason;                          // of failed and stopped
  std::map<std::string, std::string> waiting;  // who waits -> for what; one entry per worker
  Counts counts;
  uint64_t total = 0;
  bool total_known = false;
  Meter meter;

  uint64_t bytes_in_flight = 0;  // bounded by Options::bytes_in_flight_max, save for one page per worker
  size_t pages_in_flight = 0;
  TimePoint acknowledged{};  // when the last page was, or the first was sent
};

}  // namespace vmproxy::backfill
