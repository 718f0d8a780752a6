// Who has the turn, and what the others are told.
#include "cutover/turn.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "base/fake_clock.h"

using namespace vmproxy;
using Catch::Matchers::Contains;

TEST_CASE("the turn is one's own until it is given back, and then the next one's") {
  FakeClock clock;
  cutover::Turn turn(clock);
  for (int i = 0; i < 2; ++i) {
    auto held = turn.ask("cutover");
    REQUIRE(held.has_value());
    CHECK(held->owns_lock());
  }
}

TEST_CASE("what is soon over is waited for") {
  FakeClock clock;
  cutover::Turn turn(clock);
  turn.lock();
  std::atomic<int> done{0};
  std::thread asking([&] {
    if (turn.ask("cutover")) ++done;
  });
  std::thread locking([&] {
    std::lock_guard hold(turn);
    ++done;
  });
  std::this_thread::yield();
  CHECK(done == 0);
  turn.unlock();
  asking.join();
  locking.join();
  CHECK(done == 2);
}

TEST_CASE("while something lasts the others are told what and since when, also those who wait already") {
  FakeClock clock;
  cutover::Turn turn(clock);
  auto held = turn.ask("promote");
  REQUIRE(held.has_value());
  std::string told;
  std::thread waiting([&] {
    const auto refused = turn.ask("finalize");
    told = refused ? "" : refused.error().message;
  });
  turn.lasts("promote", "`vmproxy rollback` ends it");
  waiting.join();
  CHECK_THAT(
      told,
      Contains("finalize refused, nothing changed: promote is under way since 1970-01-01T01:00:00.000Z"));
  const auto refused = turn.ask("cutover");
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == Code::precondition);
  CHECK_THAT(refused.error().message, Contains("`vmproxy rollback` ends it"));
  // The one that it gives way to waits, and it is forgotten with its turn.
  std::atomic<bool> has{false};
  std::thread rollback([&] {
    const auto turn_of_it = turn.ask("rollback", "promote");
    has = turn_of_it.has_value();
  });
  held->unlock();
  rollback.join();
  CHECK(has);
  CHECK(turn.ask("cutover").has_value());
}
