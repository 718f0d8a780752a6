#include "tests/sim/seed.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "tests/checker/check.h"
#include "tests/sim/requests.h"
#include "tests/support/rig.h"

namespace vmproxy::sim {

namespace {

using checker::Kind;
using Did = Answer::Did;

// How long a database may take over what it was asked, and nobody hears of.
Duration some_window(Scheduler& run) {
  return std::chrono::seconds(std::array{1, 3, 10}[run.below(3)]);
}

class Seed {
 public:
  // Braces: chance is asked in this order.
  explicit Seed(Scheduler& run) : run_(run), world_{run, some_window(run), some_window(run)} {}

  void play();
  Verdict verdict;

 private:
  // What a chance may do to this seed: often nothing of a kind, so that each kind is seen alone too.
  double rate(double max) {
    return run_.chance(0.4) ? 0 : max * static_cast<double>(run_.below(1000)) / 1000;
  }
  void plan();
  void plan_promises();
  void client(const std::string& name);
  void put(const std::string& name);
  void erase(const std::string& name);
  void erase_where(const std::string& name);
  void read(const std::string& name);
  void recreate(const std::string& name);
  Did change(const std::string& name, Change change);
  void write(const std::string& name, How how, const Images& images, Kind kind);
  void record_write(const std::string& name, const std::string& id, Kind kind, int64_t version, Time call,
                    World::Asked asked, const std::shared_ptr<const Answer>& given);
  std::vector<std::string> some_ids();

  void operate();
  std::string state();
  void start(bool forced = false);
  void validate();
  bool control(const std::string& what, const std::function<Result<void>(cutover::Migration&)>& call);
  void disturb();
  void kill_at_a_bad_moment();
  void heal();
  bool settled(std::string& why);
  bool rests();
  void plant_a_difference();
  cutover::Status validated(bool repair);
  void add_writes();
  void judge();
  void violated(std::string what) { verdict.violations.push_back(std::move(what)); }

  Scheduler& run_;
  World world_;
  checker::History history_;
  // What was asked for. How it ended, and what came of it, is known at the end: the application may have gone before.
  struct Written {
    std::string by, id;
    Kind kind;
    int64_t version;
    Time call, told;  // told: when the application heard of the end; never: it had gone
    std::shared_ptr<const Answer> answer;
  };
  std::vector<Written> writes_;
  std::vector<std::string> ids_;
  int64_t version_ = 0;
  Time ends_ = 0, think_ = 0;
  double read_back_ = 0;
  bool hot_ = false;
  uint64_t wheres_ = 0;  // of a hundred operations
  int clients_ = 0, under_way_ = 0;
  std::map<std::string, int> under_way_of_;     // writes of a record that nobody knows the end of yet
  std::map<std::string, Time> doubtful_until_;  // ... will ever know
  bool kills_ = false, outages_ = false, abandons_ = false, changes_ = false;
  bool unbounded_ = false, stale_reads_ = false;
  // Records of which the replica may lack something, until a validation is clean that began when that could no longer be done.
  std::map<std::string, Time> suspect_;
  bool changing_ = false;  // somebody drops the collection, and makes it again
};

std::string key_text(const std::string& id) {
  return "things/" + id;
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
  plan_promises();
  clients_ = 3 + static_cast<int>(run_.below(4));
  think_ = run_.between(20, 400) * millisecond;
  ends_ = run_.between(20, 60) * second;
  const uint64_t keys = 5 + run_.below(16);
  for (uint64_t i = 0; i < keys; ++i) ids_.push_back("k" + std::to_string(i));
  for (const auto& id : ids_) {
    if (run_.chance(0.3)) continue;
    world_.source.rows.put(id, ++version_);
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

// --- the application

std::vector<std::string> Seed::some_ids() {
  std::vector<std::string> chosen;
  const size_t count = run_.chance(0.7) ? 1 : 1 + run_.below(4);
  for (size_t i = 0; i < count; ++i) {
    // Writers meet at few records.
    const auto& id = ids_[run_.below(hot_ && run_.chance(0.6) ? 2 : ids_.size())];
    if (std::find(chosen.begin(), chosen.end(), id) == chosen.end()) chosen.push_back(id);
  }
  return chosen;
}

void Seed::record_write(const std::string& name, const std::string& id, Kind kind, int64_t version, Time call,
                        World::Asked asked, const std::shared_ptr<const Answer>& given) {
  const bool heard = asked == World::Asked::answered;
  const Answer answer = heard ? *given : Answer{};
  writes_.push_back({name, id, kind, version, call, heard ? run_.now() : never, given});
  if (answer.did == Did::yes) ++verdict.counts.acknowledged;
  if (answer.did == Did::unknown) {
    // Who asked may have gone long before the request is sent.
    doubtful_until_[id] =
        std::max(doubtful_until_[id], run_.now() + world_.window() + (heard ? 1 : 60) * second);
    ++verdict.counts.unknown;
    if (unbounded_) suspect_[id] = doubtful_until_[id];
  }
  if (stale_reads_) suspect_[id] = never;
  run_.note(name + ": " +
            (kind == Kind::write             ? "put "
             : kind == Kind::write_if_absent ? "insert "
                                             : "delete ") +
            id + "=" + std::to_string(version) +
            (answer.did == Did::yes  ? " done"
             : answer.did == Did::no ? " not done"
                                     : " unknown") +
            (answer.by_target ? " by the target" : "") + (answer.error.empty() ? "" : ": " + answer.error));
}

void Seed::write(const std::string& name, How how, const Images& images, Kind kind) {
  const Time call = run_.now();
  const auto answer = std::make_shared<Answer>();
  // Some clients have little patience.
  const Time patience = run_.chance(0.1) ? run_.between(1, 50) * millisecond : 30 * second;
  for (const auto& image : images) ++under_way_of_[model::to_string(image.key.id)];
  const auto asked = world_.ask("write", patience, [this, how, images, answer](Process& process) {
    serve_write(world_, process, how, images, *answer);
    answer->at = run_.now();
  });
  for (const auto& image : images) --under_way_of_[model::to_string(image.key.id)];
  if (asked == World::Asked::refused) return;
  for (const auto& image : images) {
    record_write(name, model::to_string(image.key.id), kind,
                 image.record ? support::version_of(*image.record) : 0, call, asked, answer);
  }
}

void Seed::put(const std::string& name) {
  Images images;
  for (const auto& id : some_ids())
    images.push_back({support::key_of(id), support::record_of(id, ++version_)});
  const How how = run_.chance(0.15) ? How::if_absent : run_.chance(read_back_) ? How::read_back : How::image;
  write(name, how, images, how == How::if_absent ? Kind::write_if_absent : Kind::write);
}

void Seed::erase(const std::string& name) {
  Images images;
  for (const auto& id : some_ids()) images.push_back({support::key_of(id), std::nullopt});
  write(name, run_.chance(read_back_) ? How::read_back : How::image, images, Kind::remove);
}

void Seed::erase_where(const std::string& name) {
  const int64_t version_max = version_ - static_cast<int64_t>(run_.below(40));
  const Time call = run_.now();
  const auto answer = std::make_shared<Answer>();
  for (const auto& id : ids_) ++under_way_of_[id];
  const auto asked = world_.ask("delete_where", 30 * second, [this, version_max, answer](Process& process) {
    serve_delete_where(world_, process, version_max, *answer);
    answer->at = run_.now();
  });
  for (const auto& id : ids_) --under_way_of_[id];
  if (asked == World::Asked::refused) return;
  for (const auto& id : ids_) record_write(name, id, Kind::remove_where, version_max, call, asked, answer);
}

void Seed::read(const std::string& name) {
  const auto ids = some_ids();
  const Time call = run_.now();
  std::map<std::string, bool> open;
  for (const auto& id : ids) open[id] = under_way_of_[id] > 0 || doubtful_until_[id] > call;
  const auto answer = std::make_shared<Answer>();
  const auto asked = world_.ask("read", 30 * second, [this, ids, answer](Process& process) {
    serve_read(world_, process, ids, *answer);
  });
  if (asked != World::Asked::answered || answer->did != Did::yes) return;
  verdict.counts.reads_moved += answer->moved;
  for (const auto& id : ids) {
    const std::string key = key_text(id);
    const auto found = answer->versions.find(id);
    const std::string value = found == answer->versions.end() ? "" : std::to_string(found->second);
    checker::Operation operation{.process = name, .key = key, .call = call, .ret = run_.now()};
    if (!value.empty()) operation.value = value;
    // What is acknowledged it must show; what nobody was told of may be on the primary only, until its window closes.
    if (answer->moved && open[id]) operation.stale = world_.window() + 2 * second;
    if (answer->moved && suspect_.contains(id)) operation.stale = checker::never;
    if (!answer->by_target && stale_reads_) operation.stale = world_.source.stale_reads;
    history_.add(operation);
    ++verdict.counts.acknowledged;
    run_.note(name + ": read " + id + "=" + value + (answer->by_target ? " from the target" : ""));
  }
}

Did Seed::change(const std::string& name, Change change) {
  const Time call = run_.now();
  const auto answer = std::make_shared<Answer>();
  for (const auto& id : ids_) ++under_way_of_[id];
  const auto asked = world_.ask("change", 60 * second, [this, change, answer](Process& process) {
    serve_change(world_, process, change, *answer);
    answer->at = run_.now();
  });
  for (const auto& id : ids_) --under_way_of_[id];
  if (asked == World::Asked::refused) return Did::no;
  const Did did = asked == World::Asked::answered ? answer->did : Did::unknown;
  run_.note(name + ": " + (change == Change::drop ? "drop" : "create") + ": " +
            (did == Did::yes  ? "done"
             : did == Did::no ? "not done"
                              : "unknown") +
            (answer->error.empty() ? "" : ": " + answer->error));
  if (change == Change::create || did == Did::no) return did;
  for (const auto& id : ids_)
    record_write(name, id, did == Did::yes ? Kind::remove : Kind::remove_where, 0, call, asked, answer);
  return did;
}

// Whoever drops it makes it again: it tries until the collection is there.
void Seed::recreate(const std::string& name) {
  if (std::exchange(changing_, true)) return;
  (void)change(name, Change::drop);
  while (run_.now() < ends_ && !world_.source.rows.has_collection("things")) {
    if (change(name, Change::create) != Did::yes) run_.sleep_until(run_.now() + run_.between(0, second));
  }
  changing_ = false;
}

void Seed::client(const std::string& name) {
  while (run_.now() < ends_) {
    run_.sleep_until(run_.now() + run_.between(0, 2 * think_));
    ++verdict.counts.operations;
    const uint64_t what = run_.below(100);
    if (changes_ && run_.chance(0.01)) {
      recreate(name);
    } else if (what < 45) {
      put(name);
    } else if (what < 60) {
      erase(name);
    } else if (what < 60 + wheres_) {
      erase_where(name);
    } else {
      read(name);
    }
  }
  --under_way_;
}

// --- the operator

bool Seed::control(const std::string& what, const std::function<Result<void>(cutover::Migration&)>& call) {
  const auto done = std::make_shared<Result<void>>();
  const auto asked =
      world_.ask(what, 300 * second, [call, done](Process& process) { *done = call(*process.migration); });
  const bool worked = asked == World::Asked::answered && *done;
  run_.note("operator: " + what + ": " +
            (worked                            ? "done"
             : asked == World::Asked::answered ? done->error().message
                                               : "no answer"));
  return worked;
}

std::string Seed::state() {
  const auto text = std::make_shared<std::string>();
  (void)world_.ask("status", 10 * second,
                   [text](Process& process) { *text = process.migration->status().state; });
  return *text;
}

// Forced where vmproxy says so: a late write of a collection's former life lies on the target.
void Seed::start(bool forced) {
  cutover::Actor actor;
  if (forced) actor.force = {"target_not_empty"};
  (void)control("start", [actor](auto& migration) { return migration.start("ready", actor); });
}

void Seed::validate() {
  cutover::ValidateOptions all;
  all.repair = true;
  const Time began = run_.now();
  const bool begun = control("validate", [all](auto& migration) { return migration.validate(all, {}); });
  verdict.counts.validations += begun;
  if (!begun || suspect_.empty()) return;
  const auto phase = std::make_shared<std::string>("running");
  while (*phase == "running" && run_.now() < began + 60 * second && world_.died_after(began) == never) {
    run_.sleep_until(run_.now() + 100 * millisecond);
    if (world_.ask("status", 10 * second, [phase](Process& process) {
          *phase = process.migration->status().validation.phase;
        }) != World::Asked::answered)
      return;
  }
  if (*phase == "clean" && world_.died_after(began) == never)
    std::erase_if(suspect_, [began](const auto& one) { return one.second < began; });
}

void Seed::operate() {
  run_.sleep_until(run_.now() + run_.between(0, run_.chance(0.5) ? second : 5 * second));
  while (run_.now() < ends_) {
    // Mostly what makes sense now, sometimes whatever.
    const std::string now = run_.chance(0.1) ? "" : state();
    const uint64_t what = run_.below(10);
    const bool promoted = now == "promoted",
               ready = now == "ready" || now == "canary" || now == "reads_moved";
    if (abandons_ && !promoted && run_.chance(0.1)) {
      // What the target has by then is not what the next copy expects.
      world_.disk.expect_differences();
      (void)control("abandon", [](auto& migration) { return migration.abandon({}); });
    } else if (!now.empty() && !promoted && !ready) {
      if (what < 6) {
        start();
      } else if (what < 8) {
        validate();
      }
    } else if (what < 1) {
      validate();
    } else if (!promoted && what < 5) {
      const double percent = static_cast<double>(run_.chance(0.4) ? 100 : run_.below(101));
      verdict.counts.percent_changes +=
          control("cutover", [percent](auto& migration) { return migration.cutover(percent, {}); });
    } else if (!promoted && what < 9 && !stale_reads_) {
      verdict.counts.promotions += control("promote", [](auto& migration) { return migration.promote({}); });
    } else if (what < 2 || what > 5) {
      verdict.counts.rollbacks += control("rollback", [](auto& migration) { return migration.rollback({}); });
    }
    run_.sleep_until(run_.now() + run_.between(100 * millisecond, 4 * second));
  }
  --under_way_;
}

// --- what breaks

// Right after something was asked or written: what comes next is what a crash must not need.
void Seed::kill_at_a_bad_moment() {
  static constexpr std::array moments = {"disk: commit",   "disk: commit",  "disk: slot",     "source: scan",
                                         "source: read",   "source: query", "source: upsert", "source: erase",
                                         "target: upsert", "target: erase", "target: read",   "operator"};
  const bool machine = run_.chance(0.3);
  run_.after_notes(moments[run_.below(moments.size())], 1 + run_.below(12), [this, machine] {
    if (!world_.running() || run_.now() >= ends_) return;
    ++(machine ? verdict.counts.machine_ends : verdict.counts.kills);
    world_.kill(machine);
  });
}

void Seed::disturb() {
  while (run_.now() < ends_) {
    run_.sleep_until(std::min(ends_, run_.now() + run_.between(100 * millisecond, 10 * second)));
    const uint64_t what = run_.below(10);
    if (kills_ && what < 2) {
      const bool machine = run_.chance(0.3);
      ++(machine ? verdict.counts.machine_ends : verdict.counts.kills);
      world_.kill(machine);
    } else if (kills_ && what >= 6) {
      kill_at_a_bad_moment();
    } else if (kills_ && what < 3) {
      verdict.counts.stops += world_.stop();
    } else if (outages_ && what < 6) {
      auto& away = what < 5 ? world_.source : world_.target;
      away.away = true;
      run_.note("world: a database goes away");
      run_.sleep_until(run_.now() + run_.between(0, 8 * second));
      away.away = false;
    }
    while (!world_.serving() && run_.now() < ends_) {
      run_.sleep_until(run_.now() + run_.between(0, second));
      (void)world_.start();
    }
  }
}

bool Seed::settled(std::string& why) {
  const auto status = world_.process().migration->status();
  const auto numbers = world_.process().migration->context().mirror.numbers();
  static const std::set<std::string> whole = {"ready", "canary", "reads_moved", "promoted"};
  why = "state " + status.state + ", primary " + status.primary + ", lag " +
        std::to_string(numbers.lag_changes) + ", oldest debt " + std::to_string(numbers.oldest_debt_seconds) +
        " s, in flight " + std::to_string(numbers.in_flight) + ", gaps " + std::to_string(status.gaps) +
        ", quarantined " + std::to_string(status.quarantined) + ", validation " + status.validation.phase +
        ", problem '" + status.work.problem + numbers.problem + "'";
  return numbers.lag_changes == 0 && numbers.oldest_debt_seconds == 0 && numbers.in_flight == 0 &&
         status.gaps == 0 && status.quarantined == 0 && status.validation.phase != "running" &&
         whole.contains(status.state);
}

// Nothing fails any more; then everything must come to an end by itself, or by what the operator is told to do.
void Seed::heal() {
  run_.after_notes("", 0, nullptr);
  world_.source.faults = world_.target.faults = NetworkFaults{};
  world_.source.away = world_.target.away = false;
  world_.disk.fault_chance = 0;
  run_.note("world: heals");
  for (int attempt = 0; !world_.serving(); ++attempt) {
    if (attempt == 20) return violated("vmproxy does not start although nothing fails any more");
    if (!world_.start()) run_.sleep_until(run_.now() + second);
  }
  // Where the target is primary the application sees that one, and the mirror makes what the source lacks.
  for (int attempt = 0; state() != "promoted" && !world_.source.rows.has_collection("things"); ++attempt) {
    if (attempt == 100) return violated("the collection cannot be made although nothing fails any more");
    if (change("the application", Change::create) != Did::yes) run_.sleep_until(run_.now() + second);
  }
  if (!rests() || (!unbounded_ && !stale_reads_)) return;
  // Whatever was in doubt has been done by now, or never will be: a validation reads it again, and then finds no difference.
  const auto found = validated(true).validation;
  if (found.phase != "clean")
    violated("suspects were read again, and the comparison is " + found.phase + " (" + found.reason +
             "), missing " + std::to_string(found.missing) + ", extra " + std::to_string(found.extra) +
             ", different " + std::to_string(found.different));
  (void)rests();
}

// False: it does not, which is a violation.
bool Seed::rests() {
  std::string why;
  int calm = 0;
  const int calm_wanted = 2 + 2 * static_cast<int>(world_.window() / second);
  for (int second_passed = 0; calm < calm_wanted; ++second_passed) {
    run_.sleep_until(run_.now() + second);
    calm = settled(why) ? calm + 1 : 0;
    if (calm > 0) continue;
    if (second_passed > 900) {
      violated("it does not come to rest within 15 minutes: " + why);
      return false;
    }
    if (second_passed % 20 != 19) continue;
    run_.note("world: not settled: " + why);
    const auto status = world_.process().migration->status();
    if (status.quarantined > 0)
      (void)control("retry", [](auto& migration) { return migration.quarantine_retry({}, {}); });
    const bool forced = status.work.problem.find("--force target_not_empty") != std::string::npos;
    if (status.primary == "source" && (forced || status.state != "ready") &&
        status.validation.phase != "running")
      start(forced);
    if (status.gaps > 0 && status.validation.phase != "running") validate();
  }
  run_.note("world: settled: " + why);
  return true;
}

cutover::Status Seed::validated(bool repair) {
  cutover::ValidateOptions all;
  all.repair = repair;
  (void)control("validate", [all](auto& migration) { return migration.validate(all, {}); });
  const Time patience = run_.now() + 600 * second;
  auto status = world_.process().migration->status();
  while (status.validation.phase == "running" && run_.now() < patience) {
    run_.sleep_until(run_.now() + 100 * millisecond);
    status = world_.process().migration->status();
  }
  return status;
}

// At rest: a validation that always says "clean" would hide all that this run is for.
void Seed::plant_a_difference() {
  const auto is = [this](const cutover::Status& status, const char* phase, uint64_t extra) {
    const auto& found = status.validation;
    if (found.phase == phase && found.extra == extra && found.missing == 0 && found.different == 0)
      return true;
    violated(std::string("a validation should be ") + phase + " with " + std::to_string(extra) +
             " records too many, but it is " + found.phase + " (" + found.reason + "), missing " +
             std::to_string(found.missing) + ", extra " + std::to_string(found.extra) + ", different " +
             std::to_string(found.different));
    return false;
  };
  const auto before = validated(false);
  if (!is(before, "clean", 0)) return;
  auto& replica = before.primary == "source" ? world_.target : world_.source;
  // Dropped last, after a promotion: judge() sees whether both sides have it so.
  if (!replica.rows.has_collection("things")) return;
  world_.disk.expect_differences();
  replica.rows.put("planted", 1);
  if (!is(validated(false), "different", 1) || !is(validated(true), "different", 1)) return;
  for (int second_passed = 0; second_passed < 60; ++second_passed) {
    if (world_.process().migration->context().mirror.numbers().dirty == 0) break;
    run_.sleep_until(run_.now() + second);
  }
  (void)is(validated(false), "clean", 0);
}

// To the history: what the application asked for, with what the databases know of it. What none of them ever did has not taken
// effect, so that the search has not to think of it.
void Seed::add_writes() {
  for (const auto& w : writes_) {
    const std::string key = key_text(w.id), value = std::to_string(w.version);
    const std::string by = w.told == never ? w.by + " (gone)" : w.by, again = by + " again";
    const bool puts = w.kind == Kind::write || w.kind == Kind::write_if_absent;
    const bool known = w.answer->at != never && w.answer->did != Did::unknown;
    if (known && w.answer->did == Did::no) continue;
    checker::Operation operation{.process = by, .key = key, .kind = w.kind, .call = w.call};
    if (puts) operation.value = value;
    // Where the target has no such call, and nothing bounds it, it may overwrite what came after its window.
    if (unbounded_ && !known && w.answer->by_target && w.kind == Kind::write_if_absent)
      operation.kind = Kind::write;
    if (known) {
      operation.ret = w.told == never ? w.answer->at : w.told;
      operation.side = w.answer->by_target ? "target" : "source";
      operation.epoch = static_cast<uint32_t>(w.answer->epoch);
    } else {
      operation.outcome = checker::Outcome::unknown;
      const Time died = world_.died_after(w.call);
      if (w.answer->at != never) {
        operation.latest = w.answer->at + world_.window() + second;
      } else if (died != never) {
        // A rollback without the target may still write it to the source, from the journal.
        operation.latest = died + world_.window() + 60 * second;
      }
    }
    if (known && w.kind != Kind::remove_where) {
      history_.add(operation);
      continue;
    }
    const Time until = known ? operation.ret : operation.latest;
    const auto version = puts ? std::optional(w.version) : std::nullopt;
    const auto at_source = world_.source.became(w.id, version, w.call, until),
               at_target = world_.target.became(w.id, version, w.call, until);
    if (at_source.empty() && at_target.empty()) continue;
    if (!known)
      operation.latest =
          std::max(at_source.empty() ? 0 : at_source.back(), at_target.empty() ? 0 : at_target.back());
    history_.add(operation);
    operation.process = again;  // the network did it twice
    if (!known && std::max(at_source.size(), at_target.size()) > 1) history_.add(operation);
  }
}

void Seed::judge() {
  const auto source = world_.source.rows.rows(), target = world_.target.rows.rows();
  for (const auto& id : ids_) {
    const auto text = [&id](const auto& rows) {
      const auto at = rows.find(id);
      return at == rows.end() ? std::string("absent") : "version " + std::to_string(at->second);
    };
    if (text(source) != text(target))
      violated("the sides differ in " + id + ": source " + text(source) + ", target " + text(target));
  }
  for (const auto& [side, rows] : {std::pair{"source", &source}, std::pair{"target", &target}}) {
    for (const auto& [id, version] : *rows) {
      const std::string key = key_text(id), value = std::to_string(version);
      history_.add(checker::Final{.side = side, .key = key, .value = value});
    }
    history_.add_final_complete(side);
  }
  // Whatever it then did about it: nothing but a gap explains that the sides differed at rest.
  for (const auto& what : world_.disk.seen().healed)
    violated("vmproxy found differences that it had no reason to expect: " + what);
  if (!world_.disk.seen().healed.empty()) {
    (void)control("differences", [this](auto& migration) -> Result<void> {
      auto found = migration.differences(20);
      if (!found) return found.error();
      for (const auto& one : *found) violated("it was " + one.key + ": " + one.kind + " " + one.detail);
      return {};
    });
  }
  add_writes();
  const auto report = checker::check(history_, {.records_per_anomaly = 200});
  if (report.verdict() == checker::Verdict::gave_up) {
    violated("the history of " + report.gave_up_keys.front() + " is too much for the checker");
  } else if (report.verdict() != checker::Verdict::clean) {
    const auto& first = report.anomalies.front();
    violated("history: " + first.key + ": " + first.what + "\n" + checker::to_text(report));
  }
}

void Seed::play() {
  plan();
  for (int attempt = 0; !world_.start(); ++attempt) {
    if (attempt == 50) return violated("vmproxy does not start");
  }
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
  if (verdict.violations.empty() && run_.chance(0.25)) plant_a_difference();
  if (verdict.violations.empty()) judge();
  for (const auto* database : {&world_.source, &world_.target}) {
    verdict.counts.lost += database->lost;
    verdict.counts.replayed += database->replayed;
    verdict.counts.late += database->landed_late;
    verdict.counts.partial += database->partial;
    verdict.counts.stale += database->stale;
  }
  verdict.counts.disk_faults = world_.disk.faults();
}

}  // namespace

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
