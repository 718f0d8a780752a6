// What a migration can do after a way back that proved nothing about the target.
#include "tests/support/move.h"

using namespace vmproxy;
using namespace vmproxy::support;

TEST_CASE(
    "after a rollback without the target a new start makes the migration ready again, and it can be promoted") {
  Move move;
  move.ready();
  move.write("a", 1);
  REQUIRE(move.quiet());
  REQUIRE(move.promote());
  move.target.down(Error(Code::refused_connection, "dead"));
  REQUIRE(move.rollback());
  REQUIRE(move.status().state == "mirroring");
  move.write("b", 2);
  move.target.down(std::nullopt);
  bool restarts = false;
  SECTION("at once") {}
  SECTION("after a restart, which goes on by itself") {
    restarts = true;
  }
  if (restarts) {
    move.crash();
    move.start();
    move.clock.advance(std::chrono::seconds(61));
  } else {
    REQUIRE(move.migration->start("ready", {}));
  }
  REQUIRE(move.reaches("ready"));
  REQUIRE(move.quiet());
  CHECK(move.equal());
  REQUIRE(move.promote());
  CHECK(move.primary() == "target");
}
