// PassState and Parts: what the operator's calls and the workers of a pass share.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>

#include "base/rate_limit.h"
#include "validation/pass_rows.h"

namespace vmproxy::validation {

struct PassState {
  mutable std::mutex mutex;
  std::condition_variable changed;
  bool running = false;
  bool stopping = false;
  std::string phase = "none";
  std::string reason;                          // of failed and stopped, or what a clean report leaves open
  std::map<std::string, std::string> waiting;  // who waits -> for what
  Counts counts;
  uint64_t total = 0;
  uint64_t findings = 0;  // number of the next
};

// What every piece of a pass works with. Owned by Validation.
struct Parts {
  journal::Journal& journal;
  protocols::Driver& source;
  protocols::Driver& target;
  journal::Sink& sink;
  Clock& clock;
  Random& random;
  Gauge different;
  PassState state{};

  protocols::Driver& driver(journal::Side side) { return side == journal::Side::source ? source : target; }
  // False when stopping.
  bool wait_until(TimePoint when) {
    std::unique_lock lock(state.mutex);
    return !clock.wait_until(lock, state.changed, when, [this] { return state.stopping; });
  }
  bool stopping() const {
    std::lock_guard hold(state.mutex);
    return state.stopping;
  }
  // Shown to people while `who` waits; empty: it goes on. True when that is news.
  bool waiting(const std::string& who, const std::string& why) {
    std::lock_guard hold(state.mutex);
    if (why.empty()) return state.waiting.erase(who) > 0;
    return state.waiting.insert_or_assign(who, why).second;
  }
};

}  // namespace vmproxy::validation
