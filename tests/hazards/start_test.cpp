// What a person decided holds: until he decides otherwise, over restarts, and against work that is under way.
#include "journal/rows.h"
#include "tests/support/move.h"

using namespace vmproxy::support;
using vmproxy::Code;
using vmproxy::Error;

namespace {

void give_time(Move& move) {
  for (int i = 0; i < 10; ++i) move.linger();
  move.clock.advance(seconds(61));
  for (int i = 0; i < 10; ++i) move.linger();
}

}  // namespace

TEST_CASE("an abandoned migration stays abandoned, whatever its work was waiting for") {
  const std::string waits_for = GENERATE(as<std::string>{}, "the target to make a collection",
                                         "writes of before to end", "the source to plan the copy");
  const bool restarts = GENERATE(false, true);
  INFO(waits_for << ", " << restarts);
  Move move;
  for (int i = 0; i < 30; ++i) move.source.put("k" + std::to_string(i), 1);
  if (waits_for == "the target to make a collection") move.target.hold(Call::create);
  if (waits_for == "the source to plan the copy") move.source.hold(Call::plan);
  move.start();
  REQUIRE(move.migration->start("ready", {}));
  if (waits_for == "writes of before to end") {
    REQUIRE(move.eventually([&] { return move.captures(); }));
  } else {
    REQUIRE(move.reaches([&] { return move.target.held() + move.source.held() > 0; }));
  }
  REQUIRE(move.run([&] { return move.migration->abandon({}); }));
  move.source.release();
  move.target.release();
  give_time(move);
  if (restarts) {
    move.crash();
    move.start();
    give_time(move);
  }
  CHECK(move.status().state == "abandoned");
  CHECK(move.status().work.problem.empty());
  CHECK_FALSE(move.context().routing.get()->capture);
  CHECK(move.target.rows().empty());
}

TEST_CASE("an abandoned migration can be started again") {
  Move move;
  for (int i = 0; i < 30; ++i) move.source.put("k" + std::to_string(i), 1);
  SECTION("when it was done") {
    move.ready();
  }
  SECTION("while its work was under way") {
    move.start();
    REQUIRE(move.migration->start("ready", {}));
    REQUIRE(move.eventually([&] { return move.captures(); }));
  }
  REQUIRE(move.run([&] { return move.migration->abandon({}); }));
  move.source.put("k3", 2);
  move.source.remove("k4");
  REQUIRE(move.migration->start("ready", {}));
  REQUIRE(move.reaches("ready"));
  CHECK(move.status().work.problem.empty());
  CHECK(move.equal());
  CHECK(move.promote());
}

TEST_CASE("a comparison that was asked for ends, however it ends") {
  Move move;
  move.source.put("a", 1);
  vmproxy::cutover::ValidateOptions compare;
  SECTION("the start before it had gone less far") {
    move.start();
    REQUIRE(move.migration->start("backfilling", {}));
    REQUIRE(move.reaches("validating"));
    compare.repair = true;
    REQUIRE(move.migration->validate(compare, {}));
    REQUIRE(move.reaches("ready"));
    REQUIRE(move.reaches([&] { return move.status().validation.phase != "running"; }));
    CHECK(move.status().validation.phase == "clean");
  }
  SECTION("a database that it must ask is away") {
    move.ready();
    REQUIRE(move.promote());
    move.source.down(Error(Code::refused_connection, "away"));
    REQUIRE(move.migration->validate(compare, {}));
    REQUIRE(move.reaches([&] { return move.status().validation.phase != "running"; }));
    CHECK(move.status().validation.phase == "failed");
    CHECK(move.status().validation.reason.find("away") != std::string::npos);
    CHECK(move.status().work.code == "refused_connection");
  }
  SECTION("the migration is finalized meanwhile") {
    move.ready();
    REQUIRE(move.promote());
    move.source.hold(Call::scan);
    REQUIRE(move.migration->validate(compare, {}));
    REQUIRE(move.eventually([&] { return move.source.held() > 0; }));
    REQUIRE(move.run([&] { return move.migration->finalize({}); }));
    move.source.release();
    REQUIRE(move.reaches([&] { return move.status().validation.phase != "running"; }));
    CHECK(move.status().validation.phase == "failed");
  }
  SECTION("the migration is abandoned before its turn comes") {
    move.start();
    move.target.hold(Call::scan);
    REQUIRE(move.migration->start("ready", {}));
    REQUIRE(move.reaches([&] { return move.target.held() > 0; }));
    REQUIRE(move.migration->validate(compare, {}));
    REQUIRE(move.run([&] { return move.migration->abandon({}); }));
    move.target.release();
    REQUIRE(move.reaches([&] { return move.status().validation.phase != "running"; }));
    CHECK(move.status().validation.phase == "failed");
    REQUIRE(move.migration->start("ready", {}));
    REQUIRE(move.reaches("ready"));
    CHECK(move.migration->validate(compare, {}));
  }
}

TEST_CASE("a comparison that was asked for is made after a kill, as it was asked for") {
  const bool begun = GENERATE(false, true);
  INFO(begun);
  Move move;
  for (int i = 0; i < 40; ++i) move.source.put("k" + std::to_string(i), 1);
  move.ready();
  for (int i = 0; i < 40; ++i) move.target.put("k" + std::to_string(i), 9);  // somebody, something
  vmproxy::cutover::ValidateOptions compare;
  SECTION("of everything") {}
  SECTION("with repair") {
    compare.repair = true;
  }
  SECTION("of a sample") {
    compare.full = false;
    compare.sample_percent = 50;
  }
  auto& waits_for = begun ? move.target : move.source;
  waits_for.hold(begun ? Call::read : Call::describe);
  REQUIRE(move.migration->validate(compare, {}));
  const uint64_t asked = move.status().validation.request;
  REQUIRE(move.reaches([&] { return waits_for.held() > 0; }));
  const auto disk = move.disk();
  for (auto* database : {&move.source, &move.target})
    database->down(Error(Code::refused_connection, "killed"));
  move.crash(disk);
  for (auto* database : {&move.source, &move.target}) database->down(std::nullopt);
  move.start();
  CHECK(move.status().validation.phase == "running");
  move.clock.advance(seconds(61));
  REQUIRE(move.reaches([&] { return move.status().validation.phase != "running"; }));
  CHECK(move.status().validation.phase == "different");
  CHECK(move.status().validation.request == asked);
  CHECK(says(move.promote(), "validation"));
  REQUIRE(move.quiet());
  CHECK(move.equal() == compare.repair);
}

TEST_CASE("a comparison that has its answer is not made again after a kill, and nobody takes that for his") {
  Move move;
  move.source.put("a", 1);
  move.ready();
  REQUIRE(move.migration->validate({}, {}));
  const uint64_t asked = move.status().validation.request;
  REQUIRE(move.reaches([&] { return move.status().validation.phase == "clean"; }));
  const auto answered = [&] {
    const auto request = vmproxy::cutover::load_validation_request(*move.journal);
    return request && !request->open;
  };
  REQUIRE(move.reaches(answered));
  // With it everything before it is on the disk.
  REQUIRE(move.journal->commit_rows({{std::string(vmproxy::journal::rows::state), "test", ""}}).has_value());
  move.crash();
  move.start();
  CHECK(move.status().validation.phase == "clean");
  CHECK(move.status().validation.request == 0);
  move.clock.advance(seconds(61));
  REQUIRE(move.quiet());
  REQUIRE(move.migration->validate({}, {}));
  CHECK(move.status().validation.request == asked + 1);
}

TEST_CASE(
    "a comparison is refused while another one that was asked for is under way, which is made as it was asked for") {
  Move move;
  for (int i = 0; i < 30; ++i) move.source.put("k" + std::to_string(i), 1);
  move.ready();
  move.target.put("k7", 9);  // somebody, something
  vmproxy::cutover::ValidateOptions all, sample;
  all.repair = true;
  sample.full = false;
  sample.sample_percent = 1;
  move.target.hold(Call::scan);
  REQUIRE(move.migration->validate(all, {}));
  const uint64_t asked = move.status().validation.request;
  const auto refused = move.migration->validate(sample, {});  // before it has begun, perhaps
  CHECK(says(refused, "a comparison that was asked for before is under way"));
  REQUIRE(move.reaches([&] { return move.target.held() > 0; }));
  CHECK(says(move.migration->validate(sample, {}), "is under way"));
  CHECK(move.status().validation.request == asked);
  move.target.release();
  REQUIRE(move.reaches([&] { return move.status().validation.phase != "running"; }));
  CHECK(move.status().validation.phase == "different");
  CHECK(move.status().validation.request == asked);
  REQUIRE(move.eventually([&] { return move.equal(); }));  // repaired
  REQUIRE(move.migration->validate(sample, {}));
  CHECK(move.status().validation.request == asked + 1);
}

TEST_CASE(
    "what a comparison finds that began earlier is no answer to who asks for one while it is under way") {
  Move move;
  for (int i = 0; i < 30; ++i) move.source.put("k" + std::to_string(i), 1);
  move.start();
  move.target.hold(Call::scan);
  REQUIRE(move.migration->start("ready", {}));
  // The source's records were compared.
  REQUIRE(move.reaches([&] { return move.target.held() > 0 && move.status().validation.compared == 30; }));
  move.target.put("k7", 9);  // somebody, something
  REQUIRE(move.migration->validate({}, {}));
  move.target.release();
  REQUIRE(move.reaches([&] { return move.status().validation.phase != "running"; }));
  CHECK(move.status().validation.phase == "different");
  CHECK(move.status().state == "ready");
}

TEST_CASE("a start that was to go as far as mirroring goes no further after a restart") {
  Move move;
  move.source.put("a", 1);
  move.start();
  REQUIRE(move.migration->start("mirroring", {}));
  REQUIRE(move.eventually([&] { return move.captures(); }));
  bool settled = true;
  SECTION("settled") {
    give_time(move);
  }
  SECTION("not settled yet") {
    settled = false;
  }
  move.crash();
  move.start();
  give_time(move);
  CHECK(move.status().state == "mirroring");
  CHECK(move.target.rows().empty());
  CHECK(move.source.calls(Call::plan) == 0);
  if (settled) {
    REQUIRE(move.migration->start("ready", {}));
    REQUIRE(move.reaches("ready"));
    CHECK(move.equal());
  }
}

TEST_CASE("a start that was accepted goes on after a kill, with what was to be skipped") {
  Move move;
  move.source.put("a", 1);
  move.target.add_collection(things());
  move.target.put("theirs", 7);
  move.target.hold(Call::create);
  move.start();
  REQUIRE(move.migration->start("ready", {"operator", "", {"target_not_empty"}}));
  REQUIRE(move.eventually([&] { return move.target.held() > 0; }));
  CHECK(move.status().state == "created");
  const auto disk = move.disk();
  move.target.down(Error(Code::refused_connection, "killed"));
  move.crash(disk);
  move.target.down(std::nullopt);
  move.start();
  move.clock.advance(seconds(61));
  REQUIRE(move.reaches("ready"));
  CHECK(move.equal());
}

TEST_CASE(
    "a person who gives up what the target holds is heard while the copy and the mirror are under way") {
  Move move;
  move.source.put("a", 1);
  move.copy_until_held(move.source, Call::scan);
  move.make_other_where_the_target_has_one();
  REQUIRE(move.migration->start("ready", {"operator", "", {"target_not_empty"}}));
  CHECK(move.eventually([&] { return move.target.rows("other").size() == 2; }));
  CHECK(move.status().state == "backfilling");
  move.source.release();
  REQUIRE(move.reaches("ready"));
  CHECK(move.eventually([&] { return move.target.rows("other") == move.source.rows("other"); }));
}

TEST_CASE("a copy that a person paused or slowed down is so after a kill") {
  Move move;
  for (int i = 0; i < 30; ++i) move.source.put("k" + std::to_string(i), 1);
  move.copy_until_held(move.target, Call::insert_only);
  bool paused = false;
  SECTION("paused") {
    REQUIRE(move.migration->pause_backfill({}));
    paused = true;
  }
  SECTION("paused and resumed") {
    REQUIRE(move.migration->pause_backfill({}));
    REQUIRE(move.migration->resume_backfill({}));
  }
  SECTION("slowed down") {
    REQUIRE(move.migration->throttle_backfill(5, {}));
  }
  const auto state = vmproxy::cutover::load_state(*move.journal);
  REQUIRE(state);
  const bool slow = state->rate.has_value();
  const auto disk = move.disk();
  move.target.down(Error(Code::refused_connection, "killed"));
  move.crash(disk);
  move.target.down(std::nullopt);
  move.start();
  move.clock.advance(seconds(61));
  const auto begun = move.clock.now();
  if (paused) {
    REQUIRE(move.reaches([&] { return move.status().backfill.phase == "paused"; }));
    give_time(move);
    CHECK(move.target.rows().empty());
    REQUIRE(move.migration->resume_backfill({}));
  }
  REQUIRE(move.reaches([&] { return move.target.rows().size() == 30; }));
  // 30 records at 5 a second; the first pages are for nothing.
  if (slow) CHECK(move.clock.now() - begun > seconds(3));
  REQUIRE(move.reaches("ready"));
  CHECK(move.equal());
}

TEST_CASE("H21: a comparison that an abandoned migration left is not gone on with by the next one") {
  Move move;
  move.source.put("a", 1);
  move.start();
  REQUIRE(move.migration->start("backfilling", {}));
  REQUIRE(move.reaches("validating"));
  move.target.down(Error(Code::refused_connection, "away"));
  REQUIRE(move.migration->start("ready", {}));
  REQUIRE(move.eventually([&] { return vmproxy::cutover::load_state(*move.journal)->validating_full; }));
  REQUIRE(move.run([&] { return move.migration->abandon({}); }));
  move.target.down(std::nullopt);
  REQUIRE(move.migration->start("mirroring", {}));
  REQUIRE(move.eventually([&] { return move.captures(); }));
  CHECK_FALSE(vmproxy::cutover::load_state(*move.journal)->validating_full);
}

TEST_CASE("H21: a comparison of before a promotion is not gone on with after a rollback without the target") {
  Move move;
  for (int i = 0; i < 30; ++i) move.source.put("k" + std::to_string(i), 1);
  move.ready();
  move.target.hold(Call::scan);
  vmproxy::cutover::ValidateOptions compare;
  REQUIRE(move.migration->validate(compare, {}));
  // The source's records were compared when a restart ends it.
  REQUIRE(move.reaches([&] { return move.target.held() > 0 && move.status().validation.compared == 30; }));
  move.linger();
  REQUIRE(move.journal->commit_rows({{std::string(vmproxy::journal::rows::state), "test", ""}}).has_value());
  const auto disk = move.disk();
  move.target.down(Error(Code::refused_connection, "killed"));
  move.crash(disk);
  move.target.down(std::nullopt);
  move.target.fail(Call::scan, Error(Code::invalid, "not now"));  // it stays where it was
  move.start();
  REQUIRE(move.reaches([&] { return move.status().validation.phase == "failed"; }));
  REQUIRE(vmproxy::cutover::load_state(*move.journal)->validating_full);
  move.clock.advance(seconds(61));
  REQUIRE(move.quiet());
  REQUIRE(move.promote());
  move.target.down(Error(Code::refused_connection, "dead"));
  REQUIRE(move.rollback());
  move.target.remove("k7");  // it comes back without what it had not synced
  move.target.down(std::nullopt);
  REQUIRE(move.migration->start("ready", {}));
  REQUIRE(move.reaches("ready"));
  CHECK(move.target.find("k7") == 1);
  CHECK(move.equal());
}

TEST_CASE(
    "H29: a read that the target could not answer is remembered over a restart, and forgotten with the migration") {
  Move move;
  move.ready();
  move.context().read_counts.returned("filter.regex");
  move.context().read_counts.returned("stale");
  move.write("a", 1);  // durable with it
  REQUIRE(move.quiet());
  move.crash();
  move.start();
  move.clock.advance(seconds(61));
  REQUIRE(move.quiet());
  CHECK(says(move.promote(), "filter.regex"));
  CHECK_FALSE(says(move.promote(), "stale"));
  CHECK(move.primary() == "source");
  SECTION("by name it is skipped") {
    CHECK(move.promote({"reads"}));
  }
  SECTION("a new start forgets it") {
    REQUIRE(move.run([&] { return move.migration->abandon({}); }));
    REQUIRE(move.migration->start("ready", {}));
    REQUIRE(move.reaches("ready"));
    CHECK(move.promote());
  }
}
