#include "backfill/backfill.h"

#include <algorithm>

#include "backfill/checkpoints.h"
#include "backfill/parts.h"
#include "backfill/run.h"

namespace vmproxy::backfill {
namespace {

// An answer that takes longer than this is worth a word to people.
constexpr Duration silence_max = std::chrono::seconds(5);

std::string what_it_waits_for(const CopyState& state, TimePoint now) {
  if (!state.waiting.empty()) {
    const auto others = state.waiting.size() - 1;
    return state.waiting.begin()->second + (others == 0 ? "" : " (and " + std::to_string(others) + " more)");
  }
  if (state.pages_in_flight == 0 || now - state.acknowledged < silence_max) return "";
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - state.acknowledged).count();
  return "the target has not taken a page for " + std::to_string(seconds) + " s; the copy waits for it";
}

}  // namespace

Backfill::Backfill(journal::Journal& journal, protocols::Driver& source, protocols::Driver& target,
                   journal::Sink& sink, Clock& clock, Random& random, Metrics& metrics, Options options)
    : parts_(new Parts{
          journal, source, target, sink, clock, random,
          metrics.counter("backfill_records_total", "Records of the copy that the target has acknowledged"),
          metrics.histogram("backfill_batch_seconds",
                            "Time of a page of the copy, from its scan to its acknowledgement"),
          options, RateLimit(clock, options.rate_max), Yield(clock, options.application_latency_seconds)}) {}

Backfill::~Backfill() {
  stop();
}

Result<void> Backfill::run(std::vector<Job> jobs, uint64_t generation) {
  auto& state = *parts_->state;
  {
    std::lock_guard hold(state.mutex);
    if (state.running) return Error(Code::precondition, "a copy is under way already");
    if (state.stopping) {
      state.stopping = false;
      return Error(Code::cancelled, "the copy was stopped before it began");
    }
    state.running = true;
    state.reason.clear();
    state.waiting.clear();
    state.counts = {};
    state.total = 0;
    state.total_known = false;
  }
  auto done = Run(*parts_, std::move(jobs), generation).execute();
  std::lock_guard hold(state.mutex);
  // Whatever else ended it: who stops it does so once, and a caller that goes on with what has changed would not know.
  if (state.stopping && !done && done.error().code != Code::cancelled)
    done = Error(Code::cancelled, "the copy was stopped; besides, " + done.error().message);
  state.running = state.stopping = false;
  state.waiting.clear();
  state.phase = done ? "done" : done.error().code == Code::cancelled ? "stopped" : "failed";
  if (!done) state.reason = done.error().message;
  return done;
}

void Backfill::stop() {
  {
    std::lock_guard hold(parts_->state->mutex);
    parts_->state->stopping = true;
  }
  parts_->state->changed.notify_all();
}

void Backfill::forget_stop() {
  std::lock_guard hold(parts_->state->mutex);
  if (!parts_->state->running) parts_->state->stopping = false;
}

void Backfill::pause() {
  std::lock_guard hold(parts_->state->mutex);
  parts_->state->paused = true;
}

void Backfill::resume() {
  {
    std::lock_guard hold(parts_->state->mutex);
    parts_->state->paused = false;
  }
  parts_->state->changed.notify_all();
}

void Backfill::throttle(double records_per_second) {
  {
    std::lock_guard hold(parts_->state->mutex);
    parts_->rate.set(records_per_second);
  }
  parts_->state->changed.notify_all();
}

Progress Backfill::progress() const {
  const auto& state = *parts_->state;
  const TimePoint now = parts_->clock.now();
  std::lock_guard hold(state.mutex);
  Progress p;
  p.phase = state.running && state.paused && state.phase == "copying" ? "paused" : state.phase;
  p.records = state.counts.records;
  p.dropped = state.counts.dropped;
  p.quarantined = state.counts.quarantined;
  p.duplicates = state.counts.duplicates;
  if (state.total_known) p.total = state.phase == "done" ? p.records : std::max(state.total, p.records);
  if (!state.running) {
    p.reason = state.reason;
    if (state.phase == "done") p.eta_seconds = 0;
    return p;
  }
  p.reason = what_it_waits_for(state, now);
  if (p.phase == "paused" && p.reason.empty()) p.reason = "by the operator";
  if (state.phase != "copying") return p;
  p.rate = state.meter.rate(now, p.records);
  if (p.phase == "copying") p.eta_seconds = state.meter.eta_seconds(now, p.records, p.total);
  return p;
}

Result<void> Backfill::not_running() const {
  std::lock_guard hold(parts_->state->mutex);
  if (!parts_->state->running) return {};
  return Error(Code::precondition, "the copy is under way: stop it before its checkpoints are forgotten");
}

Result<void> Backfill::recall(const std::vector<Job>& jobs, uint64_t generation) {
  if (auto idle = not_running(); !idle) return idle;
  const Checkpoints checkpoints(parts_->journal, generation);
  Counts sum;
  for (const auto& job : jobs) {
    const auto plan = checkpoints.plan(job.name);
    if (!plan) return plan.error();
    const uint32_t ranges = *plan ? (*plan)->ranges : 0;
    for (uint32_t i = 0; i < ranges; ++i) {
      const auto row = checkpoints.progress(job.name, i);
      if (!row) return row.error();
      sum += row->counts;
    }
  }
  std::lock_guard hold(parts_->state->mutex);
  parts_->state->counts = sum;
  parts_->state->total = sum.records;
  parts_->state->total_known = true;
  parts_->state->phase = "done";
  return {};
}

Result<void> Backfill::forget(uint64_t generation) {
  if (auto idle = not_running(); !idle) return idle;
  return Checkpoints(parts_->journal, generation).forget();
}

Result<void> Backfill::forget(uint64_t generation, const model::CollectionName& name) {
  if (auto idle = not_running(); !idle) return idle;
  return Checkpoints(parts_->journal, generation).forget(name);
}

Result<void> Backfill::forget_indexes(uint64_t generation, const model::CollectionName& name) {
  if (auto idle = not_running(); !idle) return idle;
  return Checkpoints(parts_->journal, generation).forget_indexed(name);
}

}  // namespace vmproxy::backfill
