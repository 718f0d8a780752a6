// The copy's scan against a real Chroma.
#include <map>
#include <set>
#include <thread>

#include "real_server.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using namespace vmproxy::protocols::chroma::test;
using model::Record;

namespace {

std::vector<Record> many(size_t count) {
  std::vector<Record> records;
  for (size_t i = 0; i < count; ++i) {
    records.push_back(record("r" + std::to_string(i), {float(i), 1}, "text " + std::to_string(i),
                             model::Object{{"i", int64_t(i)}}));
  }
  return records;
}

std::map<std::string, Record> scan_all(Driver& driver, const model::Schema& schema,
                                       const std::vector<ScanRange>& ranges, size_t page) {
  std::map<std::string, Record> found;
  for (const auto& range : ranges) {
    std::string cursor;
    for (bool done = false; !done;) {
      auto got = good(driver.scan(schema, range, cursor, page, {}, soon()));
      CHECK(got.records.size() <= page);
      for (auto& r : got.records) {
        const std::string id = to_string(r.key.id);
        found[id] = std::move(r);
      }
      cursor = got.cursor;
      done = got.done;
    }
  }
  return found;
}

}  // namespace

TEST_CASE("all ranges together hold every record once") {
  const auto driver = make_driver();
  const auto schema = make_collection(*driver);
  CHECK(good(driver->plan_scan(schema, 4, soon())).empty());
  const auto records = many(1234);
  CHECK(good(driver->upsert(schema, records, UpsertMode::insert_only, soon())).refused.empty());
  const auto ranges = good(driver->plan_scan(schema, 4, soon()));
  CHECK(ranges.size() == 4);
  const auto found = scan_all(*driver, schema, ranges, 100);
  CHECK(found.size() == records.size());
  CHECK(found.at("r77").document == "text 77");
  CHECK(std::get<model::DenseVector>(found.at("r77").vectors.at("")) == model::DenseVector{77, 1});
}

TEST_CASE("a page can be asked again, and a range outlives the driver that made it") {
  const auto driver = make_driver();
  const auto schema = make_collection(*driver);
  CHECK(good(driver->upsert(schema, many(50), UpsertMode::insert_only, soon())).refused.empty());
  const auto ranges = good(driver->plan_scan(schema, 1, soon()));
  const auto first = good(driver->scan(schema, ranges[0], "", 20, {}, soon()));
  const auto other = make_driver();
  const auto second = good(other->scan(schema, ranges[0], first.cursor, 20, {}, soon()));
  const auto again = good(other->scan(schema, ranges[0], first.cursor, 20, {}, soon()));
  REQUIRE(second.records.size() == 20);
  CHECK(second.cursor == again.cursor);
  CHECK(second.records[0].key == again.records[0].key);
}

TEST_CASE("a damaged range or cursor is refused, not guessed") {
  const auto driver = make_driver();
  const auto schema = make_collection(*driver);
  CHECK(good(driver->upsert(schema, many(10), UpsertMode::insert_only, soon())).refused.empty());
  const auto range = good(driver->plan_scan(schema, 1, soon()))[0];
  for (const std::string cursor : {"x", "-1", "0", "99999", "1x", "18446744073709551616"}) {
    CHECK(!driver->scan(schema, range, cursor, 5, {}, soon()).has_value());
  }
  for (const auto& bytes : {std::string(), std::string("\x02"), range.bytes.substr(0, range.bytes.size() - 1),
                            range.bytes + "\xff\xff\xff\xff\xff\x0f"}) {
    CHECK(!driver->scan(schema, {bytes}, "", 50, {}, soon()).has_value());
  }
}

TEST_CASE("records that exist all the time are found while others are deleted and added") {
  const auto driver = make_driver();
  const auto schema = make_collection(*driver);
  // More ids than one listing page, so that deletes move rows between pages.
  constexpr size_t total = 60'000;
  for (size_t from = 0; from < total; from += 20'000) {
    std::vector<Record> some;
    for (size_t i = from; i < from + 20'000; ++i) some.push_back(record("r" + std::to_string(i), {float(i)}));
    CHECK(
        good(driver->upsert(schema, some, UpsertMode::insert_only, SystemClock().in(std::chrono::minutes(5))))
            .refused.empty());
  }
  std::atomic<bool> stop = false;
  std::set<size_t> deleted;
  std::thread deleter([&] {
    const auto mine = make_driver();
    for (size_t i = 0; i < total && !stop; i += 3000) {
      std::vector<model::Key> keys;
      for (size_t k = i; k < i + 1000; ++k) {
        keys.push_back(key("r" + std::to_string(k)));
        deleted.insert(k);
      }
      if (!mine->erase(schema, keys, soon())) return;
    }
  });
  std::set<std::string> listed;
  for (int round = 0; round < 3; ++round) {
    listed.clear();
    for (const auto& range : good(driver->plan_scan(schema, 3, soon()))) {
      std::string cursor;
      for (bool done = false; !done;) {
        const auto page = good(driver->scan(schema, range, cursor, 5000, {false, false}, soon()));
        for (const auto& r : page.records) listed.insert(to_string(r.key.id));
        cursor = page.cursor;
        done = page.done;
      }
    }
  }
  stop = true;
  deleter.join();
  size_t missing = 0;
  for (size_t i = 0; i < total; ++i) {
    if (!deleted.contains(i) && !listed.contains("r" + std::to_string(i))) ++missing;
  }
  CHECK(!deleted.empty());
  CHECK(missing == 0);
}
