// Parts: what every piece of a copy works with. Owned by Backfill.
#pragma once

#include <memory>

#include "backfill/backfill.h"
#include "backfill/copy_state.h"
#include "backfill/pace.h"
#include "base/rate_limit.h"

namespace vmproxy::backfill {

struct Parts {
  journal::Journal& journal;
  protocols::Driver& source;
  protocols::Driver& target;
  journal::Sink& sink;
  Clock& clock;
  Random& random;
  Counter records;
  Histogram batch_seconds;
  Options options;
  RateLimit rate;
  Yield yield;
  std::shared_ptr<CopyState> state = std::make_shared<CopyState>();

  // Waits; false when stopping.
  bool wait(Duration d) {
    std::unique_lock lock(state->mutex);
    return !clock.wait_until(lock, state->changed, clock.in(d), [this] { return state->stopping; });
  }
  bool stopping() const {
    std::lock_guard hold(state->mutex);
    return state->stopping;
  }
  // What a copy ends with then.
  static Error stopped() { return {Code::cancelled, "the copy was stopped"}; }
  // Shown to people while `who` waits; empty: it goes on. True when that is news.
  bool waiting(const std::string& who, const std::string& why) {
    std::lock_guard hold(state->mutex);
    if (why.empty()) return state->waiting.erase(who) > 0;
    auto [entry, began] = state->waiting.insert_or_assign(who, why);
    return began;
  }
};

}  // namespace vmproxy::backfill
