#include "proxy/lag_trend.h"

#include <catch2/catch.hpp>

using std::chrono::milliseconds;
using std::chrono::seconds;
using vmproxy::TimePoint;
using vmproxy::proxy::LagTrend;

namespace {

// Each second so many changes are written, and so many are applied.
uint64_t watch(LagTrend& trend, TimePoint& now, int for_seconds, uint64_t written, uint64_t applied,
               uint64_t lag) {
  static uint64_t ever = 0;
  for (int i = 0; i < for_seconds; ++i) {
    trend.note(now, ever, lag);
    now += seconds(1);
    ever += applied;
    lag += written;
    lag -= applied;
  }
  trend.note(now, ever, lag);
  return lag;
}

}  // namespace

TEST_CASE("a lag that grows is never gone, and both rates say why") {
  LagTrend trend;
  TimePoint now{};
  watch(trend, now, 10, 11'000, 8'000, 500);
  const auto rates = trend.rates();
  REQUIRE(rates);
  CHECK(rates->written == Approx(11'000));
  CHECK(rates->applied == Approx(8'000));
  CHECK_FALSE(rates->seconds_left);
}

TEST_CASE("a lag that shrinks is gone after what is left at the speed with which it shrinks") {
  LagTrend trend;
  TimePoint now{};
  const uint64_t left = watch(trend, now, 10, 100, 300, 5'000);
  CHECK(left == 3'000);
  const auto rates = trend.rates();
  REQUIRE(rates);
  CHECK(rates->written == Approx(100));
  REQUIRE(rates->seconds_left);
  CHECK(*rates->seconds_left == Approx(15));
}

TEST_CASE("a lag that stands still is never gone; none is gone at once") {
  LagTrend trend;
  TimePoint now{};
  watch(trend, now, 10, 50, 50, 70);
  REQUIRE(trend.rates());
  CHECK_FALSE(trend.rates()->seconds_left);
  trend.forget();
  CHECK_FALSE(trend.rates());
  watch(trend, now, 10, 50, 50, 0);
  REQUIRE(trend.rates());
  CHECK(trend.rates()->seconds_left == 0.0);
}

TEST_CASE("only the last half minute counts, and nothing is said of less than five seconds") {
  LagTrend trend;
  TimePoint now{};
  uint64_t lag = watch(trend, now, 4, 10, 0, 0);
  CHECK_FALSE(trend.rates());
  lag = watch(trend, now, 60, 1'000, 0, lag);
  lag = watch(trend, now, 31, 0, 100, lag);
  REQUIRE(trend.rates());
  CHECK(trend.rates()->written == Approx(0));
  CHECK(trend.rates()->applied == Approx(100));
}

TEST_CASE("a note that comes within a second of the last one is left out") {
  LagTrend trend;
  TimePoint now{};
  trend.note(now, 0, 0);
  trend.note(now + milliseconds(999), 5, 1'000'000);
  trend.note(now + seconds(10), 10, 10);
  REQUIRE(trend.rates());
  CHECK(trend.rates()->applied == Approx(1));
  CHECK(trend.rates()->written == Approx(2));
}
