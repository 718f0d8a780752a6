// The long work of a migration, done by its worker thread: arm the mirror, pass the capture barrier, copy, validate.
#include <algorithm>

#include "base/log.h"
#include "cutover/migration.h"

namespace vmproxy::cutover {

using journal::Side;

namespace {
const Actor worker_actor{"vmproxy", "", {}};
constexpr int validation_rounds_max = 4;
}  // namespace

bool Migration::waiting(Duration d) {
  std::unique_lock lock(mutex_);
  return !clock_.wait_until(lock, changed_, clock_.in(d), [this] { return stopping_; });
}

void Migration::work() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    clock_.wait_until(lock, changed_, clock_.in(std::chrono::seconds(1)), [this] { return stopping_ || wanted_ != Wanted::nothing; });
    if (stopping_) return;
    const Wanted wanted = wanted_;
    if (wanted == Wanted::nothing) {
      lock.unlock();
      compare_written_beside();
      lock.lock();
      continue;
    }
    wanted_ = Wanted::nothing;
    const ValidateOptions validate_options = validate_options_;
    lock.unlock();
    Result<void> done;
    if (wanted == Wanted::start) {
      done = run_start();
    } else {
      auto report = validate_once(validate_options);
      if (!report) done = report.error();
    }
    lock.lock();
    problem_ = done ? "" : done.error().message;
    problem_code_ = done ? Code::internal : done.error().code;
    problem_retried_ = !done && done.error().retryable() && wanted == Wanted::start;
    if (done || stopping_) continue;
    log::warn("background work stopped", {{"migration", options_.name}, {"error", done.error().message}});
    if (done.error().retryable() && wanted_ == Wanted::nothing && wanted == Wanted::start) {
      // A database is away: not a reason to give up.
      clock_.wait_until(lock, changed_, clock_.in(std::chrono::seconds(1)), [this] { return stopping_; });
      wanted_ = Wanted::start;
    }
  }
}

std::vector<std::shared_ptr<const proxy::Collection>> Migration::jobs() const { return collections_.all(); }

Result<void> Migration::run_start() {
  std::string until;
  {
    std::lock_guard hold(mutex_);
    until = until_;
  }
  State now = state();
  if (now.primary != Side::source || now.phase >= Phase::ready) return {};
  if (!now.capture || !now.settled) {
    auto armed = arm();
    if (!armed) return armed;
  }
  if (until == "mirroring") return {};
  if (!state().copied) {
    auto copied = copy();
    if (!copied) return copied;
  } else if (auto on = beyond_the_copy(); !on) {
    return on;
  }
  if (until == "backfilling") return {};
  return validate_until_clean();
}

Result<void> Migration::arm() {
  auto refreshed = collections_.refresh(clock_.in(std::chrono::seconds(30)));
  if (!refreshed) return refreshed;
  bool take_foreign = false;
  {
    std::lock_guard hold(mutex_);
    take_foreign = std::find(start_force_.begin(), start_force_.end(), "target_not_empty") != start_force_.end();
  }
  auto created = collections_.create_on_target(clock_.in(std::chrono::seconds(60)), take_foreign);
  if (!created) return created;
  State next = state();
  if (next.copy_generation == 0 || !next.capture) ++next.copy_generation;
  mirror_.set_generation(next.copy_generation);
  // H47, H62: until settle ends, a write from before the barrier may still execute: all is READ, and READ again.
  std::vector<std::string> names;
  for (const auto& collection : jobs()) names.push_back(collection->key);
  const auto windows = mirror_.open_settle(names);
  next.capture = true;
  next.phase = Phase::mirroring;
  next.settled = false;
  next.copied = false;
  next.validated = false;
  Result<void> moved;
  {
    std::lock_guard one(transition_);
    moved = move(next, worker_actor, "mirror armed");
  }
  if (!moved) {
    mirror_.close_settle(windows);
    return moved;
  }
  mirror_.start();
  while (uncaptured_writes_ > 0) {
    if (!waiting(std::chrono::milliseconds(5))) return Error(Code::cancelled, "the proxy is stopping");
  }
  Duration settle = options_.settle;
  settle = std::max(settle, source_.capabilities().staleness);
  if (source_.capabilities().max_exec) settle = std::max(settle, *source_.capabilities().max_exec);
  const bool settled = waiting(settle);
  mirror_.close_settle(windows);
  if (!settled) return Error(Code::cancelled, "the proxy is stopping");
  std::lock_guard one(transition_);
  next = state();
  next.settled = true;
  return move(next, worker_actor, "capture barrier passed");
}

Result<void> Migration::copy() {
  {
    std::lock_guard one(transition_);
    State next = state();
    next.phase = Phase::backfilling;
    auto moved = move(next, worker_actor, "copy begun");
    if (!moved) return moved;
  }
  while (true) {
    std::vector<backfill::Job> copies;
    for (const auto& collection : jobs()) copies.push_back({collection->name, collection->plan});
    const auto known = copies;
    auto copied = backfill_.run(std::move(copies), state().copy_generation);
    if (copied) break;
    // H20: one that was dropped or created again meanwhile is copied from its beginning, or no more.
    const bool changed = std::any_of(known.begin(), known.end(), [this](const backfill::Job& job) {
      const auto now = collections_.find(model::to_string(job.name));
      return !now || now->plan->source().incarnation != job.plan->source().incarnation;
    });
    if (!changed || copied.error().code != Code::precondition) return copied.error().within("copy");
    log::info("a collection was dropped or created again while it was copied; the copy begins again with what exists now",
              {{"migration", options_.name}, {"error", copied.error().message}});
  }
  std::lock_guard one(transition_);
  State next = state();
  next.copied = true;
  next.phase = Phase::validating;
  return move(next, worker_actor, "copy done");
}

// A rollback that could not vouch for the target leaves a migration that mirrors and was copied long ago.
Result<void> Migration::beyond_the_copy() {
  std::lock_guard one(transition_);
  State next = state();
  if (next.phase != Phase::mirroring && next.phase != Phase::backfilling) return {};
  next.phase = Phase::validating;
  return move(next, worker_actor, "copied before");
}

// A full pass that a crash or an outage ended goes on where it was: what it vouches for is then what had been written, and
// which gaps there were, when it began.
Result<validation::Report> Migration::validate_once(const ValidateOptions& options) {
  bool away = false;  // the comparison waits for it
  for (const auto& collection : jobs()) {
    const bool ours = collections_.claimed(*collection);
    if (ours && away) continue;
    // One that the target has lost is made anew, and is a gap, so that a repair has somewhere to go.
    auto there = collections_.still_there(Side::target, *collection, clock_.in(std::chrono::seconds(30)));
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
  const uint64_t horizon = resumes ? state().validation_horizon : journal_.gap_horizon();
  uint64_t round = state().validation_round;
  if (!resumes) {
    auto begun = mirror_.written().begin_round();
    if (!begun) return begun.error();
    round = *begun;
  }
  uint64_t pass = 0;
  {
    std::lock_guard one(transition_);
    State next = state();
    pass = resumes ? next.validation_pass : ++next.validation_pass;
    next.validating_full = options.full;
    next.validation_horizon = horizon;
    next.validation_round = round;
    auto moved = move(next, worker_actor, "validation pass " + std::to_string(pass) + (resumes ? " goes on" : ""));
    if (!moved) return moved.error();
  }
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
    last_report_ = validation::Report{};
    last_report_.phase = "failed";
    last_report_.reason = report.error().message;
    return report.error().within("validation");
  }
  {
    std::lock_guard hold(mutex_);
    last_report_ = *report;
  }
  if (how.sample_percent < 100) return report;
  if (report->clean()) {
    auto closed = journal_.close_gaps(horizon);
    if (!closed) return closed.error();
    auto struck = mirror_.written().strike_before(round);
    if (!struck) return struck.error();
    unknown_requests_ = 0;
  }
  std::lock_guard one(transition_);
  State next = state();
  next.validated = report->clean();
  next.validating_full = false;
  auto moved = move(next, worker_actor, report->clean() ? "validation clean" : "validation found differences");
  if (!moved) return moved.error();
  return report;
}

Result<void> Migration::validate_until_clean() {
  ValidateOptions options;
  options.repair = true;
  for (int round = 0; round < validation_rounds_max; ++round) {
    auto report = validate_once(options);
    if (!report) return report.error();
    if (report->clean()) {
      mirror_.set_generation(0);
      std::lock_guard one(transition_);
      State next = state();
      if (next.phase == Phase::validating) next.phase = Phase::ready;
      return move(next, worker_actor, "ready");
    }
    // What was repaired must arrive before it is compared again.
    for (int i = 0; i < 300 && mirror_.numbers().dirty > 0; ++i) {
      if (!waiting(std::chrono::milliseconds(100))) return Error(Code::cancelled, "the proxy is stopping");
    }
  }
  return Error(Code::precondition, "validation still finds differences after repair; see `vmproxy validate --show-diffs`");
}

}  // namespace vmproxy::cutover
