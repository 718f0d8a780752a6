#include "tests/checker/certainty.h"

#include <algorithm>

namespace vmproxy::checker {

Certainty::Certainty(const std::vector<Op>& operations) {
  for (const Op& op : operations) {
    if (!is_write(op) || op.outcome == Outcome::fail) continue;
    const bool done = op.outcome == Outcome::ok;
    if (op.kind == Kind::write || op.kind == Kind::write_if_absent) {
      if (done) present_.makes(op);
      absent_.unmakes(op);
    } else {
      if (done && op.kind == Kind::remove) absent_.makes(op);
      present_.unmakes(op);
    }
  }
  present_.finish();
  absent_.finish();
}

void Certainty::State::finish() {
  std::sort(makers_.begin(), makers_.end(), [](const Op* a, const Op* b) { return a->ret < b->ret; });
  for (size_t i = 0; i < makers_.size(); ++i) {
    maker_rets_.push_back(makers_[i]->ret);
    if (i > 0 && makers_[i - 1]->call > makers_[i]->call) makers_[i] = makers_[i - 1];
  }
  std::sort(unmakers_.begin(), unmakers_.end(), [](const Op* a, const Op* b) { return a->call < b->call; });
  for (const Op* op : unmakers_) {
    const Time before = unmaker_latest_.empty() ? before_all : unmaker_latest_.back();
    unmaker_latest_.push_back(std::max(before, op->latest));
  }
}

const Op* Certainty::State::proof(Time from, Time to) const {
  const auto acknowledged =
      std::lower_bound(maker_rets_.begin(), maker_rets_.end(), from) - maker_rets_.begin();
  if (acknowledged == 0) return nullptr;
  const Op* maker = makers_[static_cast<size_t>(acknowledged - 1)];
  const auto called = std::upper_bound(unmakers_.begin(), unmakers_.end(), to,
                                       [](Time time, const Op* op) { return time < op->call; }) -
                      unmakers_.begin();
  if (called > 0 && unmaker_latest_[static_cast<size_t>(called - 1)] >= maker->call) return nullptr;
  return maker;
}

}  // namespace vmproxy::checker
