#include "tests/backfill/fixture.h"

using namespace vmproxy;
using namespace vmproxy::backfill;

TEST_CASE("every record of the source reaches the target, and the progress says so") {
  Copy at;
  at.source.fill("things", 1000);
  REQUIRE(at.run());
  at.check_equal();
  const auto progress = at.backfill->progress();
  CHECK(progress.phase == "done");
  CHECK(progress.records == 1000);
  CHECK(progress.total == 1000);
  CHECK(progress.eta_seconds == 0);
  CHECK(at.source.largest_page == 10);
  CHECK(at.metrics.render().find("vmproxy_backfill_records_total 1000") != std::string::npos);
}

TEST_CASE("an empty collection is copied at once") {
  Copy at;
  REQUIRE(at.run());
  CHECK(at.backfill->progress().phase == "done");
  CHECK(at.copied().empty());
}

TEST_CASE("several collections are copied, and one that fails does not keep the others from it") {
  Copy at;
  at.source.fill("things", 100);
  at.source.fill("broken", 100);
  auto broken = plan_of(at.source, at.target, "broken", 9);  // the sink knows incarnation 1 only
  auto done = at.backfill->run({{broken->source().name, broken}, {at.plan->source().name, at.plan}}, 3);
  REQUIRE_FALSE(done);
  CHECK(done.error().code == Code::precondition);
  CHECK(done.error().message.find("broken") != std::string::npos);
  CHECK(at.backfill->progress().phase == "failed");
  at.check_equal();
}

TEST_CASE("a source that cannot count is copied without a total and without an ETA") {
  Copy at;
  at.source.counts = false;
  at.source.fill("things", 100);
  REQUIRE(at.run());
  at.check_equal();
  CHECK(at.backfill->progress().total == 0);
}

TEST_CASE(
    "records that come and go while they are scanned neither stop the copy nor keep the others from it") {
  Copy at;
  at.source.fill("things", 400);
  std::atomic<int> next{0};
  at.source.after_scan = [&](auto&, auto&) {
    const int i = next++;
    at.source.remove("things", key_of(FakeDatabase::name(i * 7 % 400)));
    at.source.put("things", record_of("s" + FakeDatabase::name(i)));
  };
  const auto before = at.source.rows("things");
  REQUIRE(at.run());
  const auto after = at.source.rows("things");
  const auto there = at.copied();
  for (const auto& [key, record] : before) {
    if (after.contains(key)) CHECK(there.contains(key));
  }
}

TEST_CASE("H9: rows whose key a live write has touched are dropped and counted, not written") {
  Copy at;
  at.source.fill("things", 50);
  at.sink->touch(key_of(FakeDatabase::name(7)));
  REQUIRE(at.run());
  CHECK(at.backfill->progress().dropped == 1);
  CHECK(at.backfill->progress().records == 50);
  CHECK_FALSE(at.copied().contains(key_of(FakeDatabase::name(7))));
}

TEST_CASE("H22: rows that the target refuses for good are counted as quarantined and the copy goes on") {
  Copy at;
  at.source.fill("things", 50);
  at.sink->refuse(key_of(FakeDatabase::name(3)));
  at.sink->refuse(key_of(FakeDatabase::name(44)));
  REQUIRE(at.run());
  CHECK(at.backfill->progress().quarantined == 2);
  CHECK(at.copied().size() == 48);
}

TEST_CASE("indexes of the target are built once, after everything was copied") {
  Copy at;
  at.source.fill("things", 200);
  at.target.fault = [&](const std::string& call) -> std::optional<Error> {
    if (call == "build_indexes" && at.copied().size() != 200) return Error(Code::internal, "too early");
    return std::nullopt;
  };
  REQUIRE(at.run());
  CHECK(at.target.indexes_built == 1);
  REQUIRE(at.run());
  CHECK(at.target.indexes_built == 1);
}

TEST_CASE("indexes that cannot be built fail the copy with a reason, and the records stay") {
  Copy at;
  at.source.fill("things", 20);
  at.target.fault = [](const std::string& call) -> std::optional<Error> {
    if (call == "build_indexes") return Error(Code::unsupported, "index.hnsw: too many dimensions");
    return std::nullopt;
  };
  auto done = at.run();
  REQUIRE_FALSE(done);
  CHECK(done.error().message.find("index.hnsw") != std::string::npos);
  at.check_equal();
  at.target.fault = nullptr;
  REQUIRE(at.run());
  CHECK(at.source.scanned == 20);
}

TEST_CASE("bytes in flight stay below their bound while the target takes nothing") {
  Copy at;
  at.kill();
  at.options.bytes_in_flight_max = 20000;
  at.options.parallel = 4;  // of which each could have four pages in flight
  at.start();
  at.source.fill("things", 2000);
  at.sink->hold(true);
  at.run_aside();
  eventually([&] { return at.sink->waiting() >= 2; });
  // A record here is some 500 bytes, a page of ten 5,000. Nobody may scan beyond the bound however long this
  // takes.
  uint64_t scanned = 0;
  for (int calm = 0; calm < 50; ++calm) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    if (at.source.scanned != scanned) calm = 0;
    scanned = at.source.scanned;
  }
  CHECK(scanned <= 80);
  at.sink->hold(false);
  REQUIRE(at.joined());
  at.check_equal();
}

TEST_CASE("a pause stops the scans, keeps what was done and says so; resume goes on") {
  Copy at;
  at.source.fill("things", 5000);
  at.backfill->pause();
  at.run_aside();
  eventually([&] { return at.backfill->progress().phase == "paused"; });
  CHECK(at.source.scans == 0);
  CHECK(at.backfill->progress().reason == "by the operator");
  at.backfill->resume();
  REQUIRE(at.joined());
  at.check_equal();
}

TEST_CASE("a copy under way refuses a second run and forgetting its checkpoints") {
  Copy at;
  at.source.fill("things", 100);
  at.sink->hold(true);
  at.run_aside();
  eventually([&] { return at.sink->waiting() > 0; });
  CHECK(at.run().error().code == Code::precondition);
  CHECK(at.backfill->forget(3).error().code == Code::precondition);
  at.sink->hold(false);
  REQUIRE(at.joined());
}

TEST_CASE("a stopped copy ends at once, says how to go on, and goes on") {
  Copy at;
  at.source.fill("things", 500);
  at.sink->hold(true);
  at.run_aside();
  eventually([&] { return at.sink->waiting() > 0; });
  at.backfill->stop();
  auto done = at.joined();
  REQUIRE_FALSE(done);
  CHECK(done.error().code == Code::cancelled);
  CHECK(at.backfill->progress().phase == "stopped");
  at.sink->hold(false);
  REQUIRE(at.run());
  at.check_equal();
}

TEST_CASE("a stop that comes before the run is not lost") {
  Copy at;
  at.source.fill("things", 5);
  at.backfill->stop();
  CHECK(at.run().error().code == Code::cancelled);
  CHECK(at.copied().empty());
  REQUIRE(at.run());
  at.check_equal();
}
