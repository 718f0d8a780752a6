// The change of the primary (correctness.md 6): promotion, and with roles swapped the rollback after it. The names of
// its steps stand at each. Until COMMIT every failure leaves the old primary in place and lets the waiting writes run there.
#include "base/log.h"
#include "cutover/migration.h"

namespace vmproxy::cutover {

using journal::Side;

// Outside the fence: everything that can be paid while writes go on is paid, so that the fence is short.
Result<void> Migration::pre_drain() {
  mirror_.reread_suspects();
  const Deadline deadline = clock_.in(options_.pre_drain_max);
  uint64_t first = mirror_.numbers().lag_changes;
  while (true) {
    const auto numbers = mirror_.numbers();
    if (numbers.lag_changes <= 200 && numbers.lag_seconds < 0.5 && mirror_.only_windows_owed()) return {};
    if (clock_.now() >= deadline) {
      return Error(Code::timeout, "the replica does not catch up: " + std::to_string(first) + " changes at first, " +
                                      std::to_string(numbers.lag_changes) + " now" +
                                      (numbers.problem.empty() ? "" : "; " + numbers.problem) + ". Nothing changed.");
    }
    if (!waiting(std::chrono::milliseconds(20))) return Error(Code::cancelled, "the proxy is stopping");
  }
}

Result<void> Migration::flip(Side to, Phase phase_after, const Actor& actor, const std::string& action) {
  auto drained = pre_drain();
  if (!drained) {
    audit_.note(actor, action, "refused: " + drained.error().message);
    return drained;
  }
  // PREPARE
  State prepared = state();
  prepared.flip_intended = true;
  prepared.flip_to = to;
  auto intended = save_state(journal_, prepared);
  if (!intended) return intended.error().within("nothing changed");
  {
    std::lock_guard hold(mutex_);
    state_ = prepared;
  }
  // FENCE
  const TimePoint closed_at = clock_.now();
  const Deadline deadline = closed_at + options_.fence_max;
  gate_.close();
  Result<void> done;
  // DRAIN. A write that is still under way at the deadline aborts the flip: withdrawing it would be the other policy.
  if (!gate_.wait_drained(deadline)) {
    done = Error(Code::timeout, std::to_string(gate_.inside()) + " writes were still under way after " +
                                    std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(options_.fence_max).count()) + " ms");
  }
  // POSITION, CATCHUP: the lanes are stopped afterwards, nothing is in flight on the follower (H58).
  if (done) done = mirror_.catch_up(deadline);
  const bool lanes_stopped = static_cast<bool>(done);
  if (done) {
    // COMMIT
    State committed = prepared;
    committed.flip_intended = false;
    committed.primary = to;
    ++committed.epoch;
    committed.phase = phase_after;
    committed.reads_percent = to == Side::target ? 100 : 0;
    if (to == Side::source) {
      committed.rolled_back_at = rfc3339(clock_.wall());
      committed.rolled_back_reason = actor.reason;
    }
    done = move(committed, actor, action);
    if (done) mirror_.set_primary(to);
  }
  if (!done) {
    State aborted = prepared;
    aborted.flip_intended = false;
    (void)save_state(journal_, aborted);
    {
      std::lock_guard hold(mutex_);
      state_ = aborted;
    }
    audit_.note(actor, action, "aborted: " + done.error().message);
  }
  // REVERSE before OPEN.
  if (lanes_stopped) mirror_.resume_lanes();
  gate_.open();
  const double pause = std::chrono::duration<double>(clock_.now() - closed_at).count();
  {
    std::lock_guard hold(mutex_);
    last_pause_seconds_ = pause;
  }
  metrics_.histogram("promotion_pause_seconds", "How long writes waited in the fence of a promotion or rollback").observe(pause);
  if (!done) return done.error().within(action + " aborted, nothing changed");
  mirror_.reread_suspects();
  log::info("primary changed", {{"migration", options_.name}, {"action", action}, {"pause_seconds", pause}});
  return {};
}

}  // namespace vmproxy::cutover
