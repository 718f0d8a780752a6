#include "proxy/byte_budget.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using vmproxy::proxy::ByteBudget;

namespace {

// Asks in turn; what became of each stands in `said`: "a+" has its bytes, "a-" has given up.
struct Queue {
  ByteBudget budget;
  std::string said;

  explicit Queue(uint64_t bytes_max) : budget(bytes_max) {}
  ByteBudget::Waiter take(const std::string& name, uint64_t bytes) {
    return budget.take(bytes, [this, name](bool granted) { said += name + (granted ? "+" : "-"); });
  }
};

}  // namespace

TEST_CASE("who finds no room waits for it in order, also when less would fit at once") {
  Queue at(10);
  at.take("a", 6);
  CHECK(at.said == "a+");
  at.take("b", 6);
  at.take("c", 1);
  uint64_t one = 1;
  CHECK_FALSE(at.budget.take_now(one));  // nobody overtakes
  CHECK(at.said == "a+");
  CHECK(at.budget.used() == 6);
  at.budget.give_back(6);
  CHECK(at.said == "a+b+c+");
  CHECK(at.budget.used() == 7);
}

TEST_CASE("more than the whole budget counts as the whole budget, and is alone") {
  Queue at(10);
  uint64_t bytes = 1000;
  CHECK(at.budget.take_now(bytes));
  CHECK(bytes == 10);
  at.take("b", 1);
  CHECK(at.said.empty());
  at.budget.give_back(bytes);
  CHECK(at.said == "b+");
  CHECK(at.budget.used() == 1);
}

TEST_CASE("who gives up is told so once, takes nothing, and lets those behind it go on") {
  Queue at(10);
  at.take("a", 6);
  const auto big = at.take("b", 10);
  at.take("c", 4);
  at.budget.give_up(big);
  CHECK(at.said == "a+b-c+");
  CHECK(at.budget.used() == 10);
  at.budget.give_up(big);
  at.budget.give_back(10);
  CHECK(at.said == "a+b-c+");
  CHECK(at.budget.used() == 0);
}

TEST_CASE("who has its bytes can no longer give up") {
  Queue at(10);
  at.budget.give_up(at.take("a", 6));
  CHECK(at.said == "a+");
  const auto second = at.take("b", 6);
  at.budget.give_back(6);
  at.budget.give_up(second);
  CHECK(at.said == "a+b+");
  CHECK(at.budget.used() == 6);
}

TEST_CASE("a share is given back when its owner ends, also by an exception, as large as it has become") {
  ByteBudget budget(10);
  uint64_t bytes = 2;
  REQUIRE(budget.take_now(bytes));
  try {
    ByteBudget::Share share(budget, bytes);
    share.becomes(7);
    CHECK(budget.used() == 7);
    share.becomes(1000);
    CHECK(budget.used() == 10);
    throw std::runtime_error("ends");
  } catch (const std::runtime_error&) {
  }
  CHECK(budget.used() == 0);
}

TEST_CASE("what a share needs no more is there for those who wait") {
  ByteBudget budget(10);
  uint64_t bytes = 9, more = 5;
  REQUIRE(budget.take_now(bytes));
  ByteBudget::Share share(budget, bytes);
  bool granted = false;
  budget.take(more, [&](bool yes) { granted = yes; });
  CHECK_FALSE(granted);
  share.becomes(4);
  CHECK(granted);
  CHECK(budget.used() == 9);
  budget.give_back(more);
  CHECK(budget.used() == 4);
}

TEST_CASE(
    "with many threads that take, wait, give up and give back, the budget is never exceeded and all comes back") {
  constexpr uint64_t bytes_max = 100;
  ByteBudget budget(bytes_max);
  std::atomic<uint64_t> held{0}, most{0};
  std::vector<std::thread> threads;
  for (uint64_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (uint64_t i = 0; i < 2000; ++i) {
        uint64_t bytes = 1 + (i * 7 + thread * 31) % 60;
        const auto promise = std::make_shared<std::promise<bool>>();
        auto granted = promise->get_future();
        const auto waiter = budget.take(bytes, [promise](bool yes) { promise->set_value(yes); });
        if (i % 3 == 0) budget.give_up(waiter);
        if (!granted.get()) continue;
        const uint64_t now = held += bytes;
        uint64_t before = most;
        while (before < now && !most.compare_exchange_weak(before, now)) {
        }
        held -= bytes;
        budget.give_back(bytes);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(most <= bytes_max);
  CHECK(budget.used() == 0);
}
