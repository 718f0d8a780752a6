// The way back: reads first, then the primary, also from a target that is dead.
#include "base/fault.h"
#include "cutover/flip_guards.h"
#include "cutover/migration.h"
#include "cutover/refusals.h"

namespace vmproxy::cutover {

using journal::Side;

namespace {

Error not_durable(const Error& failure) {
  return failure.within(
      "reads and writes are at the source, but that could not be made durable: should vmproxy end before the journal "
      "can be written, the next start may send reads to the target again. Free the disk, then repeat `vmproxy "
      "rollback`. The journal says");
}

}  // namespace

Result<Turn::Held> Migration::turn_of_rollback() {
  if (give_way_.exchange(true)) {
    return Error(Code::precondition,
                 "rollback refused, nothing changed: one waits already for the promotion under way to end. "
                 "`vmproxy status` shows when it has");
  }
  const GivingWay asked(give_way_);
  return transition_.ask("rollback", "promote");
}

Error Migration::gives_way() {
  return {Code::precondition, "a rollback was asked for meanwhile"};
}

Result<void> Migration::rollback(const Actor& actor) {
  auto turn = turn_of_rollback();
  if (!turn) return turn.error();
  const State next = state();
  switch (next.phase) {
    case Phase::promoted: {
      transition_.lasts("rollback");
      auto open = check(gates_for_rollback(), actor, "rollback");
      if (!open) {
        open = without_the_target(open.error(), actor);
        audit_.note(actor, "rollback", open.error().message);
        return open;
      }
      // What a gate stood for may be missing in the source until all of it is decided: forced, reads wait for that.
      if (actor.force.empty()) reads_to_source_first();
      VMPROXY_FAULT("rollback.first");
      auto back = flip_back(next, actor);
      if (!back) publish_anew(state().reads_percent);
      return back;
    }
    case Phase::canary:
    case Phase::reads_moved: return reads_back(actor);
    case Phase::finalized:
      return wrong_state("rollback", next.phase,
                         "the source has not been written since; start a new migration back");
    default: {  // reads and writes are at the source already; perhaps by a rollback that is not durable yet
      auto saved = save_state(journal_, next);
      if (!saved) return not_durable(saved.error());
      return {};
    }
  }
}

// Reads are always right at the source: they go there first, whether the journal can be written or not.
Result<void> Migration::reads_back(const Actor& actor) {
  State next = state();
  ++next.routing_generation;
  next.reads_percent = 0;
  next.phase = next.validated ? Phase::ready : Phase::mirroring;
  next.rolled_back_at = rfc3339(clock_.wall());
  next.rolled_back_reason = actor.reason;
  publish(next);
  VMPROXY_FAULT("rollback.published");
  auto saved = save_state(journal_, next);
  VMPROXY_FAULT("rollback.saved");
  if (!saved) put_state(journal_, next);  // durable as soon as anything is again
  {
    std::lock_guard hold(mutex_);
    state_ = next;
  }
  changed_.notify_all();
  if (!saved) saved = not_durable(saved.error());
  audit_.note(actor, "rollback",
              saved ? "ok, now " + std::string(name_of(next.phase)) : saved.error().message);
  return saved;
}

Error Migration::without_the_target(const Error& refused, const Actor& actor) {
  if (!journal_.has_gaps() || forced(actor, "gaps")) return refused;
  const auto dead = target_is_dead();
  if (!dead) return refused;
  return {
      refused.code,
      refused.message + ". The target does not answer (" + dead->message +
          "), so no validation can close a gap now: bring it back, or go without it: vmproxy rollback --force gaps. "
          "What passed in a gap may be on the target only; everything else that was acknowledged is in the journal "
          "and goes to the source"};
}

Result<void> Migration::flip_back(const State& now, const Actor& actor) {
  const auto dead = target_is_dead();
  if (!dead) return flip(Side::source, now.validated ? Phase::ready : Phase::mirroring, actor, "rollback");
  const auto unread = mirror_.unread();
  if (unread.count > 0 && !forced(actor, "unread")) {
    const Error refused = must_be_read(unread).within(
        "rollback refused, nothing changed: the target does not answer (" + dead->message + ")");
    audit_.note(actor, "rollback", refused.message);
    return refused;
  }
  // The new primary lacks what was given up, and the dead one lacks everything from now on.
  return flip(Side::source, Phase::mirroring, actor, "rollback without the target", true);
}

Error Migration::must_be_read(const proxy::Mirror::Unread& unread) {
  std::string names;
  for (const auto& name : unread.names) names += "\n  " + name;
  return {
      Code::precondition,
      std::to_string(unread.count) +
          " keys must be read from it before the source has their last value:" + names +
          "\nBring the target back, or give these values up: vmproxy rollback --force unread. Everything else that "
          "was acknowledged is in the journal and goes to the source"};
}

std::optional<Error> Migration::target_is_dead() {
  auto answer = target_.describe_server(clock_.in(std::chrono::seconds(2)));
  if (answer) return std::nullopt;
  // Cancelled: the time was over before it could be asked, behind calls that hang.
  const bool silent = answer.error().retryable() || answer.error().code == Code::cancelled;
  return silent ? std::optional(answer.error()) : std::nullopt;
}

}  // namespace vmproxy::cutover
