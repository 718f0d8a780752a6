// Limits and offsets where the target keeps ids in another order than the source.
#include <catch2/catch.hpp>

#include "tests/support/fake_driver.h"
#include "proxy/transfer.h"

using namespace vmproxy;
using namespace vmproxy::proxy;
using support::Call;

namespace {

struct Move {
  support::FakeDriver source, target;
  Transfer transfer{source, target};
  Collection collection;
  SystemClock clock;

  explicit Move(model::IdKind kind, std::vector<std::string> partitions = {}) {
    source.caps.id_i64 = true;
    source.caps.partitions = true;
    target.caps.id_i64 = target.caps.id_u64 = target.caps.id_uuid = target.caps.partitions = false;
    model::Schema schema;
    schema.name = collection.name = {"", "things"};
    schema.id_kind = kind;
    schema.partitions = std::move(partitions);
    collection.key = "things";
    collection.plan = mapping::Plan::make(schema, source.caps, schema.name, target.caps).value();
    target.add_collection(collection.plan->target());
  }

  void put(std::vector<model::Key> keys) {
    std::vector<model::Record> records;
    for (auto& key : keys) {
      model::Record one;
      one.metadata = model::Object{{"n", static_cast<int64_t>(records.size())}};
      one.key = std::move(key);
      records.push_back(std::move(one));
    }
    const auto done =
        transfer.upsert(Side::target, collection, records, protocols::UpsertMode::replace, soon());
    REQUIRE(!done.has_error());
    REQUIRE(done->refused.empty());
  }
  Deadline soon() { return clock.in(std::chrono::seconds(10)); }
  model::QueryResult ask(const model::Query& query) {
    return transfer.query(Side::target, collection, query, soon()).value();
  }
};

std::vector<int64_t> numbers(const model::QueryResult& result) {
  std::vector<int64_t> out;
  for (const auto& one : result.records) out.push_back(std::get<int64_t>(one.key.id.value));
  return out;
}

}  // namespace

TEST_CASE("a limit over numbers that the target keeps as text cuts in the order of the numbers") {
  Move move(model::IdKind::i64);
  CHECK_FALSE(move.collection.plan->keeps_order());
  std::vector<model::Key> keys;
  for (int64_t n = -3; n < 120; ++n) keys.push_back({"", {n}});
  move.put(keys);
  model::Query query;
  query.collection = move.collection.name;
  query.limit = 5;
  const auto first = move.ask(query);
  CHECK(numbers(first) == std::vector<int64_t>{-3, -2, -1, 0, 1});
  CHECK(first.records[4].metadata == model::Object{{"n", 4}});  // whole records, not only their keys
  query.offset = 100;
  CHECK(numbers(move.ask(query)) == std::vector<int64_t>{97, 98, 99, 100, 101});
  query.offset = 121;
  CHECK(numbers(move.ask(query)) == std::vector<int64_t>{118, 119});
  query.offset = 200;
  CHECK(move.ask(query).records.empty());
  query.offset = 0;
  query.limit = 1000;
  CHECK(numbers(move.ask(query)).size() == 123);
  query.limit = 2;
  query.keys = std::vector<model::Key>{{"", {int64_t{100}}}, {"", {int64_t{20}}}, {"", {int64_t{3}}}};
  CHECK(numbers(move.ask(query)) == std::vector<int64_t>{3, 20});
}

TEST_CASE("a limit over ids that carry their partition on the target cuts in the order of the ids") {
  Move move(model::IdKind::string, {"p"});
  CHECK_FALSE(move.collection.plan->keeps_order());
  move.put({{"p", {std::string("a")}},
            {"", {std::string("b")}},
            {"", {std::string("d")}},
            {"p", {std::string("c")}}});
  model::Query query;
  query.collection = move.collection.name;
  query.limit = 3;
  std::vector<std::string> found;
  for (const auto& one : move.ask(query).records)
    found.push_back(one.key.partition + "/" + std::get<std::string>(one.key.id.value));
  CHECK(found == std::vector<std::string>{"p/a", "/b", "p/c"});
}

TEST_CASE("ids that keep their order are cut by the target itself") {
  Move move(model::IdKind::string);
  CHECK(move.collection.plan->keeps_order());
  move.put({{"", {std::string("b")}}, {"", {std::string("a")}}});
  model::Query query;
  query.collection = move.collection.name;
  query.limit = 1;
  CHECK(move.ask(query).records.size() == 1);
  CHECK(move.target.calls(Call::query) == 1);
}

TEST_CASE("more matches than can be put in order are refused with a stable code") {
  Move move(model::IdKind::i64);
  std::vector<model::Key> keys;
  for (int64_t n = 0; n <= static_cast<int64_t>(Transfer::ordered_max); ++n) keys.push_back({"", {n}});
  model::Query query;
  query.collection = move.collection.name;
  query.limit = 5;
  query.keys = keys;
  const auto refused = move.transfer.query(Side::target, move.collection, query, move.soon());
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == Code::unsupported);
  CHECK(refused.error().message.starts_with("query.order: "));
}
