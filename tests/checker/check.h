// The checker: a history in, a report out. No I/O, no clock, no threads of its own.
#pragma once

#include "tests/checker/history.h"
#include "tests/checker/report.h"

namespace vmproxy::checker {

struct Limits {
  // Of the search over one key (16 bytes each), and of all keys together; when the latter is used up, each key that
  // is left has some tens of states for each of its operations, which is plenty unless something is wrong.
  uint64_t states_per_key = 1'000'000;
  uint64_t states_total = 30'000'000;
  size_t details_per_rule = 10;  // anomalies that are described; all are counted
  size_t records_per_anomaly = 20;
};

Report check(const History& history, const Limits& limits = {});

}  // namespace vmproxy::checker
