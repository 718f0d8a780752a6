// The operator of a seed.
#include "tests/sim/seed_parts.h"

#include <algorithm>
#include <array>

#include "tests/sim/requests.h"
#include "tests/support/rig.h"

namespace vmproxy::sim {

bool Seed::control(const std::string& what, const std::function<Result<void>(cutover::Migration&)>& call) {
  const auto done = std::make_shared<Result<void>>();
  const Time from = run_.now();
  const bool promotes = what.starts_with("promote");
  promotions_asked_ += promotes;
  const auto asked =
      world_.ask(what, 300 * second, [call, done](Process& process) { *done = call(*process.migration); });
  promotions_answered_ += promotes;
  const bool worked = asked == World::Asked::answered && *done;
  if (what.starts_with("rollback") && (worked || asked == World::Asked::lost))
    rollbacks_.push_back({from, run_.now(), worked});
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
  if (*text == "finalized") finalized_ = std::min(finalized_, run_.now());
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

bool Seed::set_aside(std::set<std::string>& ids) {
  const auto listed = std::make_shared<Result<std::vector<cutover::QuarantineEntry>>>(Error());
  (void)world_.ask("quarantine list", 10 * second,
                   [listed](Process& process) { *listed = process.migration->quarantine(); });
  if (!*listed) return false;
  for (const auto& one : **listed) ids.insert(one.key);
  return true;
}

// H46. What is given up is what was in quarantine then; in spite of a gap, or unvalidated: nobody knows what.
void Seed::forced(const std::string& what, bool to_target, std::vector<std::string> gates) {
  Forced change{to_target, run_.now(), never, {}};
  if (!set_aside(change.ids)) return;
  const bool anything = std::any_of(gates.begin(), gates.end(),
                                    [](const auto& gate) { return gate == "gaps" || gate == "validation"; });
  if (anything) world_.disk.expect_differences();
  const cutover::Actor actor{"operator", "", std::move(gates)};
  const bool done = control(what + " --force", [actor, to_target](auto& migration) {
    return to_target ? migration.promote(actor) : migration.rollback(actor);
  });
  // It may have been decided although nobody was told.
  change.until = std::min(run_.now(), world_.died_after(change.from));
  verdict.counts.forced += done;
  while (!(change.listed = set_aside(change.ids)) && run_.now() < ends_)
    run_.sleep_until(run_.now() + 100 * millisecond);
  if (anything) change.ids = {ids_.begin(), ids_.end()};
  if (done) verdict.counts.given_up += change.ids.size();
  forced_.push_back(std::move(change));
}

// What its records are owed is read from it, or was journaled, or is given up.
void Seed::go_back_without_target() {
  world_.target.silent = run_.chance(0.3);
  world_.target.away_until = run_.now() + run_.between(second, 60 * second);
  run_.note("world: the target dies");
  run_.sleep_until(run_.now() + run_.between(0, 3 * second));
  const auto gone = [this] { return world_.target.away(); };
  if (control("rollback", [](auto& migration) { return migration.rollback({}); })) {
    verdict.counts.dead_rollbacks += gone();
  } else if (gone() && run_.chance(0.7)) {
    forced("rollback", false,
           run_.chance(0.2) ? std::vector<std::string>{"unread", "gaps", "quarantine"}
                            : std::vector<std::string>{"unread"});
    verdict.counts.dead_rollbacks += gone();
  }
}

void Seed::quarantine(bool promoted) {
  if (run_.chance(0.7)) {
    (void)control("retry", [](auto& migration) { return migration.quarantine_retry({}, {}); });
    return;
  }
  // Both sides differ from then on, on purpose.
  world_.disk.expect_differences();
  (void)control("drop", [](auto& migration) -> Result<void> {
    auto listed = migration.quarantine();
    if (!listed) return listed.error();
    if (listed->empty()) return Error(Code::not_found, "nothing is in quarantine");
    return migration.quarantine_drop(listed->front().number, {});
  });
  gave_up_ = true;
  if (promoted) validate();
}

void Seed::operate_promoted(uint64_t what) {
  if (finalizes_ && run_.chance(0.1)) {
    const cutover::Actor actor{"operator", "",
                               run_.chance(0.7) ? std::vector<std::string>{}
                                                : std::vector<std::string>{"at_risk", "gaps", "quarantine"}};
    const bool done = control("finalize", [actor](auto& migration) { return migration.finalize(actor); });
    if (done) finalized_ = std::min(finalized_, run_.now());
    verdict.counts.finalized += done;
  } else if (dies_ && run_.chance(0.3)) {
    go_back_without_target();
  } else if (forces_ && run_.chance(0.2)) {
    forced("rollback", false, {"quarantine", "ddl"});
  } else if (what < 1) {
    validate();
  } else if (what < 2 || what > 5) {
    verdict.counts.rollbacks += control("rollback", [](auto& migration) { return migration.rollback({}); });
  }
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
    } else if (refuses_ && run_.chance(0.15)) {
      quarantine(promoted);
    } else if (!now.empty() && !promoted && !ready) {
      if (what < (hurries_ ? 8 : 6)) {
        start(reconfigures_ && run_.chance(0.5));
      } else if (what < (hurries_ ? 9 : 8)) {
        validate();
      }
    } else if (promoted) {
      operate_promoted(what);
    } else if (what < 1) {
      validate();
    } else if (what < (hurries_ ? 3 : 5)) {
      const double percent = static_cast<double>(run_.chance(0.4) ? 100 : run_.below(101));
      verdict.counts.percent_changes +=
          control("cutover", [percent](auto& migration) { return migration.cutover(percent, {}); });
    } else if (what < 9 && !stale_reads_) {
      if (forces_ && run_.chance(0.5)) {
        forced("promote", true,
               run_.chance(0.15)
                   ? std::vector<std::string>{"quarantine", "gaps", "validation", "lag", "debts", "reads"}
                   : std::vector<std::string>{"quarantine", "lag", "debts", "reads"});
      } else {
        verdict.counts.promotions +=
            control("promote", [](auto& migration) { return migration.promote({}); });
      }
    } else {
      verdict.counts.rollbacks += control("rollback", [](auto& migration) { return migration.rollback({}); });
    }
    run_.sleep_until(run_.now() + run_.between(100 * millisecond, (hurries_ ? 1 : 4) * second));
  }
  --under_way_;
}

}  // namespace vmproxy::sim
