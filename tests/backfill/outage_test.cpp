#include <new>

#include "tests/backfill/fixture.h"
#include "tests/support/no_threads.h"

using namespace vmproxy;
using namespace vmproxy::backfill;

namespace {

// Fails the first `times` calls of one kind.
std::function<std::optional<Error>(const std::string&)> failing(const std::string& call, int times,
                                                                Error error) {
  auto left = std::make_shared<std::atomic<int>>(times);
  return [=](const std::string& asked) -> std::optional<Error> {
    if (asked == call && left->fetch_sub(1) > 0) return error;
    return std::nullopt;
  };
}

}  // namespace

TEST_CASE("a source that is away is waited for, with the reason shown, at every kind of call") {
  for (const std::string call : {"count", "plan", "scan"}) {
    CAPTURE(call);
    Copy at;
    at.source.fill("things", 100);
    std::atomic<bool> away{true};
    at.source.fault = [&](const std::string& asked) -> std::optional<Error> {
      if (asked == call && away) return Error(Code::refused_connection, "nobody listens");
      return std::nullopt;
    };
    at.run_aside();
    eventually([&] { return at.backfill->progress().reason.find("nobody listens") != std::string::npos; });
    CHECK(at.backfill->progress().phase == (call == "scan" ? "copying" : "planning"));
    away = false;
    REQUIRE(at.joined());
    CHECK(at.backfill->progress().reason.empty());
    at.check_equal();
  }
}

TEST_CASE("pages that fail now and then are scanned again, none is lost and none counted twice") {
  Copy at;
  at.source.fill("things", 1000);
  std::atomic<int> calls{0};
  at.source.fault = [&](const std::string& call) -> std::optional<Error> {
    if (call == "scan" && calls++ % 17 == 3) return Error(Code::connection_lost, "reset");
    return std::nullopt;
  };
  REQUIRE(at.run());
  at.check_equal();
  CHECK(at.backfill->progress().records == 1000);
}

TEST_CASE("a flaky target: lanes that stop and start again cost only the pages that were under way") {
  Copy at;
  at.source.fill("things", 1000);
  at.sink->fail({{Code::cancelled, "lanes stopped"}, {Code::cancelled, "lanes stopped"}, {Code::io, "disk"}});
  REQUIRE(at.run());
  at.check_equal();
  CHECK(at.backfill->progress().records == 1000);
  CHECK(at.backfill->progress().duplicates == 0);
}

TEST_CASE("a target that is away when its indexes are to be built is waited for") {
  Copy at;
  at.source.fill("things", 10);
  at.target.fault = failing("build_indexes", 3, {Code::unavailable, "starting up"});
  REQUIRE(at.run());
  CHECK(at.target.indexes_built == 1);
}

TEST_CASE("a target that takes nothing shows as the reason after some seconds") {
  FakeDatabase source, target;
  FakeClock clock;
  Random random{1};
  Metrics metrics;
  const auto plan = plan_of(source, target);
  auto store = store::make_memory_store();
  SystemClock real;
  auto journal = journal::Journal::open(*store, real, metrics, {}).value();
  FakeSink sink(source, target, plan);
  sink.hold(true);
  source.fill("things", 10);
  Backfill backfill(*journal, source, target, sink, clock, random, metrics, {});
  Result<void> outcome = Error();
  std::thread runs([&] { outcome = backfill.run({{plan->source().name, plan}}, 1); });
  eventually([&] { return sink.waiting() > 0; });
  CHECK(backfill.progress().reason.empty());
  clock.advance(std::chrono::seconds(42));
  const auto reason = backfill.progress().reason;
  sink.hold(false);
  runs.join();
  CHECK(reason == "the target has not taken a page for 42 s; the copy waits for it");
  CHECK(outcome);
}

TEST_CASE("H21: a range that cannot be read fails the copy; it is never a success with holes") {
  Copy at;
  at.source.fill("things", 500);
  std::atomic<int> calls{0};
  at.source.fault = [&](const std::string& call) -> std::optional<Error> {
    if (call == "scan" && ++calls > 20) return Error(Code::permission_denied, "role lost its rights");
    return std::nullopt;
  };
  auto done = at.run();
  REQUIRE_FALSE(done);
  CHECK(done.error().code == Code::permission_denied);
  CHECK(done.error().message.find("collection 'things'") != std::string::npos);
  CHECK(at.backfill->progress().phase == "failed");
  CHECK(at.target.indexes_built == 0);
  at.source.fault = nullptr;
  REQUIRE(at.run());
  at.check_equal();
  CHECK(at.backfill->progress().records == 500);
}

TEST_CASE("a collection that is dropped while it is copied ends its copy with what to do") {
  Copy at;
  at.source.fill("things", 500);
  std::atomic<int> calls{0};
  at.source.fault = [&](const std::string& call) -> std::optional<Error> {
    if (call == "scan" && ++calls > 5) return Error(Code::not_found, "no such collection");
    return std::nullopt;
  };
  auto done = at.run();
  REQUIRE_FALSE(done);
  CHECK(done.error().code == Code::precondition);
  CHECK(done.error().message.find("Start again") != std::string::npos);
}

TEST_CASE("a scan that throws gives its share of the budget back") {
  Copy at;
  at.kill();
  at.options.bytes_in_flight_max = 1;  // a page at a time, whatever it is
  at.start();
  at.source.fill("things", 50);
  bool broken = true;
  at.source.fault = [&](const std::string& call) -> std::optional<Error> {
    if (call == "scan" && broken) throw std::bad_alloc();
    return std::nullopt;
  };
  REQUIRE_FALSE(at.run());
  broken = false;
  REQUIRE(at.run());
  at.check_equal();
}

TEST_CASE("a page that the lanes throw at gives its share of the budget back") {
  Copy at;
  at.kill();
  at.options.bytes_in_flight_max = 1;
  at.start();
  at.source.fill("things", 50);
  at.sink->throws = true;
  REQUIRE_FALSE(at.run());
  at.sink->throws = false;
  REQUIRE(at.run());
  at.check_equal();
}

TEST_CASE("a record that the source cannot show is owed a READ, and the copy of the others ends") {
  Copy at;
  at.source.fill("things", 95);
  const std::vector<model::Key> spoilt{key_of(FakeDatabase::name(7)), key_of(FakeDatabase::name(94))};
  for (const auto& key : spoilt) at.source.spoil(key, Error(Code::corrupt, "no JSON"));
  at.sink->repair_failures = 1;
  REQUIRE(at.run());
  CHECK(at.copied().size() == 93);
  for (const auto& key : spoilt) CHECK_FALSE(at.copied().contains(key));
  auto repaired = at.sink->repaired();
  std::sort(repaired.begin(), repaired.end());
  CHECK(repaired == spoilt);
  CHECK(at.backfill->progress().records == 95);
  CHECK(at.backfill->progress().quarantined == 2);
  // The checkpoint has passed it.
  at.crash();
  at.start();
  REQUIRE(at.run());
  CHECK(at.sink->repaired().empty());
  CHECK(at.backfill->progress().records == 95);
}

TEST_CASE("a page of which the source can show no record ends like any other") {
  Copy at;
  at.source.fill("things", 1);
  at.source.spoil(key_of(FakeDatabase::name(0)), Error(Code::corrupt, "no JSON"));
  REQUIRE(at.run());
  CHECK(at.copied().empty());
  CHECK(at.sink->repaired() == std::vector<model::Key>{key_of(FakeDatabase::name(0))});
  CHECK(at.backfill->progress().records == 1);
  CHECK(at.metrics.render().find("backfill_batch_seconds_sum -") == std::string::npos);
}

TEST_CASE("a scan that does not move on is an error, not an endless loop") {
  Copy at;
  at.source.fill("things", 50);
  at.source.after_scan = [](protocols::ScanPage& page, auto&) {
    page.records.clear();
    page.done = false;
    page.cursor.clear();
  };
  auto done = at.run();
  REQUIRE_FALSE(done);
  CHECK(done.error().message.find("does not move on") != std::string::npos);
}

TEST_CASE("a journal that cannot be written keeps the copy from being done") {
  Copy at;
  at.source.fill("things", 100);
  at.sink->hold(true);
  at.run_aside();
  eventually([&] { return at.sink->waiting() > 0; });
  at.store->fail_next_commits(1);
  at.sink->hold(false);
  eventually(
      [&] { return at.backfill->progress().reason.find("journal cannot be written") != std::string::npos; });
  REQUIRE(at.journal->reopen());
  REQUIRE(at.joined());
  at.check_equal();
  at.crash();
  at.start();
  REQUIRE(at.run());
  CHECK(at.backfill->progress().records == 100);
}

TEST_CASE("a copy that gets no threads of its own is done by its caller") {
  Copy at;
  at.source.fill("things", 100);
  {
    const support::NoThreads limit;
    REQUIRE(at.run());
  }
  at.check_equal();
}
