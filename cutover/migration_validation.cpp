// The comparison of both sides: what a pass may vouch for, what it says of the whole, and until when it is done again.
#include <algorithm>

#include "base/fault.h"
#include "base/log.h"
#include "cutover/migration.h"

namespace vmproxy::cutover {

using journal::Side;

namespace {
constexpr int validation_rounds_max = 4;
constexpr Duration older_images_patience = std::chrono::minutes(2);
}  // namespace

// A full pass that a crash or an outage ended goes on where it was: what it vouches for is then what had been written, and
// which gaps there were, when it began.
Result<validation::Report> Migration::validate_once(const ValidateOptions& options) {
  settle_changes();
  if (state().primary == Side::source) {
    // Before it is decided what the pass vouches for: a name may have moved, and what was made beside the proxy is a gap.
    auto refreshed = collections_.refresh(
        clock_.in(std::chrono::seconds(30)),
        [this](const model::Schema& schema) { return mirror_.paused(model::to_string(schema.name)); });
    if (!refreshed) return refreshed.error().within("validation");
  }
  const bool follows = state().primary == Side::source;
  const auto force = state().start_force;  // also given later, for a collection that came later
  const bool take_foreign = std::find(force.begin(), force.end(), "target_not_empty") != force.end();
  bool away = false;  // the comparison waits for it
  for (const auto& collection : jobs()) {
    const bool ours = collections_.owned(*collection);
    if (ours && away) continue;
    if (ours && !follows) {
      // It answers the applications: made anew, its emptiness would count as the truth, and the source's records would go.
      const auto there =
          target_.describe(collection->plan->target().name, clock_.in(std::chrono::seconds(30)));
      if (there && !*there) {
        return Error(
            Code::precondition,
            "collection '" + collection->key +
                "' is missing on the target, which is the primary. Nothing was "
                "compared, made or erased. `vmproxy rollback` goes back to the source, which has what it held");
      }
      if (!there && !there.error().retryable()) return there.error();
      away = !there;
      continue;
    }
    // One that the target has lost is made anew, and is a gap, so that a repair has somewhere to go.
    auto there = collections_.still_there(Side::target, *collection, clock_.in(std::chrono::seconds(30)),
                                          take_foreign);
    if (there) continue;
    if (!ours || !there.error().retryable()) return there.error();
    away = true;
  }
  if (state().primary == Side::target) {
    for (const auto& collection : jobs()) {
      auto made = collections_.create_on_source(*collection, clock_.in(std::chrono::seconds(30)));
      if (!made) return made.error();
    }
  }
  const bool resumes = options.full && state().validating_full;
  uint64_t horizon = resumes ? state().validation_horizon : journal_.gap_horizon();
  // What a gap stands for may still be executed, behind the pass: it vouches for that gap only if it begins afterwards.
  while (!resumes && (mirror_.unjournaled() || clock_.now() < mirror_.gaps_act_until())) {
    if (!waiting(std::chrono::milliseconds(50))) return Error(Code::cancelled, "the proxy is stopping");
    horizon = journal_.gap_horizon();
  }
  if (!resumes && journal_.has_gaps()) {
    auto older = leave_nothing_older(options.full || options.sample_percent >= 100);
    if (!older) return older.error();
  }
  uint64_t round = state().validation_round;
  if (!resumes) {
    auto begun = mirror_.written().begin_round();
    if (!begun) return begun.error();
    round = *begun;
  }
  uint64_t pass = 0;
  {
    std::lock_guard one(transition_);
    auto next = mirrored_state();
    if (!next) return next.error();
    pass = resumes ? next->validation_pass : ++next->validation_pass;
    next->start_force.clear();
    next->validating_full = options.full;
    next->validation_horizon = horizon;
    next->validation_round = round;
    auto moved =
        move(*next, worker_actor, "validation pass " + std::to_string(pass) + (resumes ? " goes on" : ""));
    if (!moved) return moved.error();
  }
  // Scans may show what was, so long ago at most: then they show all that was written before the pass. One that goes on waits
  // too; how far it had come with that, nobody knows.
  const Duration staleness = std::max(source_.capabilities().staleness, target_.capabilities().staleness);
  if (staleness > Duration::zero() && !waiting(staleness))
    return Error(Code::cancelled, "the proxy is stopping");
  auto reread = mirror_.reread_suspects();
  if (!reread) return reread.error().within("validation");
  std::vector<validation::Job> compared;
  for (const auto& collection : jobs()) compared.push_back({collection->name, collection->plan});
  validation::Options how;
  how.sample_percent = options.full ? 100 : options.sample_percent;
  how.repair = options.repair;
  auto report = validation_.run(std::move(compared), state().primary, how, std::to_string(pass));
  if (!report) {
    std::lock_guard hold(mutex_);
    if (!request_waits_) report_failed(report.error().message);
    return report.error().within("validation");
  }
  VMPROXY_FAULT("work.compared");
  auto concluded = conclude_pass(pass, how.sample_percent < 100, horizon, round, *report);
  if (!concluded) return concluded.error();
  std::lock_guard hold(mutex_);
  if (!request_waits_) last_report_ = *report;
  return report;
}

// H9: an image that waits for a slow replica is older than what a gap stands for, and would bring back what that has removed. While
// the source is primary it is read anew. After a promotion it is waited for: should the target die it is the last copy (C6), and a
// restart would write once more what the journal still has.
Result<void> Migration::leave_nothing_older(bool closes_gaps) {
  const journal::Seq written = journal_.next();
  const Deadline patient_until = clock_.in(older_images_patience);
  while (closes_gaps && state().primary == Side::target && !mirror_.gone_below(written)) {
    if (clock_.now() >= patient_until) {
      return Error(
          Code::unavailable,
          "validation: a capture gap is open, and the source still lacks changes from before it, which could undo there what "
          "passed in the gap. Nothing was compared, and the gap stays open. `vmproxy status` says why they wait; once the "
          "source has taken them: vmproxy validate --full --repair");
    }
    if (!waiting(std::chrono::milliseconds(50))) return Error(Code::cancelled, "the proxy is stopping");
  }
  if (state().primary == Side::source) {
    for (const auto& collection : jobs()) mirror_.read_anew(collection->key);
  }
  return {};
}

// What a pass that ended says about the whole.
Result<void> Migration::conclude_pass(uint64_t pass, bool sample, uint64_t horizon, uint64_t round,
                                      validation::Report& report) {
  if (sample && report.clean()) return {};  // of what it did not look at it says nothing
  if (report.clean() && pass > state().doubted_pass) {
    auto closed = journal_.close_gaps(horizon);
    if (!closed) return closed;
    VMPROXY_FAULT("work.closed");
    auto struck = mirror_.written().strike_before(round);
    if (!struck) return struck;
    VMPROXY_FAULT("work.struck");
    unknown_requests_ = 0;
  }
  std::lock_guard one(transition_);
  auto next = mirrored_state();
  if (!next) return next.error();
  look_for_foreign_writers(*next, report);
  next->validated = report.clean() && pass > next->doubted_pass;
  if (!sample) next->validating_full = false;
  if (report.clean() && !next->validated) {
    report.reason =
        "a change was dropped from quarantine meanwhile, so this pass vouches for nothing: vmproxy validate --full --repair";
  }
  return move(*next, worker_actor,
              next->validated  ? "validation clean"
              : report.clean() ? "validation clean, but doubted"
              : unexplained_ > 0
                  ? "validation found " + std::to_string(unexplained_) + " differences that nothing explains"
                  : "validation found differences");
}

// All were equal, and since then every change went through the mirror: what differs now was changed by somebody who writes to
// one of the databases beside vmproxy (or by a mistake of ours). What may have passed uncaptured is a gap, and explains it.
void Migration::look_for_foreign_writers(const State& before, validation::Report& report) {
  const auto gaps = journal_.gaps();
  const bool were_equal = before.validated || unexplained_ > 0;  // named until a pass is clean
  const bool explained = !were_equal || !gaps || !gaps->empty();
  unexplained_ = explained ? 0 : report.differences();
  if (unexplained_ == 0) return;
  report.reason = written_beside();
  log::error(
      "records differ that were equal in the comparison before: somebody writes to a database beside vmproxy",
      {{"migration", options_.name}, {"records", report.differences()}});
}

std::string Migration::written_beside() const {
  return std::to_string(unexplained_) +
         (unexplained_ == 1 ? " record differs that was" : " records differ that were") +
         " equal before, and no change that came through vmproxy explains it: somebody writes to one of the databases beside it";
}

Result<void> Migration::validate_until_clean() {
  ValidateOptions options;
  options.repair = true;
  for (int round = 0; round < validation_rounds_max; ++round) {
    auto report = validate_once(options);
    if (!report) return report.error();
    if (report->clean()) {
      std::lock_guard one(transition_);
      auto next = mirrored_state();
      if (!next) return next.error();
      if (!next->validated) continue;
      VMPROXY_FAULT("work.ready");
      mirror_.set_generation(0);
      if (next->phase == Phase::validating) next->phase = Phase::ready;
      return move(*next, worker_actor, "ready");
    }
    // What was repaired must arrive before it is compared again.
    for (int i = 0; i < 300 && mirror_.numbers().dirty > 0; ++i) {
      if (!waiting(std::chrono::milliseconds(100))) return Error(Code::cancelled, "the proxy is stopping");
    }
  }
  return Error(Code::precondition,
               "validation still finds differences after repair; see `vmproxy validate --show-diffs`");
}

}  // namespace vmproxy::cutover
