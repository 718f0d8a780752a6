// What breaks in a seed.
#include "tests/sim/seed_parts.h"

#include <algorithm>
#include <array>

#include "tests/sim/requests.h"
#include "tests/support/rig.h"

namespace vmproxy::sim {

// Right after something was asked or written: what comes next is what a crash must not need.
void Seed::kill_at_a_bad_moment() {
  static constexpr std::array moments = {
      "disk: commit",  "disk: commit",   "disk: slot",    "source: scan",        "source: read",
      "source: query", "source: upsert", "source: erase", "source: erase_where", "target: upsert",
      "target: erase", "target: read",   "operator"};
  const bool machine = run_.chance(0.3);
  run_.after_notes(moments[run_.below(moments.size())], 1 + run_.below(12), [this, machine] {
    if (!world_.running() || run_.now() >= ends_) return;
    ++(machine ? verdict.counts.machine_ends : verdict.counts.kills);
    world_.kill(machine);
  });
}

// A database takes, or shows, a record for good no more, until somebody changes something there.
void Seed::refuse_for_a_while() {
  auto& database = run_.chance(0.7) ? world_.target : world_.source;
  const std::string id = ids_[run_.below(hot_ ? 2 : ids_.size())];
  const bool hides = run_.chance(0.2);
  run_.note(std::string("world: a database ") + (hides ? "hides " : "refuses ") + id);
  ++verdict.counts.refusals;
  if (hides) {
    database.rows.hide(id, Error(Code::unavailable, "its partition is not loaded"));
  } else {
    database.rows.refuse(id, Error(Code::invalid, "too large"));
  }
  run_.at(run_.now() + run_.between(second, 30 * second), [&database, id] {
    database.rows.hide(id, std::nullopt);
    database.rows.refuse(id, std::nullopt);
  });
}

void Seed::outage() {
  auto& gone = run_.chance(0.67) ? world_.source : world_.target;
  gone.silent = run_.chance(0.3);
  gone.away_until = std::max(gone.away_until, run_.now() + run_.between(0, 8 * second));
  run_.note("world: a database goes away");
  run_.sleep_until(gone.away_until);
}

void Seed::bad_disk() {
  const Time until = run_.now() + run_.between(10 * millisecond, 8 * second);
  if (run_.chance(0.5)) {
    world_.disk.reads_fail_until = until;
    run_.note("world: the disk cannot be read");
    return;
  }
  ++verdict.counts.full_disks;
  world_.disk.full = true;
  run_.note("world: the disk is full");
  run_.sleep_until(until);
  world_.disk.full = false;
}

// Between two lives. What vmproxy refuses to start with is put back.
void Seed::reconfigure() {
  const uint64_t promotions = promotions_answered_;
  const std::string now = state();
  if (!world_.stop()) return;
  ++verdict.counts.reconfigured;
  const auto before = world_.options;
  world_.options.mirror.lanes.lanes = 1 + run_.below(4);
  world_.options.backfill.batch = 1 + run_.below(10);
  world_.options.backfill.records_per_range = 1 + run_.below(10);
  const uint64_t what = run_.below(4);
  const bool source_is_primary =
      !now.empty() && now != "promoted" && now != "finalized" && promotions_asked_ == promotions;
  if (what == 0) world_.options.source_place.address += "'";
  if (what == 1) world_.options.target_place.address += "'";
  if (what == 2 && source_is_primary) {
    world_.options.target_place.address += "+";
    world_.target.replaced_by_an_empty_one();
  }
  run_.note("world: another configuration, with the source at " + world_.options.source_place.address +
            " and the target at " + world_.options.target_place.address);
  for (int attempt = 0; what != 2 && attempt < 3 && !world_.start(); ++attempt) {
    if (attempt == 2) world_.options = before;
  }
}

void Seed::disturb() {
  while (run_.now() < ends_) {
    run_.sleep_until(std::min(ends_, run_.now() + run_.between(100 * millisecond, 10 * second)));
    const uint64_t what = run_.below(10);
    if (refuses_ && run_.chance(0.5)) refuse_for_a_while();
    if (reconfigures_ && run_.chance(0.15)) {
      reconfigure();
    } else if (disk_breaks_ && run_.chance(0.3)) {
      bad_disk();
    } else if (kills_ && what < 2) {
      const bool machine = run_.chance(0.3);
      ++(machine ? verdict.counts.machine_ends : verdict.counts.kills);
      world_.kill(machine);
    } else if (kills_ && what >= 6) {
      kill_at_a_bad_moment();
    } else if (kills_ && what < 3) {
      verdict.counts.stops += world_.stop();
    } else if (outages_ && what < 6) {
      outage();
    }
    while (!world_.serving() && run_.now() < ends_) {
      run_.sleep_until(run_.now() + run_.between(0, second));
      (void)world_.start();
    }
  }
}

}  // namespace vmproxy::sim
