// Renames after a promotion: a crash, a lost answer, or a journal that fails at any point leaves the collection under one of
// its names, with what it holds, and what was acknowledged reaches the source or is a gap.
#include <future>

#include "tests/hazards/fake_proxy.h"

using namespace vmproxy::support;
using vmproxy::Code;
using vmproxy::Error;
using vmproxy::Result;
namespace model = vmproxy::model;

namespace {

model::SchemaChange alteration(const model::Schema& wanted) {
  model::SchemaChange change;
  change.kind = model::SchemaChange::Kind::alter_collection;
  change.name = things().name;
  change.schema = wanted;
  return change;
}

// "things" with the record "a", on both sides, the target being the primary; and "others".
struct Promoted : Proxy {
  using Changed = std::future<Result<model::Schema>>;

  Promoted() {
    move.source.add_collection(things("others"));
    move.options.mirror.lanes.lanes = 1;
  }
  void promoted() {
    ready();
    REQUIRE(move.promote());
  }
  Result<model::Schema> rename() { return backend().change(alteration(things("renamed"))); }
  Changed rename_aside() {
    return std::async(std::launch::async, [this] { return rename(); });
  }
  // It has not been done yet.
  Changed rename_that_hangs() {
    move.target.hold(Call::alter);
    auto renamed = rename_aside();
    CHECK(move.eventually([&] { return move.target.held() == 1; }));
    return renamed;
  }
  bool put(const std::string& collection, const std::string& id) {
    return backend().write(put_of(collection, {id})).has_value();
  }
  // A lane has images of "others" and of "things" in one batch, and the source does not answer for the first.
  void holds_a_batch() {
    move.source.down(Error(Code::refused_connection, "away"));
    REQUIRE(put("others", "x"));
    REQUIRE(put("things", "b"));
    REQUIRE(move.journal->commit_rows({}));  // with their outcomes
    restart(move.disk());
    move.source.down(std::nullopt);
    move.source.hold(Call::upsert);
    move.clock.advance(seconds(61));
    REQUIRE(move.eventually([&] { return move.source.held() == 1; }));
  }
  bool knows(const std::string& collection) { return move.context().collections.find(collection) != nullptr; }
  bool settled() {
    return move.eventually([&] { return !move.context().renames.any_open(); });
  }
  // The new name, all of it.
  void check_renamed() {
    CHECK(knows("renamed"));
    CHECK_FALSE(knows("things"));
    CHECK_FALSE(move.target.has_collection("things"));
    CHECK(move.target.rows("renamed").contains("a"));
    CHECK(put("renamed", "later"));
    CHECK(move.target.rows("renamed").contains("later"));
    CHECK(move.status().gaps >= 1);
    CHECK_FALSE(move.rollback());
  }
  // The old one, as if nobody had asked.
  void check_as_before() {
    CHECK(knows("things"));
    CHECK_FALSE(knows("renamed"));
    CHECK_FALSE(move.target.has_collection("renamed"));
    CHECK_FALSE(move.source.has_collection("renamed"));
    CHECK(put("things", "later"));
    CHECK(move.eventually([&] { return move.source.find("later") == 1; }));
    CHECK(move.status().gaps == 0);
    CHECK(move.rollback());
  }
};

}  // namespace

TEST_CASE(
    "C6: a crash while the target thinks about a new name loses neither records nor what is owed to the source") {
  Promoted at;
  at.promoted();
  at.move.source.down(Error(Code::refused_connection, "away"));
  REQUIRE(at.put("things", "b"));
  auto renamed = at.rename_that_hangs();
  const auto disk = at.move.disk();
  bool arrived = false;
  SECTION("it arrived") {
    arrived = true;
  }
  SECTION("it did not") {
    at.move.target.fail(Call::alter, Error(Code::refused_connection, "away"));
  }
  at.move.target.release();
  (void)renamed.get();
  at.restart(disk);
  at.move.source.down(std::nullopt);
  CHECK_FALSE(at.move.rollback());  // nobody knows yet
  at.move.clock.advance(seconds(61));
  CHECK(at.settled());
  if (arrived) {
    CHECK(at.move.target.rows("renamed").contains("b"));
    at.check_renamed();
  } else {
    CHECK(at.move.eventually([&] { return at.move.source.find("b") == 1; }));
    at.check_as_before();
  }
}

TEST_CASE("a crash right after a rename leaves the new name, ours and noted") {
  Promoted at;
  at.promoted();
  REQUIRE(at.rename());
  at.restart(at.move.disk());
  CHECK_FALSE(at.move.context().renames.any_open());
  const auto now = at.move.context().collections.find("renamed");
  REQUIRE(now);
  CHECK(at.move.context().collections.claimed(*now));
  at.check_renamed();
}

TEST_CASE(
    "a rename that was done although its answer was lost is found, by who asks for either name or by nobody") {
  Promoted at;
  at.promoted();
  at.move.target.lose_answer_of_alter();
  REQUIRE_FALSE(at.rename());
  REQUIRE(at.move.target.has_collection("renamed"));
  SECTION("by a write to the new name") {
    CHECK(at.put("renamed", "x"));
  }
  SECTION("by one to the old name, which is gone") {
    CHECK_FALSE(at.put("things", "x"));
  }
  SECTION("by a change of it") {
    CHECK_FALSE(at.rename());
  }
  SECTION("by nobody") {}
  CHECK(at.settled());
  at.check_renamed();
}

TEST_CASE("a rename that was not done and had no answer is taken back once it cannot be done any more") {
  Promoted at;
  at.promoted();
  at.move.target.fail(Call::alter, Error(Code::timeout, "no answer came"));
  REQUIRE_FALSE(at.rename());
  CHECK(at.put("things", "meanwhile"));
  auto again = at.rename();
  REQUIRE_FALSE(again);
  CHECK(again.error().surely_not_done());  // it may still be done
  CHECK(at.move.context().renames.any_open());
  at.move.clock.advance(seconds(61));
  CHECK(at.settled());
  at.check_as_before();
}

TEST_CASE("a rename that the target has done and the journal cannot keep is kept when it can") {
  Promoted at;
  at.promoted();
  auto renamed = at.rename_that_hangs();
  at.move.store->fail_next_commits(1);
  at.move.store->fail_reopen(true);
  at.move.target.release();
  CHECK(at.move.eventually([&] { return renamed.wait_for(seconds(0)) == std::future_status::ready; }));
  const auto failed = renamed.get();
  REQUIRE_FALSE(failed);
  CHECK_FALSE(failed.error().surely_not_done());
  CHECK(at.knows("things"));
  at.move.store->fail_reopen(false);
  CHECK(at.settled());
  at.check_renamed();
}

TEST_CASE("a comparison while the target thinks about a new name makes nothing under it, on neither side") {
  Promoted at;
  at.promoted();
  auto renamed = at.rename_that_hangs();
  CHECK(at.move.migration->validate({}, {}));
  CHECK(at.until([&] { return at.move.status().validation.phase != "running"; }));
  at.move.target.fail(Call::alter, Error(Code::invalid, "no such name can be given"));
  at.move.target.release();
  CHECK_FALSE(renamed.get());
  at.check_as_before();
}

TEST_CASE("a rename that is done late, after a rollback in spite of it, is changed back") {
  Promoted at;
  at.move.target.caps.max_exec = seconds(60);
  at.promoted();
  at.move.target.fail(Call::alter, Error(Code::timeout, "no answer came"));
  REQUIRE_FALSE(at.rename());
  CHECK(says(at.move.rollback(), "ddl"));
  REQUIRE(at.move.rollback({"ddl"}));
  REQUIRE(at.move.target.alter(things().name, things("renamed"), at.move.clock.in(seconds(1))));
  CHECK(at.settled());
  CHECK(at.knows("things"));
  CHECK(at.move.target.find("a") == 1);
  CHECK_FALSE(at.move.target.has_collection("renamed"));
}

TEST_CASE("C6: an image that a lane held when a rename began survives it, also when the target dies then") {
  Promoted at;
  at.promoted();
  at.holds_a_batch();
  auto renamed = at.rename_that_hangs();
  at.move.source.release();
  CHECK(at.move.eventually([&] { return at.move.source.rows("others").contains("x"); }));
  at.move.linger();
  at.move.target.down(Error(Code::refused_connection, "dead"));
  at.move.target.release();
  CHECK_FALSE(renamed.get());
  CHECK(at.move.eventually([&] { return at.move.source.find("b") == 1; }));
}

TEST_CASE(
    "H20: an image that a lane held when its collection was dropped is not written to the one that has its name then") {
  Promoted at;
  at.promoted();
  at.holds_a_batch();
  model::SchemaChange drop;
  drop.kind = model::SchemaChange::Kind::drop_collection;
  drop.name = things().name;
  REQUIRE(at.backend().change(drop));
  model::SchemaChange create;
  create.kind = model::SchemaChange::Kind::create_collection;
  create.schema = things();
  REQUIRE(at.backend().change(create));
  at.move.source.recreate("things");  // as the source would have it if it had been told
  at.move.source.release();
  CHECK(at.move.quiet());
  CHECK_FALSE(at.move.source.find("b"));
}

TEST_CASE(
    "a change that was worked out from what another request has changed since is refused, and undoes nothing") {
  Promoted at;
  auto parted = things();
  parted.partitions = {"", "north"};
  at.move.source.add_collection(std::move(parted));
  at.move.source.put("a", 1);
  at.promoted();
  auto late = at.backend(), same = at.backend();  // their snapshot is from now
  auto wanted = at.move.context().collections.find("things")->plan->source();
  auto more = wanted;
  more.partitions.push_back("south");
  REQUIRE(at.backend().change(alteration(more)));
  wanted.metadata = model::Object{{"alias", std::string("other")}};
  const auto changed = late.change(alteration(wanted));
  REQUIRE_FALSE(changed);
  CHECK(changed.error().surely_not_done());
  CHECK(late.overtaken());
  CHECK(same.change(alteration(more)));  // nothing is left to do
  CHECK(at.move.context().collections.find("things")->plan->source().partitions == more.partitions);
  CHECK(at.move.rollback());  // no partition is said to have been dropped
}

TEST_CASE("a partition whose drop had no answer is there as before, and holds up no rollback") {
  Promoted at;
  auto parted = things();
  parted.partitions = {"", "north"};
  at.move.source.add_collection(parted);
  at.move.source.put("a", 1);
  at.promoted();
  auto wanted = at.move.context().collections.find("things")->plan->source();
  wanted.partitions = {""};
  at.move.target.fail(Call::alter, Error(Code::timeout, "no answer came"));
  CHECK_FALSE(at.backend().change(alteration(wanted)));
  CHECK(at.move.context().collections.find("things")->plan->source().partitions == parted.partitions);
  CHECK(at.move.rollback());
}
