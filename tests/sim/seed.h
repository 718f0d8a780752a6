// One seed: a workload, its faults, and the verdict.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/sim/scheduler.h"

namespace vmproxy::sim {

// Counted over seeds by adding up. Plain: it goes from one process to another as it is.
struct Counts {
  uint64_t operations = 0, acknowledged = 0, unknown = 0, kills = 0, machine_ends = 0, stops = 0;
  uint64_t lost = 0, replayed = 0, late = 0, partial = 0, stale = 0, disk_faults = 0;
  uint64_t promotions = 0, rollbacks = 0, percent_changes = 0, validations = 0, steps = 0;
  uint64_t forced = 0, given_up = 0, dead_rollbacks = 0, finalized = 0, refusals = 0, reconfigured = 0;
  uint64_t read_faults = 0, full_disks = 0;
  uint64_t reads_moved = 0;  // answered by the side that is not primary
  uint64_t simulated_seconds = 0;
  Counts& operator+=(const Counts& other);
};

struct Verdict {
  std::vector<std::string> violations;  // none: clean
  uint64_t trace = 0;
  Counts counts;
};

Verdict run_seed(uint64_t seed, bool verbose);

}  // namespace vmproxy::sim
