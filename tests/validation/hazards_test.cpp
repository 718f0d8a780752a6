#include "journal/rows.h"
#include "tests/validation/fixture.h"

using namespace vmproxy;
using namespace vmproxy::validation;

using Lines = std::vector<std::string>;

TEST_CASE("H23: a write that reaches the target after its record was scanned is no difference") {
  Compare at;
  at.fill(200);
  // The target lags: each record is one version behind when it is first read, and arrives a little later.
  for (int i = 0; i < 200; ++i) {
    at.source.put("things", record_of(FakeDatabase::name(i), 2));
    at.sink->set_dirty(key_of(FakeDatabase::name(i)), true);
  }
  std::atomic<int> reads{0};
  at.target.after_read = [&](std::vector<model::Record>&) {
    if (++reads != 12) return;
    for (int i = 0; i < 200; ++i) {
      at.put_target(record_of(FakeDatabase::name(i), 2));
      at.sink->set_dirty(key_of(FakeDatabase::name(i)), false);
    }
  };
  auto report = at.run();
  REQUIRE(report);
  CHECK(report->clean());
  CHECK(report->compared == 200);
}

TEST_CASE("H23: a key that is dirty is not called different, however long it stays so") {
  Compare at;
  at.fill(100);
  at.put_target(record_of(FakeDatabase::name(5), 0));
  at.sink->set_dirty(key_of(FakeDatabase::name(5)), true);
  at.run_aside();
  eventually([&] { return at.validation->progress().looked_up == 100; });
  auto report = at.joined();
  REQUIRE(report);
  CHECK(report->clean());
  CHECK(report->unsettled == 1);
  CHECK(report->repaired == 0);
  CHECK(report->reason.find("1 records") == 0);
  // Not vouched for, so the mirror reads it again, without --repair too.
  CHECK(at.sink->repaired() == std::vector<model::Key>{key_of(FakeDatabase::name(5))});
}

TEST_CASE("H23: a key that is dirty for a while and then still different is found") {
  Compare at;
  at.fill(100);
  at.put_target(record_of(FakeDatabase::name(5), 0));
  const auto key = key_of(FakeDatabase::name(5));
  at.sink->set_dirty(key, true);
  std::atomic<int> reads{0};
  at.source.after_read = [&](auto&) {
    if (++reads == 10) at.sink->set_dirty(key, false);
  };
  auto report = at.run();
  REQUIRE(report);
  CHECK(at.found() == Lines{"different r000005"});
}

TEST_CASE("H23: a record that changes at every look is unsettled, not different") {
  Compare at;
  at.fill(50);
  std::atomic<int64_t> version{2};
  // Both sides move on all the time, never seen together.
  at.source.put("things", record_of(FakeDatabase::name(7), 2));
  const auto change = [&] { at.source.put("things", record_of(FakeDatabase::name(7), ++version)); };
  at.source.after_scan = [&](auto&, auto&) { change(); };
  at.source.after_read = [&](auto&) { change(); };
  auto report = at.run();
  REQUIRE(report);
  CHECK(report->clean());
  CHECK(report->unsettled == 1);
}

TEST_CASE("H23: a replica that changes while the primary stands still is not yet called different") {
  Compare at;
  at.fill(50);
  at.put_target(record_of(FakeDatabase::name(7), 0));
  std::atomic<int> looks{0};
  at.target.after_read = [&](std::vector<model::Record>& records) {
    const bool page = records.size() > 1;
    const auto has = [](const model::Record& record) { return record.key == key_of(FakeDatabase::name(7)); };
    if (std::none_of(records.begin(), records.end(), has)) return;
    if (page) at.put_target(record_of(FakeDatabase::name(7), -1));  // an older write arrives late
    if (!page && ++looks == 1) at.put_target(record_of(FakeDatabase::name(7)));  // and then the last one
  };
  auto report = at.run();
  REQUIRE(report);
  CHECK(report->clean());
  CHECK(looks >= 2);
}

TEST_CASE("a record deleted while it is compared is no difference") {
  Compare at;
  at.fill(100);
  at.remove_target(9);
  at.target.after_read = [&](auto&) { at.remove_source(9); };
  auto report = at.run();
  REQUIRE(report);
  CHECK(report->clean());
}

TEST_CASE(
    "a record that was deleted from the source only, while it was compared, is counted once, as extra") {
  Compare at;
  at.fill(100);
  at.source.after_scan = [&](auto&, auto&) { at.remove_source(9); };
  at.put_target(record_of(FakeDatabase::name(9), 3));
  auto report = at.run();
  REQUIRE(report);
  CHECK(at.found() == Lines{"extra r000009"});
}

TEST_CASE("H25: what the copy and the mirror believe does not matter: their rows are not read") {
  Compare at;
  at.fill(100);
  at.remove_target(50);
  std::vector<journal::Row> rows;
  for (const auto table : {journal::rows::checkpoints, journal::rows::touched, journal::rows::idmap}) {
    rows.push_back({std::string(table), "things", "all is well"});
  }
  REQUIRE(at.journal->commit_rows(rows));
  auto report = at.run();
  REQUIRE(report);
  CHECK(report->missing == 1);
}

TEST_CASE("H21, H34: a side that cannot be read is never a clean pass") {
  const std::string side = GENERATE("source", "target");
  const std::string call = GENERATE("plan", "scan", "read");
  CAPTURE(side, call);
  Compare at;
  at.fill(100);
  auto& database = side == "source" ? at.source : at.target;
  database.fault = [&](const std::string& asked) -> std::optional<Error> {
    if (asked == call) return Error(Code::permission_denied, "not yours");
    return std::nullopt;
  };
  auto report = at.run();
  REQUIRE_FALSE(report);
  CHECK(report.error().message.find("not yours") != std::string::npos);
  CHECK_FALSE(at.validation->progress().clean());
  CHECK(at.validation->progress().phase == "failed");
}

TEST_CASE("a side that is away for a while is waited for, and the counts stay exact") {
  const std::string side = GENERATE("source", "target");
  Compare at;
  at.fill(400);
  at.remove_target(100);
  at.remove_source(200);
  std::atomic<int> calls{0};
  auto& database = side == "source" ? at.source : at.target;
  database.fault = [&](const std::string&) -> std::optional<Error> {
    if (calls++ % 7 == 2) return Error(Code::unavailable, "starting up");
    return std::nullopt;
  };
  auto report = at.run();
  REQUIRE(report);
  CHECK(report->compared == 399);
  CHECK(report->looked_up == 399);
  CHECK(at.found() == Lines{"extra r000200", "missing r000100"});
}

TEST_CASE("what it waits for is shown") {
  Compare at;
  at.fill(10);
  std::atomic<bool> away{true};
  at.target.fault = [&](const std::string& call) -> std::optional<Error> {
    if (call == "read" && away) return Error(Code::refused_connection, "nobody listens");
    return std::nullopt;
  };
  at.run_aside();
  eventually([&] { return at.validation->progress().reason.find("nobody listens") != std::string::npos; });
  CHECK(at.validation->progress().phase == "running");
  away = false;
  auto report = at.joined();
  REQUIRE(report);
  CHECK(report->clean());
  CHECK(report->reason.empty());
}

TEST_CASE("H34: a pass that is killed goes on where it was, with exact counts and each finding once") {
  Compare at;
  at.fill(1000);
  for (int i = 0; i < 1000; i += 50) at.remove_target(i);
  for (int i = 25; i < 1000; i += 50) at.remove_source(i);
  for (int kill = 0; kill < 8; ++kill) {
    CAPTURE(kill);
    const auto goal = at.validation->progress().compared + 60;
    at.run_aside();
    eventually([&] {
      const auto now = at.validation->progress();
      return now.compared + now.looked_up >= goal * static_cast<uint64_t>(kill % 3 + 1) ||
             now.phase == "different";
    });
    at.crash();
    at.options.batch = 7 + static_cast<size_t>(kill) * 5;
    at.options.parallel = 1 + static_cast<size_t>(kill) % 4;
  }
  auto report = at.run();
  REQUIRE(report);
  CHECK(report->compared == 980);
  CHECK(report->looked_up == 980);
  CHECK(report->missing == 20);
  CHECK(report->extra == 20);
  const auto found = at.found();
  CHECK(found.size() == 40);
  CHECK(std::adjacent_find(found.begin(), found.end()) == found.end());
  CHECK(at.source.plans == 1);
}

TEST_CASE("a pass that was done gives its report again without reading anything") {
  Compare at;
  at.fill(100);
  at.remove_target(1);
  REQUIRE(at.run());
  at.crash();
  const uint64_t scans = at.source.scans + at.target.scans;
  auto again = at.run();
  REQUIRE(again);
  CHECK(again->missing == 1);
  CHECK(again->compared == 100);
  CHECK(at.source.scans + at.target.scans == scans);
}

TEST_CASE("a pass whose collection, sample or primary changed begins anew") {
  Compare at;
  at.fill(100);
  REQUIRE(at.run());
  const uint64_t scanned = at.source.scanned;
  SECTION("primary") {
    at.primary = Side::target;
  }
  SECTION("sample") {
    at.options.sample_percent = 99;
  }
  SECTION("incarnation") {
    auto schema = at.plan->source();
    schema.incarnation = 2;
    auto made =
        mapping::Plan::make(schema, at.source.capabilities(), {"", "moved"}, at.target.capabilities());
    REQUIRE(made);
    at.plan = std::shared_ptr<const mapping::Plan>(std::move(*made));
  }
  REQUIRE(at.run());
  CHECK(at.source.scanned == 2 * scanned);
}

TEST_CASE("another pass forgets the findings of the last one") {
  Compare at;
  at.fill(100);
  at.remove_target(1);
  REQUIRE(at.run());
  CHECK(at.found().size() == 1);
  at.put_target(record_of(FakeDatabase::name(1)));
  at.pass = "2";
  auto report = at.run();
  REQUIRE(report);
  CHECK(report->clean());
  CHECK(at.found().empty());
}

TEST_CASE("a validation stops at once, says so, is not clean, and goes on") {
  Compare at;
  at.fill(500);
  std::atomic<bool> held{true};
  at.target.fault = [&](const std::string& call) -> std::optional<Error> {
    if (call == "read" && held) return Error(Code::unavailable, "held");
    return std::nullopt;
  };
  at.run_aside();
  eventually([&] { return !at.validation->progress().reason.empty(); });
  at.validation->stop();
  auto stopped = at.joined();
  REQUIRE_FALSE(stopped);
  CHECK(stopped.error().code == Code::cancelled);
  CHECK(at.validation->progress().phase == "stopped");
  held = false;
  auto report = at.run();
  REQUIRE(report);
  CHECK(report->clean());
  at.validation->stop();
  CHECK(at.run().error().code == Code::cancelled);
}

TEST_CASE("a journal that cannot be written keeps a pass from being clean") {
  Compare at;
  at.fill(200);
  at.source.after_scan = [&, first = true](auto&, auto&) mutable {
    if (std::exchange(first, false)) at.store->fail_next_commits(1);
  };
  at.options.parallel = 1;
  at.run_aside();
  eventually([&] {
    return !at.validation->progress().reason.empty() || !at.validation->progress().phase.starts_with("r");
  });
  CHECK_FALSE(at.validation->progress().clean());
  at.validation->stop();
  CHECK_FALSE(at.joined());
}

TEST_CASE(
    "repair that cannot be recorded is tried again before its page counts as done, and then not repeated") {
  Compare at;
  at.fill(100);
  at.remove_target(7);
  at.options.repair = true;
  at.sink->repair_failures = 3;
  auto report = at.run();
  REQUIRE(report);
  CHECK(report->repaired == 1);
  CHECK(at.sink->repair_failures == 0);
  CHECK(at.sink->repaired() == std::vector<model::Key>{key_of(FakeDatabase::name(7))});
  at.crash();
  REQUIRE(at.run());
  CHECK(at.sink->repaired().empty());
}
