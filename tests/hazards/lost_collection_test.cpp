// A database that has lost what it was given (a container without a volume, a collection dropped by hand) answers all the
// same: no lag, no error, nothing that was written lately differs.
#include "tests/support/move.h"

using namespace vmproxy::support;
using vmproxy::Code;
using vmproxy::Error;

namespace {

void fill(Move& move) {
  for (int i = 0; i < 20; ++i) move.source.put("k" + std::to_string(i), 1);
  move.ready();
}

}  // namespace

TEST_CASE(
    "C8: a collection that the target has lost is made anew with a gap, and nothing moves until it is whole again") {
  Move move;
  fill(move);
  SECTION("it came back empty at once") {
    move.target.drop_collection("things");
  }
  SECTION("it was away for a while") {
    move.target.down(Error(Code::refused_connection, "starting"));
    move.write("k3", 2);
    move.linger();
    move.target.drop_collection("things");
    move.target.down(std::nullopt);
  }
  move.write("k1", 2);
  REQUIRE(move.quiet());
  CHECK(move.target.find("k1") == 2);
  CHECK(move.status().gaps == 1);
  CHECK(move.status().verdict.find("'things' was missing on the target") != std::string::npos);
  CHECK_FALSE(move.migration->cutover(10, {}));
  CHECK_FALSE(move.promote());
  CHECK(move.primary() == "source");
  move.validate_until_clean();
  CHECK(move.equal());
  CHECK(move.promote());
}

TEST_CASE(
    "C8: a promotion asks the target whether it still has its collections, also when nothing was written since") {
  Move move;
  fill(move);
  move.target.drop_collection("things");
  const auto refused = move.promote();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("gap") != std::string::npos);
  CHECK(move.primary() == "source");
  CHECK(move.status().gaps == 1);
  move.validate_until_clean();
  CHECK(move.equal());
  CHECK(move.promote());
}

TEST_CASE("C8: a validation finds that the target has lost a collection, and its repair brings it back") {
  Move move;
  fill(move);
  move.target.drop_collection("things");
  REQUIRE(move.migration->validate({true, 100, true}, {}));
  REQUIRE(move.eventually([&] { return move.status().validation.phase != "running"; }));
  CHECK(move.status().validation.missing == 20);
  CHECK(move.status().gaps == 1);
  REQUIRE(move.quiet());
  move.validate_until_clean();
  CHECK(move.equal());
  CHECK(move.promote());
}

TEST_CASE("C8: nobody is promoted to a target that does not answer, also when nothing was written since") {
  Move move;
  fill(move);
  move.target.down(Error(Code::refused_connection, "away"));
  CHECK_FALSE(move.promote());
  CHECK(move.primary() == "source");
  move.target.down(std::nullopt);
  CHECK(move.promote());
}

TEST_CASE(
    "C8: the gap of a lost collection is there before the collection is, so a crash in between leaves it") {
  Move move;
  fill(move);
  move.target.drop_collection("things");
  move.target.hold(Call::create);
  move.write("k1", 2);
  REQUIRE(move.eventually([&] { return move.target.held() > 0; }));
  move.crash();  // what was held is done all the same
  REQUIRE(move.target.has_collection("things"));
  move.start();
  CHECK(move.status().gaps == 1);
  CHECK_FALSE(move.promote());
}

TEST_CASE("C8: a collection that the source has lost after the promotion is a gap of the way back") {
  Move move;
  fill(move);
  REQUIRE(move.promote());
  move.source.drop_collection("things");
  SECTION("something was written since") {
    move.write("k1", 2);
    REQUIRE(move.quiet());
    CHECK(move.status().gaps == 1);
  }
  SECTION("nothing was") {}
  CHECK_FALSE(move.rollback());
  CHECK(move.primary() == "target");
  CHECK(move.status().gaps == 1);
  move.validate_until_clean();
  CHECK(move.equal());
  CHECK(move.rollback());
  CHECK(move.primary() == "source");
}

TEST_CASE(
    "C6: a collection that the target loses as the primary is not made anew, and a validation erases nothing on the source") {
  Move move;
  fill(move);
  REQUIRE(move.promote());
  REQUIRE(move.quiet());
  move.target.drop_collection("things");
  vmproxy::cutover::ValidateOptions how;
  SECTION("with repair") {
    how.repair = true;
  }
  SECTION("without") {}
  SECTION("a sample") {
    how.full = false;
    how.sample_percent = 50;
  }
  REQUIRE(move.migration->validate(how, {}));
  REQUIRE(move.eventually([&] { return move.status().validation.phase != "running"; }));
  CHECK(move.status().validation.phase == "failed");
  move.clock.advance(std::chrono::seconds(3));
  move.linger();
  CHECK(move.source.rows().size() == 20);
  CHECK(move.status().gaps == 0);
  CHECK(move.rollback());
  CHECK(move.source.rows().size() == 20);
}

TEST_CASE(
    "a database that stumbles when it is asked for its collections does not refuse a change of the primary") {
  Move move;
  fill(move);
  move.target.fail(vmproxy::support::Call::describe, Error(Code::quota, "rate limit"), 1);
  REQUIRE(move.promote());
  REQUIRE(move.quiet());
  move.source.fail(vmproxy::support::Call::describe, Error(Code::quota, "rate limit"), 1);
  CHECK(move.rollback());
}
