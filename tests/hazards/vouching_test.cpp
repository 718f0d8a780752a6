// What a comparison may vouch for, and what takes its word back.
#include "journal/rows.h"
#include "tests/support/move.h"

using namespace vmproxy::support;
using vmproxy::Code;
using vmproxy::Error;

namespace {

// Ready, but for one record that the target refused; its number in quarantine.
uint64_t one_refused(Move& move) {
  for (int i = 0; i < 5; ++i) move.source.put("k" + std::to_string(i), 1);
  move.ready();
  move.target.refuse("bad", Error(Code::invalid, "too large"));
  move.write("bad", 1);
  REQUIRE(move.quiet());
  REQUIRE(move.eventually([&] { return move.migration->quarantine()->size() == 1; }));
  return move.migration->quarantine()->front().number;
}

}  // namespace

TEST_CASE("H21: a sample that finds differences closes the gate of the validation") {
  Move move;
  for (int i = 0; i < 40; ++i) move.source.put("k" + std::to_string(i), 1);
  move.ready();
  for (int i = 0; i < 40; ++i) move.target.put("k" + std::to_string(i), 9);  // somebody, something
  vmproxy::cutover::ValidateOptions sample;
  sample.full = false;
  sample.sample_percent = 50;
  REQUIRE(move.migration->validate(sample, {}));
  REQUIRE(move.reaches([&] { return move.status().validation.phase == "different"; }));
  CHECK(says(move.promote(), "validation"));
  CHECK(move.primary() == "source");
  move.validate_until_clean();
  CHECK(move.promote());
  CHECK(move.target.find("k7") == 1);
}

TEST_CASE("a clean sample leaves the gate of the validation as it was") {
  Move move;
  move.source.put("a", 1);
  move.ready();
  vmproxy::cutover::ValidateOptions sample;
  sample.full = false;
  sample.sample_percent = 50;
  REQUIRE(move.migration->validate(sample, {}));
  REQUIRE(move.reaches([&] { return move.status().validation.phase == "clean"; }));
  CHECK(move.promote());
}

TEST_CASE(
    "H22: a change that is dropped from quarantine while a validation runs is not what that one vouches for") {
  Move move;
  const uint64_t number = one_refused(move);
  move.target.hold(Call::scan);
  vmproxy::cutover::ValidateOptions compare;
  REQUIRE(move.migration->validate(compare, {}));
  // The source's records were compared, the refused one among them: quarantine stood for it.
  REQUIRE(move.reaches([&] { return move.target.held() > 0 && move.status().validation.compared == 6; }));
  REQUIRE(move.run([&] { return move.migration->quarantine_drop(number, {}); }));
  CHECK(move.status().quarantined == 0);
  SECTION("it ends") {
    move.target.release();
    REQUIRE(move.reaches([&] { return move.status().validation.phase != "running"; }));
    CHECK(move.status().validation.phase == "clean");
    CHECK(move.status().validation.reason.find("quarantine") != std::string::npos);
  }
  SECTION("a crash ends it, and the next one is another") {
    // With it everything before it is on the disk, the drop as well.
    REQUIRE(
        move.journal->commit_rows({{std::string(vmproxy::journal::rows::state), "test", ""}}).has_value());
    const auto disk = move.disk();
    move.target.down(Error(Code::refused_connection, "killed"));
    move.crash(disk);
    move.target.down(std::nullopt);
    move.start();
    move.clock.advance(seconds(61));
    REQUIRE(move.quiet());
    REQUIRE(move.reaches([&] { return move.status().validation.phase != "running"; }));
    CHECK(move.status().validation.phase == "different");
  }
  CHECK(says(move.promote(), "validation"));
  CHECK(move.primary() == "source");
  move.target.refuse("bad", std::nullopt);
  move.validate_until_clean();
  CHECK(move.target.find("bad") == 1);
  CHECK(move.promote());
}

TEST_CASE("H22: a change whose drop could not be made durable is still in quarantine") {
  Move move;
  const uint64_t number = one_refused(move);
  move.store->fail_next_commits(1);
  CHECK_FALSE(move.migration->quarantine_drop(number, {}));
  REQUIRE(move.eventually([&] { return !move.journal->failure(); }));
  CHECK(move.status().quarantined == 1);
  CHECK(says(move.promote(), "quarantine"));
  REQUIRE(move.run([&] { return move.migration->quarantine_drop(number, {}); }));
  CHECK(says(move.promote(), "validation"));
}

TEST_CASE(
    "H9: after a promotion no comparison closes a gap while an older write may still reach the source") {
  Move move;
  move.ready();
  REQUIRE(move.promote());
  move.source.writes_fail(Error(Code::refused_connection, "read-only"));
  move.write("b", 1);
  REQUIRE(move.journal->commit_rows({}));
  move.store->fail_next_commits(1);
  move.erase("b");  // it passes: a gap stands for it
  REQUIRE(move.status().gaps == 1);
  move.crash();
  move.start();
  vmproxy::cutover::ValidateOptions all;
  all.repair = true;
  REQUIRE(move.migration->validate(all, {}));
  move.clock.advance(seconds(61));  // what may act late has done so
  for (int i = 0; i < 5; ++i) move.linger();
  CHECK(move.status().gaps == 1);
  move.source.writes_fail(std::nullopt);
  REQUIRE(move.reaches([&] { return move.status().validation.phase != "running"; }));
  REQUIRE(move.quiet());
  for (int pass = 0; pass < 10 && move.status().gaps > 0; ++pass) {
    REQUIRE(move.migration->validate(all, {}));
    REQUIRE(move.eventually([&] { return move.status().validation.phase != "running"; }));
    REQUIRE(move.quiet());
  }
  CHECK(move.status().gaps == 0);
  CHECK_FALSE(move.source.find("b"));
  move.crash();  // the journal does not bring it back either
  move.start();
  move.clock.advance(seconds(61));
  REQUIRE(move.quiet());
  CHECK_FALSE(move.source.find("b"));
}

TEST_CASE("H9: a source that does not take what is older than a gap ends the comparison with the reason") {
  Move move;
  move.ready();
  REQUIRE(move.promote());
  move.source.writes_fail(Error(Code::refused_connection, "read-only"));
  move.write("b", 1);
  REQUIRE(move.journal->mark_gap("a test"));
  REQUIRE(move.migration->validate({}, {}));
  REQUIRE(move.reaches([&] { return move.status().validation.phase != "running"; }));  // after two minutes
  CHECK(move.status().validation.phase == "failed");
  CHECK(move.status().validation.reason.find("still lacks changes from before") != std::string::npos);
  CHECK(move.status().gaps == 1);
  move.source.writes_fail(std::nullopt);
  REQUIRE(move.reaches([&] { return move.source.find("b") == 1; }));
  move.validate_until_clean();
  CHECK(move.equal());
}
