// How often a side that fails is tried: what decision 15 says instead of a total budget.
#include "proxy/replica_health.h"

#include <catch2/catch.hpp>

#include "base/fake_clock.h"

using namespace vmproxy;
using std::chrono::duration;
using std::chrono::seconds;

namespace {

constexpr size_t any = SIZE_MAX;

struct Watched {
  FakeClock clock;
  Random random{3};
  proxy::ReplicaHealth health{clock, random};

  double wait_seconds() const { return duration<double>(health.retry_at() - clock.now()).count(); }
};

}  // namespace

TEST_CASE(
    "one failure stops everybody; after a while a single one tries with a single entry, and its success frees all") {
  Watched at;
  CHECK(at.health.allowed() == any);
  CHECK(at.health.failed("away"));
  CHECK(at.health.problem() == "away");
  CHECK(at.health.allowed() == 0);
  at.clock.advance(seconds(3));
  CHECK(at.health.allowed() == 1);
  CHECK(at.health.allowed() == 0);  // another lane
  CHECK(at.health.succeeded());
  CHECK(at.health.problem().empty());
  CHECK(at.health.allowed() == any);
  CHECK(at.health.allowed() == any);
}

TEST_CASE("who may try and has nothing to send leaves that to another") {
  Watched at;
  at.health.failed("away");
  at.clock.advance(seconds(3));
  CHECK(at.health.allowed() == 1);
  at.health.unused();
  CHECK(at.health.allowed() == 1);
}

TEST_CASE("the wait doubles with each failed try up to two seconds, and never ends the trying") {
  Watched at;
  at.health.failed("away");
  double longest = 0.1;
  for (int tries = 0; tries < 1000; ++tries) {
    CAPTURE(tries);
    REQUIRE(at.wait_seconds() <= longest);
    REQUIRE(at.wait_seconds() >= longest / 2);
    at.clock.advance(seconds(2));
    REQUIRE(at.health.allowed() == 1);
    REQUIRE_FALSE(at.health.failed("still away"));
    longest = std::min(longest * 2, 2.0);
  }
}

TEST_CASE("failures of calls that were under way when the first failed do not make the wait longer") {
  Watched at;
  at.health.failed("away");
  for (int lane = 0; lane < 8; ++lane) at.health.failed("away, too");
  CHECK(at.wait_seconds() <= 0.1);
}

TEST_CASE("a turn that ends with neither success nor failure is somebody else's next") {
  Watched at;
  at.health.failed("away");
  at.clock.advance(seconds(3));
  {
    const vmproxy::proxy::ReplicaHealth::Turn turn(at.health, at.health.allowed());
    CHECK(at.health.allowed() == 0);
  }
  CHECK(at.health.allowed() == 1);
  {
    const vmproxy::proxy::ReplicaHealth::Turn refused(at.health, at.health.allowed());
  }
  CHECK(at.health.allowed() == 0);  // who was not let in ends nobody's turn
}
