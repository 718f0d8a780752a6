// How a seed ends: everything heals, comes to rest, is compared and judged.
#include "tests/sim/seed_parts.h"

#include <algorithm>
#include <array>

#include "tests/checker/check.h"
#include "tests/sim/requests.h"
#include "tests/support/rig.h"

namespace vmproxy::sim {

bool Seed::settled(std::string& why) {
  const auto status = world_.process().migration->status();
  const auto numbers = world_.process().migration->context().mirror.numbers();
  static const std::set<std::string> whole = {"ready", "canary", "reads_moved", "promoted"};
  why = "state " + status.state + ", primary " + status.primary + ", lag " +
        std::to_string(numbers.lag_changes) + ", oldest debt " + std::to_string(numbers.oldest_debt_seconds) +
        " s, in flight " + std::to_string(numbers.in_flight) + ", gaps " + std::to_string(status.gaps) +
        ", quarantined " + std::to_string(status.quarantined) + ", validation " + status.validation.phase +
        ", problem '" + status.work.problem + numbers.problem + "'";
  if (status.state == "finalized") return true;  // the mirror has ended where it stood
  return numbers.lag_changes == 0 && numbers.oldest_debt_seconds == 0 && numbers.in_flight == 0 &&
         status.gaps == 0 && status.quarantined == 0 && status.validation.phase != "running" &&
         whole.contains(status.state);
}

// Nothing fails any more; then everything must come to an end by itself, or by what the operator is told to do.
void Seed::heal() {
  run_.after_notes("", 0, nullptr);
  world_.source.faults = world_.target.faults = NetworkFaults{};
  world_.source.away_until = world_.target.away_until = 0;
  world_.disk.fault_chance = world_.disk.read_fault_chance = 0;
  world_.disk.reads_fail_until = 0;
  world_.disk.full = false;
  for (auto* database : {&world_.source, &world_.target}) {
    for (const auto& id : ids_) {
      database->rows.refuse(id, std::nullopt);
      database->rows.hide(id, std::nullopt);
    }
  }
  run_.note("world: heals");
  for (int attempt = 0; !world_.serving(); ++attempt) {
    if (attempt == 20) return violated("vmproxy does not start although nothing fails any more");
    if (!world_.start()) run_.sleep_until(run_.now() + second);
  }
  // Where the target is primary the application sees that one, and the mirror makes what the source lacks.
  for (int attempt = 0; world_.process().migration->status().primary == "source" &&
                        !world_.source.rows.has_collection("things");
       ++attempt) {
    if (attempt == 100) return violated("the collection cannot be made although nothing fails any more");
    if (change("the application", Change::create) != Did::yes) run_.sleep_until(run_.now() + second);
  }
  // Nothing has left the quarantine since: it stopped right after the change.
  for (auto& change : forced_) {
    if (!change.listed) (void)set_aside(change.ids);
  }
  last_copies_are_kept();
  const bool rest = rests();
  if (world_.process().migration->status().state == "finalized" && finalized_ == never)
    finalized_ = run_.now();
  // Until a comparison that begins later, what was dropped from quarantine differs as the operator wanted it.
  if (rest && finalized_ == never && gave_up_) {
    (void)validated(true);
    if (!rests()) return;
  }
  if (!rest || finalized_ != never || (!unbounded_ && !stale_reads_)) return;
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
    if (status.state != "finalized" && status.at_risk > 0) drop_what_is_at_risk();
    if (status.quarantined > 0)
      (void)control("retry", [](auto& migration) { return migration.quarantine_retry({}, {}); });
    // As the background work says it, or the mirror whose lanes it waits for.
    const std::string problem = status.work.problem + status.mirror.health;
    const bool forced = problem.find("--force target_not_empty") != std::string::npos;
    if (status.primary == "source" && (forced || status.state != "ready") &&
        status.validation.phase != "running")
      start(forced);
    if (status.gaps > 0 && status.validation.phase != "running") validate();
  }
  run_.note("world: settled: " + why);
  return true;
}

// H46: nothing has read the new primary for what it lacked, and written that over the last copy. What the application wrote since
// may be there.
void Seed::last_copies_are_kept() {
  auto& quarantine = world_.process().migration->context().mirror.quarantine();
  for (auto change = forced_.rbegin(); change != forced_.rend(); ++change) {
    const bool to_target = world_.process().migration->status().primary == "target";
    if (change->to_target != to_target) break;
    auto& former = to_target ? world_.source : world_.target;
    for (const auto& id : change->ids) {
      if (!quarantine.at_risk("things", model::encode(support::key_of(id))) || dropped_ > change->from)
        continue;
      auto allowed = former.held(id, change->from, change->until);
      for (const auto& w : writes_) {
        const bool known = w.answer->at != never && w.answer->did != Did::unknown;
        if (w.id != id || (known && w.answer->at < change->from)) continue;
        const bool puts = w.kind == Kind::write || w.kind == Kind::write_if_absent;
        allowed.insert(puts ? std::optional(w.version) : std::nullopt);
      }
      const auto has = former.rows.find(id);
      if (!allowed.contains(has))
        violated("the last copy of " + id + ", which is at risk, is gone: " +
                 (has ? "version " + std::to_string(*has) : "nothing") + " is there");
    }
    break;
  }
}

// Nobody but the operator gives it up; then the sides are compared.
void Seed::drop_what_is_at_risk() {
  (void)control("drop what is at risk", [](auto& migration) -> Result<void> {
    auto listed = migration.quarantine();
    if (!listed) return listed.error();
    for (const auto& one : *listed) {
      if (!migration.context().mirror.quarantine().at_risk("things", model::encode(support::key_of(one.key))))
        continue;
      auto dropped = migration.quarantine_drop(one.number, {});
      if (!dropped) return dropped;
    }
    return {};
  });
  validate();
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
  // Dropped last: judge() sees whether both sides have it so. One that the source lacks is not compared.
  if (!world_.source.rows.has_collection("things") || !world_.target.rows.has_collection("things")) return;
  world_.disk.expect_differences();
  replica.rows.put("planted", 1);
  if (!is(validated(false), "different", 1) || !is(validated(true), "different", 1)) return;
  for (int second_passed = 0; second_passed < 60; ++second_passed) {
    if (world_.process().migration->context().mirror.numbers().dirty == 0) break;
    run_.sleep_until(run_.now() + second);
  }
  (void)is(validated(false), "clean", 0);
}

// When a write of unknown outcome at the target may have been done by a rollback without it (docs/decisions/0007): by the first that
// worked, or by one before whose end nobody was told. 0: by none.
Time Seed::carried_back(Time call) const {
  Time latest = 0;
  for (const auto& rollback : rollbacks_) {
    if (rollback.until <= call) continue;
    latest = rollback.until + second;
    if (rollback.worked) break;
  }
  return latest;
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
    Time carried = 0;
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
        if (w.answer->by_target) carried = carried_back(w.call);
        operation.latest = std::max(operation.latest, carried);
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
      operation.latest = std::max(
          {at_source.empty() ? 0 : at_source.back(), at_target.empty() ? 0 : at_target.back(), carried});
    history_.add(operation);
    operation.process = again;  // the network did it twice
    if (!known && std::max(at_source.size(), at_target.size()) > 1) history_.add(operation);
  }
}

// What the new primary had of the records that were given up is what they are from then on; or nothing was decided.
void Seed::add_forced() {
  for (size_t i = 0; i < forced_.size(); ++i) {
    const auto& change = forced_[i];
    const auto& primary = change.to_target ? world_.target : world_.source;
    for (const auto& id : change.ids) {
      for (const auto& version : primary.held(id, change.from, change.until)) {
        const std::string by = "forced change " + std::to_string(i) +
                               (version ? " to " + std::to_string(*version) : ""),
                          key = key_text(id), value = std::to_string(version.value_or(0));
        checker::Operation operation{.process = by, .key = key, .kind = version ? Kind::write : Kind::remove};
        if (version) operation.value = value;
        operation.call = change.from;
        operation.outcome = checker::Outcome::unknown;
        operation.latest = change.until;
        history_.add(operation);
      }
    }
  }
}

void Seed::judge() {
  const auto source = world_.source.rows.rows();
  // Promoted without the collection that had been dropped: what the target holds under its name is no part of the migration.
  const auto status = world_.process().migration->status();
  const bool left_behind = status.primary == "target" && !status.left_behind.empty();
  const auto target = left_behind ? support::FakeDriver::Rows() : world_.target.rows.rows();
  for (const auto& id : ids_) {
    const auto text = [&id](const auto& rows) {
      const auto at = rows.find(id);
      return at == rows.end() ? std::string("absent") : "version " + std::to_string(at->second);
    };
    if (finalized_ == never && text(source) != text(target))
      violated("the sides differ in " + id + ": source " + text(source) + ", target " + text(target));
  }
  if (finalized_ != never && world_.source.changed_after(finalized_ + world_.window() + second))
    violated("the source was written after the end of the migration");
  for (const auto& [side, rows] : {std::pair{"source", &source}, std::pair{"target", &target}}) {
    if (finalized_ != never && rows == &source) continue;
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
  add_forced();
  const auto report = checker::check(
      history_, {.states_per_key = 10'000'000, .states_total = 40'000'000, .records_per_anomaly = 200});
  if (report.verdict() == checker::Verdict::gave_up) {
    violated("the history of " + report.gave_up_keys.front() + " is too much for the checker");
  } else if (report.verdict() != checker::Verdict::clean) {
    const auto& first = report.anomalies.front();
    violated("history: " + first.key + ": " + first.what + "\n" + checker::to_text(report));
  }
}

}  // namespace vmproxy::sim
