// The runtime of the simulator, on code that knows nothing of it: standard threads, locks and futures.
#include <catch2/catch.hpp>
#include <condition_variable>
#include <future>
#include <mutex>
#include <set>
#include <thread>

#include "base/clock.h"
#include "base/thread_pool.h"
#include "tests/sim/scheduler.h"

using vmproxy::SystemClock;
using vmproxy::ThreadPool;
using vmproxy::sim::Scheduler;
using namespace std::chrono_literals;

namespace {

Scheduler::Outcome run(uint64_t seed, const std::function<void(Scheduler&)>& body) {
  Scheduler scheduler({.seed = seed, .steps_max = 1'000'000});
  return scheduler.run([&] { body(scheduler); });
}

// A counter that two threads raise with a gap between looking and storing, each in a critical section of its own.
int raced_counter(uint64_t seed, uint64_t* trace = nullptr) {
  int counter = 0;
  const auto outcome = run(seed, [&](Scheduler&) {
    std::mutex mutex;
    const auto raise = [&] {
      int seen = 0;
      {
        std::lock_guard hold(mutex);
        seen = counter;
      }
      std::lock_guard hold(mutex);
      counter = seen + 1;
    };
    std::thread one(raise), other(raise);
    one.join();
    other.join();
  });
  if (trace != nullptr) *trace = outcome.trace;
  return counter;
}

}  // namespace

TEST_CASE("a lost update between two critical sections is found by some seed, and not by every one") {
  int right = 0, lost = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) ++(raced_counter(seed) == 2 ? right : lost);
  CHECK(right > 0);
  CHECK(lost > 0);
}

TEST_CASE("the same seed is the same run, another seed another one") {
  std::set<uint64_t> traces;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    uint64_t first = 0, second = 0;
    const int counter = raced_counter(seed, &first);
    CHECK(raced_counter(seed, &second) == counter);
    CHECK(first == second);
    traces.insert(first);
  }
  CHECK(traces.size() == 50);
}

TEST_CASE("two locks taken in either order end in a deadlock that names who waits for whom") {
  int deadlocks = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    const auto outcome = run(seed, [](Scheduler&) {
      // Of a run that never ends: the threads that wait for ever look at them.
      auto* a = new std::mutex;
      auto* b = new std::mutex;
      const auto both = [](std::mutex* first, std::mutex* second) {
        std::lock_guard one(*first);
        std::lock_guard other(*second);
      };
      std::thread one(both, a, b), other(both, b, a);
      one.join();
      other.join();
      delete a;
      delete b;
    });
    if (outcome.end != Scheduler::End::deadlock) continue;
    ++deadlocks;
    CHECK(outcome.report.find("waits for a mutex that thread") != std::string::npos);
  }
  CHECK(deadlocks > 0);
  CHECK(deadlocks < 200);
}

TEST_CASE("a wait that nobody ends is a deadlock") {
  const auto outcome = run(1, [](Scheduler&) {
    auto* never = new std::promise<void>;
    never->get_future().wait();
  });
  CHECK(outcome.end == Scheduler::End::deadlock);
  CHECK(outcome.report.find("waits for a future") != std::string::npos);
}

TEST_CASE("a loop that does not end is told") {
  const auto outcome = run(1, [](Scheduler& scheduler) {
    while (true) scheduler.pause_point();
  });
  CHECK(outcome.end == Scheduler::End::too_long);
}

TEST_CASE("an hour of waiting takes no time and ends when it should") {
  SystemClock clock;
  const auto really = std::chrono::steady_clock::now();
  auto waited = 0ns;
  bool notified = true;
  const auto outcome = run(7, [&](Scheduler&) {
    std::mutex mutex;
    std::condition_variable changed;
    std::unique_lock lock(mutex);
    const auto began = clock.now();
    notified = clock.wait_until(lock, changed, began + 1h, [] { return false; });
    waited = clock.now() - began;
  });
  CHECK(outcome.end == Scheduler::End::done);
  CHECK_FALSE(notified);
  CHECK(waited >= 1h);
  CHECK(waited < 1h + 1s);
  CHECK(std::chrono::steady_clock::now() - really < 1min);
}

TEST_CASE("futures, std::async and the thread pool run simulated") {
  int sum = 0;
  const auto outcome = run(3, [&](Scheduler&) {
    auto half = std::async(std::launch::async, [] { return 20; });
    std::promise<int> rest;
    ThreadPool pool(2, 10);
    (void)pool.post([&] { rest.set_value(22); });
    sum = half.get() + rest.get_future().get();
    pool.stop();
  });
  CHECK(outcome.end == Scheduler::End::done);
  CHECK(sum == 42);
}

TEST_CASE("a killed group never goes on, and what it held is free") {
  bool survived = false, locked = false;
  const auto outcome = run(5, [&](Scheduler& scheduler) {
    auto* mutex = new std::mutex;
    const auto group = scheduler.new_group();
    scheduler.spawn(group, "victim", [&, mutex] {
      std::lock_guard hold(*mutex);
      scheduler.sleep_until(scheduler.now() + vmproxy::sim::second);
      survived = true;
    });
    scheduler.sleep_until(scheduler.now() + 100 * vmproxy::sim::millisecond);
    scheduler.kill(group);
    scheduler.sleep_until(scheduler.now() + 2 * vmproxy::sim::second);
    std::lock_guard hold(*mutex);
    locked = true;
  });
  CHECK(outcome.end == Scheduler::End::done);
  CHECK_FALSE(survived);
  CHECK(locked);
}

TEST_CASE("an event runs at its time, also when who asked for it was killed") {
  vmproxy::sim::Time at = 0;
  const auto outcome = run(9, [&](Scheduler& scheduler) {
    const auto group = scheduler.new_group();
    scheduler.spawn(group, "sender", [&] {
      scheduler.at(scheduler.now() + vmproxy::sim::second, [&] { at = scheduler.now(); });
      scheduler.sleep_until(vmproxy::sim::never - 1);
    });
    scheduler.sleep_until(10 * vmproxy::sim::millisecond);
    scheduler.kill(group);
    scheduler.sleep_until(5 * vmproxy::sim::second);
  });
  CHECK(outcome.end == Scheduler::End::done);
  CHECK(at >= vmproxy::sim::second);
  CHECK(at < 2 * vmproxy::sim::second);
}

TEST_CASE("what waits for a note comes before whoever noted it goes on") {
  int noted = 0, went_on = 0;
  const auto outcome = run(11, [&](Scheduler& scheduler) {
    const auto group = scheduler.new_group();
    scheduler.after_notes("disk: ", 3, [&scheduler, group] { scheduler.kill(group); });
    scheduler.spawn(group, "writer", [&] {
      while (true) {
        scheduler.note("network: sent");
        scheduler.note("disk: written");
        ++noted;
        scheduler.sleep_until(scheduler.now());
        ++went_on;
      }
    });
    scheduler.sleep_until(scheduler.now() + vmproxy::sim::second);
  });
  CHECK(outcome.end == Scheduler::End::done);
  CHECK(noted == 3);
  CHECK(went_on == 2);
}
