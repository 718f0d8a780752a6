#include "backfill/pace.h"

#include "backfill/meter.h"
#include "base/fake_clock.h"
#include "base/rate_limit.h"
#include "tests/backfill/fixture.h"

using namespace vmproxy;
using namespace vmproxy::backfill;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

// What a source does that needs `micros` per record.
size_t settled(PageSize& size, double micros, uint64_t bytes) {
  for (int i = 0; i < 60; ++i) {
    const size_t n = size.records(0);
    size.scanned(n, n * bytes, static_cast<double>(n) * micros / 1e6);
  }
  return size.records(0);
}

}  // namespace

TEST_CASE("pages grow and shrink until a scan takes between 100 and 300 ms") {
  PageSize size(0, 64u << 20);
  for (const double micros : {50.0, 1000.0, 5000.0, 200.0}) {
    CAPTURE(micros);
    const double took = static_cast<double>(settled(size, micros, 1000)) * micros / 1e6;
    CHECK(took >= 0.1);
    CHECK(took <= 0.3);
  }
}

TEST_CASE("pages stay below their bytes, and records large beyond measure still come one by one") {
  PageSize size(0, 1u << 20);
  CHECK(settled(size, 1, 10000) <= (1u << 20) / 9000);
  CHECK(size.bytes_expected() <= 1u << 20);
  CHECK(settled(size, 1, 50u << 20) == 1);
}

TEST_CASE("a page that timed out comes smaller, a fixed size stays") {
  PageSize size(0, 64u << 20), fixed(300, 64u << 20);
  const size_t before = size.records(0);
  size.timed_out();
  CHECK(size.records(0) <= before / 2);
  fixed.timed_out();
  fixed.scanned(300, 300, 20);
  CHECK(fixed.records(0) == 300);
}

TEST_CASE("with a low rate pages are small, so that the copy is even") {
  PageSize size(0, 64u << 20);
  CHECK(size.records(100) == 25);
  CHECK(size.records(0.5) == 1);
}

TEST_CASE("the rate limit holds on average and follows a change at once") {
  FakeClock clock;
  RateLimit rate(clock, 100);
  CHECK(rate.ready() <= clock.now());
  rate.spent(50);
  CHECK(rate.ready() - clock.now() == milliseconds(500));
  rate.spent(50);
  CHECK(rate.ready() - clock.now() == seconds(1));
  rate.set(1000);
  CHECK(rate.ready() - clock.now() == milliseconds(100));
  rate.set(0);
  CHECK(rate.ready() <= clock.now());
  rate.spent(1e9);
  CHECK(rate.ready() <= clock.now());
}

TEST_CASE("the copy keeps to its rate, and a new rate takes effect while it waits") {
  Copy at;
  FakeClock clock;
  at.kill();
  auto opened = journal::Journal::open(*at.store, at.clock, at.metrics, {});
  REQUIRE(opened);
  FakeSink sink(at.source, at.target, at.plan);
  Options options;
  options.rate_max = 100;
  options.parallel = 1;
  at.source.ranges_most = 1;
  at.source.fill("things", 2000);
  Backfill backfill(**opened, at.source, at.target, sink, clock, at.random, at.metrics, options);
  Result<void> outcome = Error();
  std::thread runs([&] { outcome = backfill.run(at.jobs(), 1); });
  const TimePoint begun = clock.now();
  while (clock.now() - begun < seconds(8)) {
    const uint64_t due =
        25 + static_cast<uint64_t>(std::chrono::duration<double>(clock.now() - begun).count() * 100);
    eventually([&] { return backfill.progress().records + 25 >= due; });
    CHECK(at.source.scanned <= due + 25);
    clock.advance(milliseconds(250));
  }
  backfill.throttle(0);
  runs.join();
  CHECK(outcome);
  CHECK(at.copied().size() == 2000);
}

TEST_CASE(
    "the copy yields while the application's writes are slower than they were, and never stands still") {
  FakeClock clock;
  double latency = 0.004;
  Yield yield(clock, [&] { return latency; });
  const auto share = [&] {
    Duration idle{};
    for (int i = 0; i < 30; ++i) {
      clock.advance(milliseconds(100));
      idle = yield.after(milliseconds(100));
    }
    return 100.0 / (100.0 + std::chrono::duration<double, std::milli>(idle).count());
  };
  CHECK(share() == 1.0);
  latency = 0.040;
  CHECK(share() < 0.1);
  CHECK(share() >= 0.0499);
  latency = 0.004;
  CHECK(share() == Approx(1.0));
  latency = 0.0055;  // within what is noise
  CHECK(share() == Approx(1.0));
  latency = 0;  // no writes at all
  CHECK(share() == Approx(1.0));
}

TEST_CASE("without writes of the application, or without anybody who measures them, nothing is yielded") {
  FakeClock clock;
  Yield nobody(clock, nullptr), idle(clock, [] { return 0.0; });
  CHECK(nobody.after(seconds(1)) == Duration::zero());
  CHECK(idle.after(seconds(1)) == Duration::zero());
}

TEST_CASE("the ETA is unknown before 1 %, comes from the recent rate, and not from a rate long ago") {
  Meter meter;
  TimePoint now{seconds(1000)};
  meter.begin(now, 5000);  // resumed: what was copied before says nothing of the rate
  CHECK(meter.eta_seconds(now, 5000, 1000000) == -1);
  CHECK(meter.eta_seconds(now, 5000, 10000) == -1);
  uint64_t records = 5000;
  for (int i = 0; i < 40; ++i) meter.sample(now += seconds(1), records += 1000);
  CHECK(meter.rate(now, records) == Approx(1000));
  CHECK(meter.eta_seconds(now, records, 100000) == Approx(55));
  for (int i = 0; i < 20; ++i) meter.sample(now += seconds(1), records += 10);
  CHECK(meter.rate(now, records) == Approx(10));
  CHECK(meter.eta_seconds(now, records, records) == 0);
  CHECK(meter.eta_seconds(now, records, 0) == -1);
  now += seconds(60);
  CHECK(meter.eta_seconds(now, records, records * 2) == -1);
}
