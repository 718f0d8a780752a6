// How much writes are slowed down while a change of the primary is prepared.
#include "cutover/pacer.h"

#include <catch2/catch.hpp>

#include "base/fake_clock.h"

using namespace vmproxy;
using cutover::Pacer;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr cutover::PacerLimits limits{milliseconds(250), milliseconds(1000), seconds(15)};

struct Paced {
  FakeClock clock;
  proxy::Gate gate{clock};
  Pacer pacer{gate, clock, limits, 100};

  Duration after(milliseconds time, uint64_t lag) {
    clock.advance(time);
    pacer.look(lag);
    return gate.pace();
  }
};

}  // namespace

TEST_CASE("a replica that comes nearer fast enough costs writes nothing") {
  Paced paced;
  for (uint64_t lag = 100; lag > 0; lag -= 20)
    CHECK(paced.after(milliseconds(500), lag - 20) == Duration::zero());
}

TEST_CASE("a replica that falls behind slows writes down, step by step and within the bound") {
  Paced paced;
  CHECK(paced.after(milliseconds(500), 100) > Duration::zero());
  Duration before = paced.gate.pace();
  for (int i = 0; i < 20; ++i) {
    const Duration pace = paced.after(milliseconds(500), 100);
    CHECK(pace >= before);
    CHECK(pace <= limits.gentle);
    before = pace;
  }
  CHECK(before == limits.gentle);
}

TEST_CASE("one that comes nearer too slowly to be level soon counts as one that falls behind") {
  Paced paced;
  CHECK(paced.after(milliseconds(500), 99) > Duration::zero());
}

// An application that leaves 160 ms between two writes of a connection writes no less at a pace of 250 ms than it needs to
// keep a replica a second behind: its promotion was refused again and again.
TEST_CASE("past the patience writes may wait for longer, but never longer than the second bound") {
  Paced paced;
  for (int i = 0; i < 30; ++i) paced.after(milliseconds(500), 100);
  for (int i = 0; i < 10; ++i) paced.after(milliseconds(500), 100);
  CHECK(paced.gate.pace() == limits.firm);
}

TEST_CASE("looking more often than twice a second changes nothing") {
  Paced paced;
  for (int i = 0; i < 49; ++i) CHECK(paced.after(milliseconds(10), 100) == Duration::zero());
}

TEST_CASE("writes go at full speed again when the pacer goes") {
  FakeClock clock;
  proxy::Gate gate{clock};
  {
    Pacer pacer(gate, clock, limits, 100);
    clock.advance(milliseconds(500));
    pacer.look(100);
    REQUIRE(gate.pace() > Duration::zero());
  }
  CHECK(gate.pace() == Duration::zero());
}
