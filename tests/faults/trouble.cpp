// Journeys on which a database refuses, loses, is too slow or does not answer.
#include "tests/faults/journeys.h"

namespace vmproxy::support {
namespace {

using Kind = model::SchemaChange::Kind;

// The operator gives up what is in quarantine; the next comparison says whether that was right.
void give_up_quarantined(Life& life) {
  life.until(
      "an empty quarantine", [&] { return life.status().quarantined == 0 && life.status().lag_changes == 0; },
      [&]() -> Result<void> {
        const auto there = life.migration->quarantine();
        if (!there) return there.error();
        for (const auto& entry : *there) {
          if (auto dropped = life.migration->quarantine_drop(entry.number, {}); !dropped) return dropped;
        }
        return {};
      });
}

// The target refuses a record for good; the operator gives it up, and a validation brings it once it can be had.
void refused_record(Life& life) {
  const std::string id = "a3";
  life.open();
  once(life, "copied", [&] { life.ready(); });
  once(life, "given up", [&] {
    life.target.refuse_batches_with(id);
    life.until(
        "a record in quarantine", [&] { return life.status().quarantined > 0; },
        [&] {
          life.writes(12);
          return Result<void>();
        });
    life.rest();
    give_up_quarantined(life);
    life.target.take_batches();
    life.validate();  // finds it missing, and repairs it
    life.go_on();
  });
  life.writes(5);
  life.no_gap();
  life.validate();  // what the one before has repaired is equal in this one
  life.compare({"things"});
  life.close();
}

// Lanes, journal and plan have less room than is asked of them, and the target is away.
void no_room(Life& life) {
  life.options.mirror.entries_max = 4;
  life.options.mirror.journal_bytes_max = 1;
  life.journal_options.reclaim_above = 1;
  life.journal_options.reclaim_each = 20;
  life.source.range_padding = 9u << 20;
  life.open();
  once(life, "copied", [&] { life.ready(); });
  once(life, "away", [&] {
    life.target.down(Error(Code::refused_connection, "away"));
    life.writes(60);
    life.target.down(std::nullopt);
  });
  life.promote();
  end_equal(life, 10);
}

// Nothing says until when the source may do a write whose answer was lost.
void no_bound(Life& life) {
  life.source.caps.max_exec = std::nullopt;
  life.options.mirror.uncertain_window = seconds(1);
  life.open();
  once(life, "copied", [&] { life.ready(); });
  once(life, "moved", [&] {
    life.until(
        "a suspect", [&] { return life.target_is_primary() || life.status().suspect > 0; },
        [&] {
          life.lose_answer();
          return Result<void>();
        });
    life.promote();
    life.writes(20);
  });
  end_back(life);
}

// The target dies as the primary, and the way back is gone without it.
void dead_primary(Life& life) {
  life.open();
  move_there(life, 20);
  once(life, "back", [&] {
    life.rest();
    life.until(
        "the way back", [&] { return !life.target_is_primary(); },
        [&]() -> Result<void> {
          // What passed in a gap may be at the target only: it is brought back first.
          if (life.status().gaps > 0) {
            life.target.down(std::nullopt);
            life.no_gap();
          }
          life.target.down(Error(Code::refused_connection, "dead"));
          // What only it has; the source still has the same.
          (void)life.migration->context().mirror.repair({"", "things"}, {key_of("h1")});
          return life.migration->rollback({"test", "", {"unread", "ddl"}});
        });
    life.target.down(std::nullopt);
    life.go_on();
  });
  // Until somebody decides, nothing is read of what the target may have the last copy of, also when it is deleted meanwhile.
  once(life, "decided", [&] {
    give_up_quarantined(life);
    bool compared = false;
    life.until(
        "a clean comparison", [&] { return compared && life.status().validation.phase == "clean"; },
        [&] {
          life.validate();
          compared = true;
          return Result<void>();
        });
  });
  end_equal(life, 20);
}

// Somebody drops the collection at the target, later at the source, and nobody tells the proxy.
void dropped_beside(Life& life) {
  life.dialect.creates = things().name;
  life.open();
  once(life, "copied", [&] { life.ready(); });
  once(life, "lost there", [&] {
    life.target.drop_collection("things");
    life.until(
        "the new one", [&] { return life.target.has_collection("things"); },
        [&] {
          life.writes(5);
          return Result<void>();
        });
  });
  once(life, "whole again", [&] {
    life.no_gap();
    life.compare({"things"});
  });
  once(life, "lost here", [&] {
    life.rest();
    life.drop_things([&] {
      life.source.drop_collection("things");
      (void)life.migration->context().mirror.repair({"", "things"}, {key_of("h1")});
    });
    life.until("nobody to know it", [&] { return !life.knows("things"); });
  });
  life.rest();
  life.make_things();
  life.go_on();
  life.writes(30);
  life.no_gap();
  life.compare({"things"});
  life.close();
}

// A new name that the target never takes, and never says so.
void no_new_name(Life& life) {
  life.open();
  move_there(life, 10);
  life.rest();
  once(life, "created", [&] { create_there(life, "made", things("made")); });
  once(life, "not renamed", [&] {
    life.target.fail(Call::alter, Error(Code::timeout, "no answer came"));
    (void)life.change(change_of(Kind::alter_collection, "made", things("called")));
    life.until("an end of it", [&] { return !life.migration->context().renames.any_open(); });
    if (!life.knows("made") || !life.target.has_collection("made") || life.knows("called"))
      throw std::runtime_error("a name that was not given is there");
  });
  life.go_on();
  end_back(life);
}

// Dropped at the source, where drops are not followed; made again once the target is the primary.
void dropped_before(Life& life) {
  life.options.proxy.mirror_drops = false;
  life.open();
  once(life, "copied", [&] { life.ready(); });
  once(life, "dropped", [&] {
    life.rest();
    life.drop_things([&] { (void)life.send({"POST", "/drop", {}, ""}); });
  });
  life.rest();
  life.promote();
  create_there(life, "things", things());
  life.go_on();
  life.writes(20);
  life.rest();
  if (const auto wrong = life.truth.against(life.target.rows()); !wrong.empty())
    throw std::runtime_error("at the target " + wrong);
  life.close();
}

}  // namespace

const std::map<std::string, Journey> journeys_in_trouble{
    {"refused record", refused_record},
    {"no room", no_room},
    {"no bound", no_bound},
    {"dead primary", dead_primary},
    {"dropped beside", dropped_beside},
    {"no new name", no_new_name},
    {"dropped before", dropped_before},
};

}  // namespace vmproxy::support
