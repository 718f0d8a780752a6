#include "shaper.h"

#include <catch2/catch.hpp>
#include <vector>

using namespace vmproxy;
using namespace vmproxy::faultproxy;
using namespace std::chrono_literals;

namespace {

std::vector<TimePoint> dues(uint64_t seed) {
  Shaper shaper(seed);
  Faults faults;
  faults.latency = 10ms;
  faults.jitter = 5ms;
  std::vector<TimePoint> out;
  for (int i = 0; i < 100; ++i) out.push_back(shaper.due(faults, TimePoint(i * 20ms)));
  return out;
}

}  // namespace

TEST_CASE("jitter repeats with its seed and stays in its bounds") {
  CHECK(dues(1) == dues(1));
  CHECK(dues(1) != dues(2));
  const auto all = dues(3);
  for (size_t i = 0; i < all.size(); ++i) {
    const auto delay = all[i] - TimePoint(static_cast<int>(i) * 20ms);
    CHECK(delay >= 10ms);
    CHECK(delay <= 15ms);
  }
}

TEST_CASE("jitter never changes the order of bytes") {
  Shaper shaper(1);
  Faults faults;
  faults.jitter = 1000ms;
  TimePoint last{};
  for (int i = 0; i < 1000; ++i) {
    const auto due = shaper.due(faults, TimePoint(i * 1us));
    CHECK(due >= last);
    last = due;
  }
}

TEST_CASE("a cut bounds what may be written, to the byte") {
  Shaper shaper(1);
  Faults faults;
  faults.cut_after = 10;
  CHECK(shaper.allowance(faults, 100, TimePoint()) == 10);
  shaper.wrote(faults, 4, TimePoint());
  CHECK(shaper.allowance(faults, 100, TimePoint()) == 6);
  CHECK_FALSE(shaper.cut_reached(faults));
  shaper.wrote(faults, 6, TimePoint());
  CHECK(shaper.cut_reached(faults));
  faults.cut_after = 3;  // set when more had passed
  CHECK(shaper.cut_reached(faults));
  CHECK(shaper.allowance(faults, 100, TimePoint()) == 0);
}

TEST_CASE("bandwidth spaces what is written") {
  Shaper shaper(1);
  Faults faults;
  faults.bytes_per_second = 1000;
  const TimePoint now(1h);
  CHECK(shaper.allowance(faults, 100, now) == 20);
  shaper.wrote(faults, 20, now);
  CHECK(shaper.allowance(faults, 100, now) == 0);
  CHECK(shaper.free_at() == now + 20ms);
  CHECK(shaper.allowance(faults, 100, now + 20ms) == 20);
  faults.bytes_per_second = 3;
  CHECK(shaper.allowance(faults, 100, now + 20ms) == 1);
  faults.bytes_per_second = 0;
  CHECK(shaper.allowance(faults, 100, now) == 100);
}

TEST_CASE("each connection and each link has a seed of its own") {
  CHECK(seed_of(1, "a", 1) == seed_of(1, "a", 1));
  CHECK(seed_of(1, "a", 1) != seed_of(1, "a", 2));
  CHECK(seed_of(1, "a", 1) != seed_of(1, "b", 1));
  CHECK(seed_of(1, "a", 1) != seed_of(2, "a", 1));
}
