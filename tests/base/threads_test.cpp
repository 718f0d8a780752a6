// Work on other threads, also where the system has none to give.
#include <atomic>
#include <catch2/catch.hpp>
#include <future>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "base/thread_pool.h"
#include "base/workers.h"
#include "tests/support/no_threads.h"

using vmproxy::run_workers;
using vmproxy::ThreadPool;
using vmproxy::support::NoThreads;

TEST_CASE("work that no thread can be had for is refused, and runs neither then nor later") {
  std::atomic<int> refused_ran{0};
  std::promise<void> done;
  ThreadPool pool(2, 10);
  {
    const NoThreads limit;
    CHECK_FALSE(pool.post([&] { ++refused_ran; }));
  }
  REQUIRE(pool.post([&] { done.set_value(); }));
  done.get_future().wait();
  pool.stop();
  CHECK(refused_ran == 0);
}

TEST_CASE("a pool that gets no more threads does its work with those it has") {
  std::promise<void> busy, go;
  auto may_go = go.get_future();
  std::atomic<int> ran{0};
  ThreadPool pool(2, 10);
  REQUIRE(pool.post([&] {
    busy.set_value();
    may_go.wait();
  }));
  busy.get_future().wait();
  {
    const NoThreads limit;
    CHECK(pool.post([&] { ++ran; }));
  }
  go.set_value();
  pool.stop();
  CHECK(ran == 1);
}

TEST_CASE("workers share a job; where threads are refused the caller does all of it") {
  std::mutex mutex;
  std::vector<size_t> workers;
  const auto work = [&](size_t worker) {
    std::lock_guard hold(mutex);
    workers.push_back(worker);
  };
  run_workers(3, work);
  CHECK_THAT(workers, Catch::Matchers::UnorderedEquals(std::vector<size_t>{0, 1, 2}));
  workers.clear();
  {
    const NoThreads limit;
    run_workers(3, work);
  }
  CHECK(workers == std::vector<size_t>{0});
  workers.clear();
  run_workers(0, work);
  CHECK(workers.empty());
}

TEST_CASE("what the caller's share of a job throws comes out once the others have ended") {
  std::atomic<int> ended{0};
  CHECK_THROWS_AS(run_workers(3,
                              [&](size_t worker) {
                                if (worker == 0) throw std::runtime_error("broken");
                                ++ended;
                              }),
                  std::runtime_error);
  CHECK(ended == 2);
}
