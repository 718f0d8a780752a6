#include <catch2/catch.hpp>
#include <rapidcheck/catch.h>
#include <thread>

#include "base/fake_clock.h"
#include "proxy/gate.h"
#include "proxy/key_queue.h"
#include "proxy/read_router.h"

using namespace vmproxy;
using proxy::ReadRouter;
using proxy::Routing;
using proxy::Side;

TEST_CASE("I15: what goes to the target at a percentage still goes there at any larger one") {
  FakeClock clock;
  ReadRouter router(clock);
  rc::prop("monotone", [&](const std::string& key, uint64_t salt) {
    const double small = *rc::gen::inRange(0, 101);
    const double large = *rc::gen::inRange(static_cast<int>(small), 101);
    Routing at;
    at.salt = salt;
    at.reads_percent = small;
    const Side before = router.side_for(at, key, false);
    at.reads_percent = large;
    RC_ASSERT(before == Side::source || router.side_for(at, key, false) == Side::target);
  });
}

TEST_CASE("at 10 percent 8 to 12 percent of 10,000 different reads go to the target") {
  FakeClock clock;
  ReadRouter router(clock);
  Routing at;
  at.salt = 42;
  at.reads_percent = 10;
  int target = 0;
  for (int i = 0; i < 10'000; ++i)
    target += router.side_for(at, "query " + std::to_string(i), false) == Side::target ? 1 : 0;
  CHECK(target >= 800);
  CHECK(target <= 1200);
}

TEST_CASE(
    "I16: a paged walk stays on its side when the percentage changes, and is free again after ten minutes") {
  FakeClock clock;
  ReadRouter router(clock);
  Routing at;
  at.salt = 1;
  at.reads_percent = 0;
  CHECK(router.side_for(at, "walk", true) == Side::source);
  at.reads_percent = 100;
  CHECK(router.side_for(at, "walk", true) == Side::source);
  clock.advance(std::chrono::minutes(9));
  CHECK(router.side_for(at, "walk", true) == Side::source);
  clock.advance(std::chrono::minutes(11));
  CHECK(router.side_for(at, "walk", true) == Side::target);
}

TEST_CASE("H44: writes that arrive while the gate is closed enter when it opens, in order") {
  FakeClock clock;
  proxy::Gate gate(clock);
  std::vector<int> order;
  gate.enter([&] { order.push_back(0); });
  gate.close();
  gate.enter([&] { order.push_back(1); });
  gate.enter([&] { order.push_back(2); });
  CHECK(order == std::vector<int>{0});
  CHECK(gate.inside() == 1);
  gate.leave();
  CHECK(gate.wait_drained(clock.now()));
  gate.open();
  CHECK(order == std::vector<int>{0, 1, 2});
  CHECK(gate.inside() == 2);
}

TEST_CASE("writes of one record take turns, others do not wait") {
  FakeClock clock;
  proxy::KeyQueue queue(clock);
  auto first = std::make_unique<proxy::KeyQueue::Turn>(queue.line_up({"a", "b"}));
  CHECK(first->wait(clock.now()));
  auto second = queue.line_up({"b", "c"});
  CHECK_FALSE(second.wait(clock.now()));
  auto third = queue.line_up({"d"});
  CHECK(third.wait(clock.now()));
  first.reset();
  CHECK(second.wait(clock.now()));
}

TEST_CASE(
    "who waits for all writes of a collection waits for those that were there before, and for no other") {
  FakeClock clock;
  proxy::KeyQueue queue(clock);
  CHECK(queue.wait_for_all("a/", clock.now()));
  auto first = std::make_unique<proxy::KeyQueue::Turn>(queue.line_up({"a/1"}));
  auto behind = std::make_unique<proxy::KeyQueue::Turn>(queue.line_up({"a/1", "a/2"}));
  auto other = queue.line_up({"b/1"});
  CHECK_FALSE(queue.wait_for_all("a/", clock.now()));
  first.reset();
  CHECK_FALSE(queue.wait_for_all("a/", clock.now()));
  behind.reset();
  CHECK(queue.wait_for_all("a/", clock.now()));
  CHECK_FALSE(queue.wait_for_all("b/", clock.now()));
}

TEST_CASE("a write that gives up its turn does not hold up the one behind it") {
  FakeClock clock;
  proxy::KeyQueue queue(clock);
  auto first = queue.line_up({"a"});
  auto second = std::make_unique<proxy::KeyQueue::Turn>(queue.line_up({"a"}));
  auto third = std::make_unique<proxy::KeyQueue::Turn>(queue.line_up({"a"}));
  second.reset();
  CHECK_FALSE(third->wait(clock.now()));
  {
    auto gone = std::move(first);
  }
  CHECK(third->wait(clock.now()));
}
