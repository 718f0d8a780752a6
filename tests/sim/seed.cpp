#include "tests/sim/seed.h"

#include <array>

#include "tests/sim/seed_parts.h"
#include "tests/support/rig.h"

namespace vmproxy::sim {

Duration some_window(Scheduler& run) {
  return std::chrono::seconds(std::array{1, 3, 10}[run.below(3)]);
}

void Seed::plan() {
  const double mildness = run_.chance(0.4) ? 0.1 : 1;
  const NetworkFaults faults{.loss = rate(0.3) * mildness,
                             .replay = rate(0.5),
                             .late = rate(0.1) * mildness,
                             .part = rate(0.3) * mildness,
                             .refuse = rate(0.05),
                             .twice = rate(0.3)};
  world_.source.faults = faults;
  world_.target.faults = faults;
  if (run_.chance(0.3)) world_.source.faults = {};
  if (run_.chance(0.3)) world_.target.faults = {};
  world_.disk.fault_chance = run_.chance(0.5) ? 0 : rate(0.1);
  const Time slowness = std::array{1, 10, 50, 150, 500}[run_.below(5)] * millisecond;
  world_.source.faults.latency_max = world_.target.faults.latency_max = slowness;
  read_back_ = rate(1);
  wheres_ = run_.chance(0.3) ? 15 : 3;
  // What is hit by a delete by filter that nobody knows the end of.
  if (run_.chance(0.15)) {
    wheres_ = 25;
    world_.source.faults.late_where = 0.5;
  }
  hot_ = run_.chance(0.7);
  kills_ = run_.chance(0.8);
  outages_ = run_.chance(0.5);
  world_.options.mirror.lanes.lanes = 1 + run_.below(4);
  world_.options.backfill.batch = 1 + run_.below(10);
  world_.options.backfill.records_per_range = 1 + run_.below(10);
  if (run_.chance(0.6)) world_.options.backfill.rate_max = 2 + static_cast<double>(run_.below(10));
  changes_ = run_.chance(0.2);
  world_.options.proxy.mirror_drops = run_.chance(0.5);
  abandons_ = run_.chance(0.2);
  world_.options.settle = std::chrono::milliseconds(run_.below(2000));
  // What an operator does in spite of everything hides what a plain life would show.
  const bool plain = run_.chance(0.6);
  refuses_ = !plain && run_.chance(0.5);
  forces_ = !plain && run_.chance(0.5);
  dies_ = !plain && run_.chance(0.4);
  finalizes_ = !plain && run_.chance(0.3);
  reconfigures_ = !plain && run_.chance(0.3);
  hurries_ = forces_ || dies_ || finalizes_ || run_.chance(0.1);
  if (hurries_) world_.options.backfill.rate_max = 0;
  disk_breaks_ = !plain && run_.chance(0.4);
  world_.options.source_place = {"fake", "source 1"};
  world_.options.target_place = {"fake", "target 1"};
  plan_promises();
  clients_ = 3 + static_cast<int>(run_.below(4));
  think_ = run_.between(20, 400) * millisecond;
  ends_ = run_.between(20, 60) * second;
  const uint64_t keys = 5 + run_.below(16);
  for (uint64_t i = 0; i < keys; ++i) ids_.push_back("k" + std::to_string(i));
  for (const auto& id : ids_) {
    if (run_.chance(0.3)) continue;
    world_.source.put(id, ++version_);
    const std::string value = std::to_string(version_), key = key_text(id);
    history_.add(checker::Operation{
        .process = "before", .key = key, .kind = Kind::write, .value = value, .call = 0, .ret = run_.now()});
  }
}

// What the databases do not promise.
void Seed::plan_promises() {
  // Nothing says how long a write may still be executed: what vmproxy waits for is over before.
  unbounded_ = run_.chance(0.3);
  if (unbounded_) {
    world_.source.rows.caps.max_exec.reset();
    world_.target.rows.caps.max_exec.reset();
    world_.options.mirror.uncertain_window = std::chrono::milliseconds(200 + run_.below(1000));
    // What passed before the mirror was armed leaves no suspect: that it is over, the operator's settle time has to say.
    world_.options.settle =
        std::max<Duration>(world_.options.settle, std::chrono::nanoseconds(world_.window()));
  }
  for (auto* database : {&world_.source, &world_.target}) {
    if (!run_.chance(0.3)) continue;
    database->stale_scans = run_.between(1, 3000) * millisecond;
    database->rows.caps.staleness = std::chrono::nanoseconds(database->stale_scans);
    database->faults.stale = rate(0.5);
  }
  // What such a source says in a fence proves nothing: the operator does not promote.
  stale_reads_ = run_.chance(0.1);
  if (stale_reads_) {
    world_.source.stale_reads = run_.between(1, 3000) * millisecond;
    world_.source.rows.caps.read_after_write = false;
    world_.source.faults.stale = rate(0.5);
  }
  // In both, a difference is what the suspects are read again for.
  if (unbounded_ || stale_reads_) world_.disk.expect_differences();
}

void Seed::play() {
  plan();
  for (int attempt = 0; !world_.start(); ++attempt) {
    if (attempt == 50) return violated("vmproxy does not start");
  }
  // Only now: a start reads so much that it would hardly ever come to an end.
  world_.disk.read_fault_chance =
      !disk_breaks_ && run_.chance(0.9) ? 0 : rate(0.1) * (run_.chance(0.5) ? 0.1 : 1);
  const Group outside = run_.new_group();
  for (int i = 0; i < clients_; ++i) {
    ++under_way_;
    const std::string name = "client " + std::to_string(i);
    run_.spawn(outside, name, [this, name] { client(name); });
  }
  ++under_way_;
  run_.spawn(outside, "operator", [this] { operate(); });
  disturb();
  while (under_way_ > 0) {
    if (!world_.serving()) (void)world_.start();
    run_.sleep_until(run_.now() + 100 * millisecond);
  }
  heal();
  if (verdict.violations.empty() && finalized_ == never && run_.chance(0.25)) plant_a_difference();
  if (verdict.violations.empty()) judge();
  for (const auto* database : {&world_.source, &world_.target}) {
    verdict.counts.lost += database->lost;
    verdict.counts.replayed += database->replayed;
    verdict.counts.late += database->landed_late;
    verdict.counts.partial += database->partial;
    verdict.counts.stale += database->stale;
  }
  verdict.counts.disk_faults = world_.disk.faults();
  verdict.counts.read_faults = world_.disk.read_faults();
}

Counts& Counts::operator+=(const Counts& other) {
  static_assert(sizeof(Counts) % sizeof(uint64_t) == 0);
  auto* mine = reinterpret_cast<uint64_t*>(this);
  const auto* theirs = reinterpret_cast<const uint64_t*>(&other);
  for (size_t i = 0; i < sizeof(Counts) / sizeof(uint64_t); ++i) mine[i] += theirs[i];
  return *this;
}

Verdict run_seed(uint64_t seed, bool verbose) {
  Scheduler scheduler({.seed = seed, .verbose = verbose});
  auto* played = new Seed*(nullptr);  // what threads of the run may look at stays
  const auto outcome = scheduler.run([&scheduler, played] {
    *played = new Seed(scheduler);
    (*played)->play();
  });
  Verdict verdict = (*played)->verdict;
  if (outcome.end == Scheduler::End::deadlock) verdict.violations.push_back("deadlock:\n" + outcome.report);
  if (outcome.end == Scheduler::End::too_long)
    verdict.violations.push_back("it does not end within the steps of a run:\n" + outcome.report);
  verdict.trace = outcome.trace;
  verdict.counts.steps = outcome.steps;
  verdict.counts.simulated_seconds = static_cast<uint64_t>(outcome.time / second);
  return verdict;
}

}  // namespace vmproxy::sim
