// The long work of a migration, done by its worker thread: arm the mirror, pass the capture barrier, copy. What is compared: migration_validation.cpp.
#include <algorithm>
#include <exception>

#include "base/fault.h"
#include "base/log.h"
#include "cutover/migration.h"

namespace vmproxy::cutover {

using journal::Side;

namespace {

// H47, H62: the windows of a capture barrier. However arming ends, they do not stay open.
class SettleWindows {
 public:
  explicit SettleWindows(proxy::Mirror& mirror) : mirror_(mirror) {}
  SettleWindows(const SettleWindows&) = delete;
  ~SettleWindows() {
    try {
      close();
    } catch (const std::exception& broken) {
      log::error("collections stay in doubt until the next start of the proxy", {{"error", broken.what()}});
    }
  }
  void open(const std::vector<std::string>& collections) { windows_ = mirror_.open_settle(collections); }
  void close() {
    if (!windows_.empty()) mirror_.close_settle(windows_);
    windows_.clear();
  }

 private:
  proxy::Mirror& mirror_;
  std::vector<proxy::OpId> windows_;
};

}  // namespace

bool Migration::waiting(Duration d) {
  std::unique_lock lock(mutex_);
  return !clock_.wait_until(lock, changed_, clock_.in(d), [this] { return stopping_; });
}

void Migration::work() {
  bool again = false;  // a start that an outage ended
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    clock_.wait_until(lock, changed_, clock_.in(std::chrono::seconds(1)),
                      [this] { return stopping_ || wanted_ != Wanted::nothing; });
    if (stopping_) return;
    if (wanted_ == Wanted::nothing && again) wanted_ = Wanted::start;
    const Wanted wanted = wanted_;
    if (wanted == Wanted::nothing) {
      lock.unlock();
      (void)do_work(wanted, {});  // what fails is looked at again in a second
      close_request();
      lock.lock();
      continue;
    }
    wanted_ = Wanted::nothing;
    request_waits_ = false;  // what begins now answers it
    const ValidateOptions validate_options = request_.options;
    lock.unlock();
    const Result<void> done = do_work(wanted, validate_options);
    lock.lock();
    const bool begun_again = !done && done.error().code == Code::cancelled && wanted_ == Wanted::start;
    const bool ended = state_.phase == Phase::abandoned || state_.phase == Phase::finalized || begun_again;
    const bool away =
        !done && !ended && done.error().retryable();  // a database is: not a reason to give up a start
    if (wanted == Wanted::start) again = away;
    conclude_report(done, ended, wanted == Wanted::start && again);
    // That somebody ended the migration is no problem of the work.
    problem_ = done || ended ? "" : done.error().message;
    problem_code_ = problem_.empty() ? Code::internal : done.error().code;
    problem_retried_ = !problem_.empty() && again;
    if (!problem_.empty() && !stopping_)
      log::warn("background work stopped", {{"migration", options_.name}, {"error", problem_}});
    lock.unlock();
    close_request();
    lock.lock();
  }
}

// What is thrown (no thread, no memory) is an outage like others, and no end of the process.
Result<void> Migration::do_work(Wanted wanted, const ValidateOptions& options) {
  try {
    if (wanted == Wanted::start) return run_start();
    if (wanted == Wanted::validate) {
      auto report = validate_once(options);
      return report ? Result<void>() : report.error();
    }
    ask_in_doubt();
    settle_changes();
    settle_source_drops();
    compare_written_beside();
    return {};
  } catch (const std::exception& broken) {
    return Error(Code::unavailable, std::string("it failed on our side: ") + broken.what());
  }
}

// A write asks by itself. Where only reads come they would go to the source until the next one.
void Migration::ask_in_doubt() {
  const State now = state();
  if (!now.capture || now.primary != Side::source || !collections_.should_ask()) return;
  (void)collections_.refresh(clock_.in(std::chrono::seconds(5)), [this](const model::Schema& schema) {
    return mirror_.paused(model::to_string(schema.name));
  });  // asked again later
}

// With the turn, so that nobody changes the primary meanwhile; a way back out of trouble does not wait long for it.
void Migration::settle_changes() {
  if (!renames_.any_open() && !drops_.any_open()) return;
  std::lock_guard one(transition_);
  const Deadline deadline = clock_.in(std::chrono::seconds(2));
  renames_.settle("", *routing_.get(), deadline);
  drops_.settle("", *routing_.get(), deadline);
}

// The same of drops at the source.
void Migration::settle_source_drops() {
  if (!source_drops_.should_settle() || !state().capture || state().primary != Side::source) return;
  // Before the turn: where there is much it takes its time.
  const TimePoint asked = clock_.now();
  if (!ask_the_source()) return;  // asked again later
  std::lock_guard one(transition_);
  const State now = state();
  if (!now.capture || now.primary != Side::source) return;
  if (auto settled = source_drops_.settle(asked, clock_.in(std::chrono::seconds(5))); !settled) {
    log::warn("a drop on the source is not followed on the target yet; it is tried again",
              {{"migration", options_.name}, {"error", settled.error().message}});
  }
}

// Who asked for a comparison waits for its end, so "running" never stays when nothing runs. With mutex_ held.
void Migration::conclude_report(const Result<void>& done, bool ended, bool again) {
  if (last_report_.phase != "running" || wanted_ != Wanted::nothing) return;
  if (done && !ended) {
    wanted_ = Wanted::validate;  // it was asked for while the work that ended just now was under way
    return;
  }
  if (again) return;
  report_failed(done ? "the migration was ended" : done.error().message);
}

// With mutex_ held. A proxy that stops gives no answer: the next start goes on with what was asked for.
void Migration::report_failed(const std::string& why) {
  if (stopping_) return;
  last_report_ = validation::Report{};
  last_report_.phase = "failed";
  last_report_.reason = why;
}

// What has its answer is not made again by a restart.
void Migration::close_request() {
  std::lock_guard asking(asking_);
  ValidationRequest closed;
  {
    std::lock_guard hold(mutex_);
    if (!request_.open || stopping_ || last_report_.phase == "running") return;
    request_.open = false;
    closed = request_;
  }
  (void)journal_.commit_rows({row_of(closed)});  // lost, it is made once more
}

std::vector<std::shared_ptr<const proxy::Collection>> Migration::jobs() const {
  return collections_.all();
}

Result<void> Migration::run_start() {
  const State now = state();
  if (now.primary != Side::source || now.phase >= Phase::ready) return {};
  if (!now.capture || !now.settled) {
    auto armed = arm();
    if (!armed) return armed;
  }
  // Asked each time: another start may have said something else meanwhile.
  if (state().until == "mirroring") return {};
  if (!state().copied) {
    auto copied = copy();
    if (!copied) return copied;
  } else if (auto on = beyond_the_copy(); !on) {
    return on;
  }
  if (state().until == "backfilling") return {};
  return validate_until_clean();
}

Result<State> Migration::mirrored_state() const {
  State now = state();
  if (now.capture) return now;
  return Error(Code::cancelled, "the migration was ended meanwhile");
}

Result<void> Migration::arm() {
  auto refreshed = collections_.refresh(clock_.in(std::chrono::seconds(30)));
  if (!refreshed) return refreshed;
  // At first it is said; once applications rely on the mirror, one that they make is left out, and a gate says so.
  if (!state().capture) {
    if (auto all = collections_.all_can_be_moved(); !all) return all;
  }
  const auto force = state().start_force;
  const bool take_foreign = std::find(force.begin(), force.end(), "target_not_empty") != force.end();
  auto created = collections_.create_on_target(clock_.in(std::chrono::seconds(60)), take_foreign);
  if (!created) return created;
  VMPROXY_FAULT("arm.made");
  SettleWindows windows(mirror_);
  std::vector<std::string> names;
  // A restart has cut short the settle time of this barrier, or something new is to be copied behind it.
  bool again = false;
  {
    std::lock_guard one(transition_);
    State next = state();
    // The databases may have taken their time, and somebody given it up.
    if (next.phase == Phase::abandoned) return Error(Code::cancelled, "the migration was ended meanwhile");
    if (next.copy_generation == 0 || !next.capture) ++next.copy_generation;
    mirror_.set_generation(next.copy_generation);
    // H47, H62: until settle ends, a write from before the barrier may still execute: all is READ, and READ again.
    for (const auto& collection : jobs()) names.push_back(collection->key);
    windows.open(names);
    again = next.capture;
    if (!again) source_drops_.forget();  // of a life before this one: what happened since, nobody watched
    next.capture = true;
    next.phase = Phase::mirroring;
    next.settled = false;
    next.copied = false;
    next.validated = false;
    next.validating_full = false;  // what an earlier life compared says nothing of this one
    next.start_force.clear();
    auto moved = move(next, worker_actor, "mirror armed");
    if (!moved) return moved;
    auto mirroring = mirror_.start();
    if (!mirroring) return mirroring;  // not settled: it is armed again
  }
  VMPROXY_FAULT("arm.armed");
  while (uncaptured_writes_ > 0) {
    if (!waiting(std::chrono::milliseconds(5))) return Error(Code::cancelled, "the proxy is stopping");
  }
  Duration settle = options_.settle;
  settle = std::max(settle, source_.capabilities().staleness);
  if (source_.capabilities().max_exec) settle = std::max(settle, *source_.capabilities().max_exec);
  const bool settled = waiting(settle);
  windows.close();
  VMPROXY_FAULT("arm.settled");
  if (!settled) return Error(Code::cancelled, "the proxy is stopping");
  if (again) {
    if (auto owed = mirror_.reread_touched(names); !owed) return owed;
  }
  std::lock_guard one(transition_);
  auto next = mirrored_state();
  if (!next) return next.error();
  next->settled = true;
  return move(*next, worker_actor, "capture barrier passed");
}

Result<void> Migration::copy() {
  {
    std::lock_guard one(transition_);
    auto next = mirrored_state();
    if (!next) return next.error();
    next->phase = Phase::backfilling;
    auto moved = move(*next, worker_actor, "copy begun");
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
    log::info(
        "a collection was dropped or created again while it was copied; the copy begins again with what exists now",
        {{"migration", options_.name}, {"error", copied.error().message}});
  }
  VMPROXY_FAULT("work.copied");
  std::lock_guard one(transition_);
  auto next = mirrored_state();
  if (!next) return next.error();
  next->copied = true;
  next->phase = Phase::validating;
  return move(*next, worker_actor, "copy done");
}

// A rollback that could not vouch for the target leaves a migration that mirrors and was copied long ago.
Result<void> Migration::beyond_the_copy() {
  std::lock_guard one(transition_);
  auto next = mirrored_state();
  if (!next) return next.error();
  if (next->phase != Phase::mirroring && next->phase != Phase::backfilling) return {};
  next->phase = Phase::validating;
  return move(*next, worker_actor, "copied before");
}

}  // namespace vmproxy::cutover
