#include "tests/checker/writers.h"

#include <algorithm>

namespace vmproxy::checker {

Writers::Writers(const std::vector<Op>& operations) {
  for (const Op& op : operations) {
    if (!is_write(op) || op.outcome == Outcome::fail) continue;
    const bool deletes = op.kind == Kind::remove || op.kind == Kind::remove_where;
    by_value_[deletes ? History::absent : op.value].ops.push_back(&op);
  }
  for (auto& [value, line] : by_value_) {
    std::sort(line.ops.begin(), line.ops.end(), [](const Op* a, const Op* b) { return a->call < b->call; });
    for (const Op* op : line.ops)
      line.latest.push_back(std::max(op->latest, line.latest.empty() ? before_all : line.latest.back()));
  }
}

Time Writers::latest(uint32_t value, Time until) const {
  const size_t called = called_until(value, until);
  return called == 0 ? before_all : by_value_.at(value).latest[called - 1];
}

Time Writers::earliest(uint32_t value) const {
  return value == History::absent ? before_all : of(value).front()->call;
}

const std::vector<const Op*>& Writers::of(uint32_t value) const {
  static const std::vector<const Op*> nobody;
  const auto found = by_value_.find(value);
  return found == by_value_.end() ? nobody : found->second.ops;
}

size_t Writers::called_until(uint32_t value, Time until) const {
  const auto& ops = of(value);
  const auto after = std::upper_bound(ops.begin(), ops.end(), until,
                                      [](Time time, const Op* op) { return time < op->call; });
  return static_cast<size_t>(after - ops.begin());
}

}  // namespace vmproxy::checker
