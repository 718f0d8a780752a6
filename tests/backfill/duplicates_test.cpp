#include "backfill/id_map.h"
#include "backfill/seen_keys.h"
#include "tests/backfill/fixture.h"

using namespace vmproxy;
using namespace vmproxy::backfill;

TEST_CASE("H19: a key that the source shows twice is owed a READ, whichever of its rows came first") {
  Copy at;
  at.source.fill("things", 300);
  // Every page shows its first record again, in an older version, before it; also over the border of pages.
  std::optional<model::Record> carried;
  at.options.parallel = 1;
  at.source.ranges_most = 1;
  at.kill();
  at.start();
  at.source.after_scan = [&](protocols::ScanPage& page, auto&) {
    if (page.records.empty()) return;
    if (carried) page.records.insert(page.records.begin(), *carried);
    auto stale = page.records.back();
    stale.metadata = model::Object{{"version", int64_t{0}}};
    carried = stale;
    auto twice = page.records.front();
    twice.metadata = model::Object{{"version", int64_t{-1}}};
    page.records.insert(page.records.begin(), twice);
  };
  REQUIRE(at.run());
  at.check_equal();
  CHECK(at.backfill->progress().duplicates >= 30);
  CHECK_FALSE(at.sink->repaired().empty());
}

TEST_CASE("H19: a key that comes in two ranges at the same time ends as the source has it now") {
  Copy at;
  at.options.parallel = 4;
  at.kill();
  at.start();
  at.source.fill("things", 200);
  at.source.after_scan = [](protocols::ScanPage& page, auto&) {
    auto moved = record_of(FakeDatabase::name(11), 0);
    page.records.push_back(moved);
  };
  REQUIRE(at.run());
  at.check_equal();
}

TEST_CASE("keys seen once are not read again, also when their pages come again after a failure") {
  Copy at;
  at.source.fill("things", 2000);
  at.sink->fail({{Code::cancelled, "stopped"}, {Code::cancelled, "stopped"}});
  REQUIRE(at.run());
  CHECK(at.sink->repaired().empty());
}

TEST_CASE("a READ that cannot be recorded is tried again before the checkpoint passes the page") {
  Copy at;
  at.source.fill("things", 30);
  at.source.after_scan = [](protocols::ScanPage& page, auto&) {
    if (!page.records.empty()) page.records.push_back(page.records.front());
  };
  at.sink->repair_failures = 2;
  REQUIRE(at.run());
  CHECK(at.sink->repair_failures == 0);
  CHECK(at.sink->repaired().size() == at.sink->pages);
}

TEST_CASE("seen keys: twice in a page, in two pages in flight, and after the first was acknowledged") {
  SeenKeys seen(1000);
  CHECK(seen.enter({1, 2, 1}) == 1);
  CHECK(seen.twice({1, 2, 1}) == std::vector<bool>{true, false, true});
  CHECK(seen.enter({2, 3}) == 1);
  CHECK(seen.twice({1, 2, 1}) == std::vector<bool>{true, true, true});
  seen.leave({1, 2, 1}, true);
  CHECK(seen.twice({2, 3}) == std::vector<bool>{true, false});
  seen.leave({2, 3}, false);  // given up: 3 will come again and is new then
  CHECK(seen.enter({3}) == 0);
  CHECK(seen.enter({1}) == 1);
}

TEST_CASE("seen keys call none of a hundred thousand keys known that they never saw") {
  SeenKeys seen(100000);
  for (int i = 0; i < 100000; ++i) {
    const std::vector<uint64_t> one{SeenKeys::hash_of(fake::key_of("known " + std::to_string(i)))};
    seen.enter(one);
    seen.leave(one, true);
  }
  size_t wrong = 0, forgotten = 0;
  for (int i = 0; i < 100000; ++i) {
    wrong += seen.enter({SeenKeys::hash_of(fake::key_of("new " + std::to_string(i)))});
    forgotten += 1 - seen.enter({SeenKeys::hash_of(fake::key_of("known " + std::to_string(i)))});
  }
  CHECK(wrong == 0);
  CHECK(forgotten == 0);
}

namespace {

// A mapping under which ids that differ in case only meet.
Result<model::Key> folded(const model::Key& key) {
  std::string text = std::get<std::string>(key.id.value);
  for (char& c : text) c = static_cast<char>(std::tolower(c));
  return fake::key_of(text);
}

}  // namespace

TEST_CASE("H11: two source keys on one target id are a COLLISION that names both") {
  Copy at;
  IdMap ids(*at.journal, at.source, at.plan->source(), folded);
  at.source.put("things", record_of("Ada"));
  at.source.put("things", record_of("ada"));
  const std::vector<model::Key> one{key_of("Ada"), key_of("bob")}, other{key_of("ada")};
  const auto deadline = at.clock.in(std::chrono::seconds(9));
  REQUIRE(ids.enter(one, deadline));
  REQUIRE(ids.enter(one, deadline));  // a retry is no collision
  auto met = ids.enter(other, deadline);
  REQUIRE_FALSE(met);
  CHECK(met.error().code == Code::precondition);
  CHECK(met.error().message.find("COLLISION") == 0);
  CHECK(met.error().message.find("'Ada' and 'ada'") != std::string::npos);

  SECTION("also after a restart") {
    REQUIRE(at.journal->commit_rows({}));  // as the checkpoint does that passes the page
    at.crash();
    at.start();
    IdMap again(*at.journal, at.source, at.plan->source(), folded);
    CHECK_FALSE(again.enter(other, deadline));
  }
  SECTION("also within one page") {
    const std::vector<model::Key> both{key_of("Eve"), key_of("eve")};
    at.source.put("things", record_of("Eve"));
    CHECK_FALSE(ids.enter(both, deadline));
  }
  SECTION("but not with a record that was deleted meanwhile") {
    at.source.remove("things", key_of("Ada"));
    CHECK(ids.enter(other, deadline));
    at.source.put("things", record_of("Ada"));
    CHECK_FALSE(ids.enter(one, deadline));
  }
  SECTION("and when the source cannot be asked, nothing is decided") {
    at.source.fault = [](auto&) { return Error(Code::unavailable, "away"); };
    CHECK(ids.enter(other, deadline).error().code == Code::unavailable);
  }
}

TEST_CASE("H11: a collision ends the copy before the record is written") {
  Copy at;
  at.kill();
  at.options.prove_ids = true;
  at.start();
  at.source.fill("things", 50);
  // The journal knows the target id of one record as another record's, which still exists.
  const auto taken = key_of(FakeDatabase::name(20)), holder = key_of(FakeDatabase::name(21));
  REQUIRE(
      at.journal->commit_rows({{std::string(journal::rows::idmap),
                                std::string("things\0", 7) + model::encode(taken), model::encode(holder)}}));
  auto done = at.run();
  REQUIRE_FALSE(done);
  CHECK(done.error().message.find("COLLISION") != std::string::npos);
  CHECK_FALSE(at.copied().contains(taken));
}
