// What an operator asks for, step by step.
#include "base/fault.h"
#include "base/log.h"
#include "cutover/migration.h"
#include "cutover/refusals.h"
#include "journal/rows.h"

namespace vmproxy::cutover {

using journal::Side;

Result<void> Migration::start(const std::string& until, const Actor& actor) {
  if (until != "mirroring" && until != "backfilling" && until != "ready") {
    return Error(Code::invalid, "--until takes mirroring, backfilling or ready, not '" + until + "'");
  }
  auto turn = transition_.ask("start");
  if (!turn) return turn.error();
  const State now = state();
  if (now.phase >= Phase::ready && now.phase < Phase::promoted) {  // there already
    if (actor.force.empty()) return {};
    State next = now;
    next.start_force = actor.force;  // for the next validation, which finds what the target had before
    auto moved = move(next, actor, "start until " + until);
    if (moved) take_what_is_there(actor);
    return moved;
  }
  if (now.phase == Phase::promoted || now.phase == Phase::finalized)
    return wrong_state("start", now.phase, "the target is primary");
  State next = now;
  next.started = true;
  next.until = until;
  next.start_force = actor.force;
  if (now.phase == Phase::abandoned) next.phase = Phase::created;
  auto moved = move(next, actor, "start until " + until);
  if (!moved) return moved;
  if (now.phase == Phase::abandoned) {
    // What ended the former life of this migration must not end this one.
    backfill_.forget_stop();
    backfill_.resume();
    validation_.forget_stop();
    read_counts_.forget();
    write_trials_.forget();
  }
  take_what_is_there(actor);
  std::lock_guard hold(mutex_);
  wanted_ = Wanted::start;
  problem_.clear();
  changed_.notify_all();
  return {};
}

// The lanes wait for it, and the copy and a validation that are under way for the lanes: they would not come to ask. What is not
// armed yet is (arm()).
void Migration::take_what_is_there(const Actor& actor) {
  if (!forced(actor, "target_not_empty") || !state().capture) return;
  const Deadline deadline = clock_.in(std::chrono::seconds(10));
  for (const auto& collection : collections_.all()) {
    if (collections_.claimed(*collection)) continue;
    auto taken = collections_.create_on_target(*collection, deadline, true);
    if (!taken)
      log::warn(
          "what the target holds under the name of a collection is not taken yet; start it again, or validate",
          {{"migration", options_.name}, {"collection", collection->key}, {"error", taken.error().message}});
  }
}

Result<void> Migration::pause_backfill(const Actor& actor) {
  std::lock_guard one(transition_);
  State next = state();
  next.paused = true;
  auto moved = move(next, actor, "backfill pause");
  if (!moved) return moved;
  backfill_.pause();
  return {};
}

Result<void> Migration::resume_backfill(const Actor& actor) {
  std::lock_guard one(transition_);
  State next = state();
  next.paused = false;
  auto moved = move(next, actor, "backfill resume");
  if (!moved) return moved;
  backfill_.resume();
  return {};
}

Result<void> Migration::throttle_backfill(double records_per_second, const Actor& actor) {
  if (records_per_second < 0)
    return Error(Code::invalid, "the rate is records per second, 0 or more (0: no limit)");
  std::lock_guard one(transition_);
  State next = state();
  next.rate = records_per_second;
  auto moved = move(next, actor, "backfill throttle " + std::to_string(records_per_second));
  if (!moved) return moved;
  backfill_.throttle(records_per_second);
  return {};
}

Result<void> Migration::validate(const ValidateOptions& options, const Actor& actor) {
  const State now = state();
  if (!now.capture && now.phase != Phase::finalized)
    return wrong_state("validate", now.phase, "`vmproxy start` first");
  if (now.phase == Phase::finalized)
    return wrong_state("validate", now.phase, "the source is no longer written");
  if (!now.copied) return wrong_state("validate", now.phase, "the copy is not done yet");
  if (!(options.sample_percent > 0 && options.sample_percent <= 100))
    return Error(Code::invalid, "--sample takes a percentage above 0, at most 100");
  std::lock_guard asking(asking_);
  ValidationRequest request;
  {
    std::lock_guard hold(mutex_);
    if (request_.open && last_report_.phase == "running") {
      return Error(Code::precondition,
                   "validate refused, nothing changed: a comparison that was asked for before is under way. "
                   "`vmproxy status --watch` shows how far it is");
    }
    request = {request_.number + 1, true, options};
  }
  auto kept = journal_.commit_rows({row_of(request)});
  if (!kept) return kept.error().within("validate refused: it could not be made durable");
  // A first start that ended with differences goes on to ready from here.
  const bool goes_on_to_ready = now.phase < Phase::ready && options.full && options.repair;
  if (goes_on_to_ready) {
    std::lock_guard one(transition_);
    State next = state();
    next.started = true;
    next.until = "ready";
    auto moved = move(next, actor, "validate full");
    if (!moved) {
      request.open = false;
      journal_.put_rows({row_of(request)});
      std::lock_guard hold(mutex_);
      request_ = request;
      return moved;
    }
  } else {
    audit_.note(actor, options.full ? "validate full" : "validate sample", "accepted");
  }
  std::lock_guard hold(mutex_);
  request_ = request;
  request_waits_ = true;
  report_of_ = request.number;
  last_report_ = validation::Report{};
  last_report_.phase = "running";
  problem_.clear();
  if (goes_on_to_ready) {
    wanted_ = Wanted::start;
  } else if (wanted_ == Wanted::nothing) {
    wanted_ = Wanted::validate;  // a start that waits comes first: see conclude_report()
  }
  changed_.notify_all();
  return {};
}

Result<std::vector<Difference>> Migration::differences(size_t limit) {
  auto found = validation_.findings(limit);
  if (!found) return found.error();
  std::vector<Difference> result;
  for (auto& finding : *found)
    result.push_back({finding.collection, finding.key, finding.kind, finding.detail});
  return result;
}

std::string Migration::not_ready_hint() {
  std::string hint = "wait for ready: `vmproxy status --wait ready`";
  const auto gaps = journal_.gaps();
  if (gaps && !gaps->empty()) hint += ". Open gap: " + gaps->front().what;
  return hint;
}

Result<void> Migration::cutover(double percent, const Actor& actor) {
  if (!(percent >= 0 && percent <= 100)) return Error(Code::invalid, "--percent takes 0 to 100");
  auto turn = transition_.ask("cutover");
  if (!turn) return turn.error();
  State next = state();
  if (next.phase < Phase::ready || next.phase > Phase::reads_moved) {
    return wrong_state("cutover", next.phase,
                       next.phase < Phase::ready ? not_ready_hint() : "the target answers all reads already");
  }
  if (percent > next.reads_percent) {
    // A state of an older version does not say what was left out: a gate that nobody asked for is not open.
    if (!collections_.left_out_known()) {
      auto refreshed = ask_the_source();
      if (!refreshed) return refreshed.error().within("cutover refused, nothing changed");
    }
    auto open = check(gates_for_reads(), actor, "cutover to " + std::to_string(percent) + " %");
    if (!open) {
      audit_.note(actor, "cutover", open.error().message);
      return open;
    }
  }
  next.reads_percent = percent;
  next.phase = percent == 0 ? Phase::ready : percent < 100 ? Phase::canary : Phase::reads_moved;
  char text[48];
  std::snprintf(text, sizeof text, "cutover --percent %g", percent);
  return move(next, actor, text);
}

Result<void> Migration::promote(const Actor& actor) {
  auto turn = transition_.ask("promote");
  if (!turn) return turn.error();
  transition_.lasts("promote", "`vmproxy rollback` ends it");
  const State now = state();
  if (now.phase == Phase::promoted) return {};
  if (now.phase < Phase::ready || now.phase > Phase::reads_moved)
    return wrong_state("promote", now.phase, not_ready_hint());
  // Facts, spaces and collections as they are now: afterwards they are answered from the state.
  const TimePoint asked = clock_.now();
  auto refreshed = ask_the_source();
  if (!refreshed) return refreshed.error().within("promote refused, nothing changed");
  // Afterwards nobody knows any more what was dropped while the source was the primary.
  auto settled = source_drops_.settle(asked, clock_.in(std::chrono::seconds(10)));
  if (!settled) return settled.error().within("promote refused, nothing changed");
  if (const TimePoint until = source_drops_.lands_on_target_until(); clock_.now() < until) {
    return Error(
        Code::unavailable,
        "promote refused, nothing changed: the target did not answer the drop of a collection and may still do it, also "
        "to one that is made under its name after the promotion. Ask again in " +
            std::to_string(std::chrono::ceil<std::chrono::seconds>(until - clock_.now()).count()) + " s");
  }
  auto open = check(gates_for_promotion(), actor, "promote");
  if (!open) {
    audit_.note(actor, "promote", open.error().message);
    return open;
  }
  (void)journal_.erase_rows(journal::rows::state, "ddl/");
  VMPROXY_FAULT("flip.erased");
  auto flipped = flip(Side::target, Phase::promoted, actor, "promote");
  // What the source drops now is not what the application sees, also if it comes back.
  if (flipped) source_drops_.forget();
  return flipped;
}

Result<void> Migration::ask_the_source() {
  return collections_.refresh(clock_.in(std::chrono::seconds(10)), [this](const model::Schema& schema) {
    return mirror_.paused(model::to_string(schema.name));
  });
}

Result<void> Migration::finalize(const Actor& actor) {
  auto turn = transition_.ask("finalize");
  if (!turn) return turn.error();
  transition_.lasts("finalize");
  State next = state();
  if (next.phase == Phase::finalized) return {};
  if (next.phase != Phase::promoted) return wrong_state("finalize", next.phase, "`vmproxy promote` first");
  auto open = check(gates_for_finalize(), actor, "finalize");
  if (!open) {
    audit_.note(actor, "finalize", open.error().message);
    return open;
  }
  next.phase = Phase::finalized;
  next.capture = false;
  auto moved = move(next, actor, "finalize");
  if (!moved) return moved;
  VMPROXY_FAULT("finalize.saved");
  mirror_.stop();
  return {};
}

Result<void> Migration::abandon(const Actor& actor) {
  auto turn = transition_.ask("abandon");
  if (!turn) return turn.error();
  transition_.lasts("abandon");
  State next = state();
  if (next.phase == Phase::abandoned) return {};
  if (next.primary == Side::target)
    return wrong_state("abandon", next.phase, "`vmproxy rollback` first: the target has the newest data");
  next.phase = Phase::abandoned;
  next.capture = false;
  next.reads_percent = 0;
  next.copied = next.validated = next.settled = false;
  next.started = next.paused = false;
  next.start_force.clear();
  auto moved = move(next, actor, "abandon");
  if (!moved) return moved;
  VMPROXY_FAULT("abandon.saved");
  {
    std::lock_guard hold(mutex_);
    wanted_ = Wanted::nothing;
    if (request_waits_) report_failed("the migration was ended");
    request_waits_ = false;
  }
  backfill_.stop();
  validation_.stop();
  mirror_.stop();
  return {};
}

Result<std::vector<model::Value>> Migration::audit() {
  return audit_.list();
}

Result<model::Value> Migration::journal_stats() {
  const auto stats = journal_.stats();
  return model::Value(model::Object{{"next_seq", stats.next_seq},
                                    {"trimmed_below", stats.trimmed_below},
                                    {"intents", stats.intents},
                                    {"bytes", stats.bytes},
                                    {"gaps_open", stats.gaps_open},
                                    {"sync_seconds_p50", stats.sync_seconds_p50},
                                    {"sync_seconds_p99", stats.sync_seconds_p99},
                                    {"clean_start", stats.clean_start}});
}

Result<model::Value> Migration::journal_verify() {
  auto report = journal_.verify();
  if (!report) return report.error();
  model::Array problems;
  for (auto& problem : report->problems) problems.emplace_back(std::move(problem));
  return model::Value(model::Object{{"intents", report->intents},
                                    {"outcomes", report->outcomes},
                                    {"rows", report->rows},
                                    {"problems", model::Value(std::move(problems))}});
}

}  // namespace vmproxy::cutover
