// What the driver asks of a Milvus whose partitions come, go and are released, and what it makes of the answers.
#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "base/clock.h"
#include "protocols/milvus/driver.h"
#include "protocols/milvus/requests.h"
#include "things.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using namespace vmproxy::protocols::milvus;

namespace {

// The calls about one collection, "things", as Milvus 2.3.5 answers them.
struct Parted {
  Parted() {
    test::add_things_fields(things);
    schema.name = {"default", "things"};
    schema.vectors.push_back({"vector", model::VectorKind::dense_f32, 2, model::Metric::l2, {}});
  }

  // --- the server
  std::map<std::string, std::set<int64_t>> partitions{
      {std::string(default_partition), {}}};  // the ids in each
  std::set<std::string> released;
  bool loading = false;  // what is released is being loaded again
  std::string broken;    // what each Query is refused with
  struct Asked {
    std::string rpc = {};
    std::vector<std::string> partitions = {};
    uint64_t timestamp = 0;
    uint64_t consistency = 0;
  };
  std::vector<Asked> asked;
  std::function<void(const std::string& rpc)> before_answer;

  size_t calls(const std::string& rpc) const {
    return static_cast<size_t>(
        std::ranges::count_if(asked, [&](const Asked& one) { return one.rpc == rpc; }));
  }
  std::vector<Asked> queries() const {
    std::vector<Asked> all;
    std::ranges::copy_if(asked, std::back_inserter(all), [](const Asked& one) { return one.rpc == "Query"; });
    return all;
  }

  std::string query(const std::string& message) {
    const auto request = read_query(message);
    if (!request) return test::with_status(test::refusal(65535, "the test cannot read the request"));
    asked.back().partitions = request->partitions;
    ProtoReader reader(message);
    while (reader.next()) {
      if (reader.field() == 8) asked.back().timestamp = reader.u64();
      if (reader.field() == 11) asked.back().consistency = reader.u64();
    }
    if (!broken.empty()) return test::with_status(test::refusal(65535, broken));
    const auto filter = parse_expression(request->expression, things.schema, Grammar());
    if (!filter)
      return test::with_status(test::refusal(65535, "cannot parse expression: " + filter.error().message));
    std::vector<std::string> names = request->partitions;
    for (const auto& [name, ids] : partitions) {
      if (request->partitions.empty() && !released.contains(name)) names.push_back(name);
    }
    std::set<int64_t> found;
    for (const auto& name : names) {
      if (!partitions.contains(name))
        return test::with_status(test::refusal(65535, "partition name " + name + " not found"));
      if (released.contains(name))
        return test::with_status(test::refusal(65535, "partition not loaded[partition=[1]]"));
      for (const int64_t id : partitions[name]) {
        model::Record record;
        record.key = key_of(id);
        if (model::evaluate(*filter, record)) found.insert(id);
      }
    }
    Column ids, vectors, count;
    ids.type = count.type = DataType::int64;
    ids.name = "id";
    count.name = "count(*)";
    count.longs = {static_cast<int64_t>(found.size())};
    vectors.type = DataType::float_vector;
    vectors.name = "vector";
    vectors.dimension = 2;
    const std::string* limit = find(request->params, "limit");
    for (const int64_t id : found) {
      if (limit != nullptr && ids.longs.size() >= std::stoul(*limit)) break;
      ids.longs.push_back(id);
      vectors.floats.insert(vectors.floats.end(), {1, 2});
    }
    ProtoWriter columns;
    for (const auto& field : request->output_fields) {
      for (const Column* column : {&ids, &vectors, &count}) {
        if (column->name == field) columns.always_bytes(2, encode(*column));
      }
    }
    return test::with_status(encode(Status()), columns.view());
  }

  std::string change(const std::string& rpc, const std::string& message) {
    std::string name, expression;
    ProtoReader reader(message);
    while (reader.next()) {
      if (reader.field() == 4) name = reader.text();
      if (reader.field() == 5 && rpc == "Delete") expression = reader.text();
    }
    if (name.empty()) name = default_partition;
    if (!partitions.contains(name))
      return test::with_status(test::refusal(200, "partition not found[partition=" + name + "]"));
    if (rpc == "Delete") {
      const auto filter = parse_expression(expression, things.schema, Grammar());
      std::erase_if(partitions[name], [&](int64_t id) {
        model::Record record;
        record.key = key_of(id);
        return filter && model::evaluate(*filter, record);
      });
    }
    return test::with_status(encode(Status()));
  }

  Result<std::string> answer(const std::string& path, const std::string& message) {
    const std::string rpc = path.substr(path.rfind('/') + 1);
    if (before_answer) {
      const auto act = std::exchange(before_answer, nullptr);  // not in the calls that it makes itself
      act(rpc);
      before_answer = act;
    }
    asked.push_back({rpc});
    if (rpc == "DescribeCollection") return encode(things);
    if (rpc == "Query") return query(message);
    if (rpc == "Upsert" || rpc == "Delete") return change(rpc, message);
    ProtoWriter rest;
    if (rpc == "ShowPartitions") {
      std::vector<PartitionInfo> list;
      for (const auto& [name, ids] : partitions)
        list.push_back({name, static_cast<int64_t>(list.size() + 1), 1, 1});
      return encode(list);
    }
    if (rpc == "GetLoadState") {
      bool whole = true;  // of a collection some of whose partitions are loaded
      ProtoReader reader(message);
      while (reader.next()) {
        if (reader.field() == 3 && released.contains(reader.text())) whole = false;
      }
      rest.u64(2, whole ? 3 : loading ? 2 : 1);
      return test::with_status(encode(Status()), rest.view());
    }
    if (rpc == "AllocTimestamp") {
      rest.u64(2, 1000);
      return test::with_status(encode(Status()), rest.view());
    }
    return Error(Code::unsupported, path);
  }

  // --- the driver on it
  static model::Record record(const std::string& partition, int64_t id) {
    model::Record one;
    one.key = {partition, {id}};
    one.vectors["vector"] = model::DenseVector{1, 2};
    return one;
  }
  std::vector<model::Key> read(const std::vector<model::Key>& keys) {
    auto found = driver.read(schema, keys, {}, soon);
    REQUIRE(found.has_value());
    std::vector<model::Key> there;
    for (const auto& one : *found) there.push_back(one.key);
    return there;
  }
  std::vector<model::Key> matching(const std::optional<model::Filter>& filter) {
    model::Query all;
    all.collection = schema.name;
    all.filter = filter;
    all.with_metadata = false;
    auto found = driver.query(schema, all, soon);
    REQUIRE(found.has_value());
    std::vector<model::Key> there;
    for (const auto& one : found->records) there.push_back(one.key);
    return there;
  }

  Described things;
  model::Schema schema;
  SystemClock clock;
  MilvusDriver driver{
      Client({}, [this](const std::string& path, const net::Headers&, const std::string& message,
                        Deadline) { return answer(path, message); }),
      "default", clock};
  Deadline soon = clock.in(std::chrono::seconds(20));
};

model::Filter id_is(int64_t id) {
  return model::Filter::make(model::Filter::Kind::equal, model::Filter::record_id(),
                             model::Filter::literal_of(id));
}

}  // namespace

TEST_CASE("of an upsert into a partition that is not there nothing is sent, not even to the others") {
  Parted milvus;
  const std::vector<model::Record> records{Parted::record("", 1), Parted::record("later", 2)};
  const auto refused = milvus.driver.upsert(milvus.schema, records, UpsertMode::replace, milvus.soon);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == Code::not_found);
  CHECK(refused.error().surely_not_done());
  CHECK(milvus.calls("Upsert") == 0);
  milvus.partitions["later"] = {};
  CHECK(milvus.driver.upsert(milvus.schema, records, UpsertMode::replace, milvus.soon).has_value());
  CHECK(milvus.calls("Upsert") == 2);
}

TEST_CASE("nothing is in a partition that was dropped, whether the schema still has it or never had one") {
  Parted milvus;
  milvus.partitions[std::string(default_partition)] = {6, 7};
  milvus.partitions["gone"] = {5};
  milvus.schema.partitions = {"gone"};
  const auto ranges = milvus.driver.plan_scan(milvus.schema, 1, milvus.soon);
  REQUIRE(ranges.has_value());
  REQUIRE(ranges->size() == 2);
  CHECK(milvus.read({{"gone", {int64_t{5}}}, {"", {int64_t{6}}}}).size() == 2);
  milvus.partitions.erase("gone");

  const std::vector<model::Key> asked{{"gone", {int64_t{5}}}, {"", {int64_t{6}}}};
  const std::vector<model::Key> there{{"", {int64_t{6}}}};
  CHECK(milvus.read(asked) == there);
  for (const auto& range : *ranges) {
    const auto page = milvus.driver.scan(milvus.schema, range, "", 100, {}, milvus.soon);
    REQUIRE(page.has_value());
    CHECK(page->records.size() == (&range == &ranges->front() ? 2 : 0));
    CHECK(page->done == page->records.empty());
  }
  const auto again = milvus.driver.plan_scan(milvus.schema, 4, milvus.soon);
  REQUIRE(again.has_value());
  CHECK(again->size() == 1);
  milvus.schema.partitions.clear();
  CHECK(milvus.read(asked) == there);
  CHECK(milvus.driver.erase(milvus.schema, asked, milvus.soon).has_value());
  CHECK(milvus.partitions[std::string(default_partition)] == std::set<int64_t>{7});

  // Of one that is there a refusal is a refusal.
  milvus.partitions["gone"] = {5};
  milvus.broken = "field nothing not exist";
  const auto refused = milvus.driver.read(milvus.schema, asked, {}, milvus.soon);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == Code::invalid);
}

TEST_CASE("a few matches in many partitions are found in a few queries") {
  Parted milvus;
  for (int i = 0; i < 200; ++i) {
    milvus.partitions["p" + std::to_string(i)] = {};
    milvus.schema.partitions.push_back("p" + std::to_string(i));
  }
  CHECK(milvus.matching(id_is(7)).empty());
  CHECK(milvus.queries().size() <= 3);
  milvus.asked.clear();
  milvus.partitions["p123"] = {6, 7, 8};
  milvus.partitions[std::string(default_partition)] = {7};
  CHECK(milvus.matching(id_is(7)) == std::vector<model::Key>{{"", {int64_t{7}}}, {"p123", {int64_t{7}}}});
  CHECK(milvus.queries().size() <= 50);
  milvus.asked.clear();
  std::set<model::Key> all;
  int64_t last = 0;
  for (auto& [name, ids] : milvus.partitions) {
    ids = {++last, 1000 + last};
    for (const int64_t id : ids) all.insert({name == default_partition ? std::string() : name, {id}});
  }
  const auto any = model::Filter::make(model::Filter::Kind::greater, model::Filter::record_id(),
                                       model::Filter::literal_of(0));
  const auto found = milvus.matching(any);
  CHECK(found.size() == all.size());
  CHECK(std::set<model::Key>(found.begin(), found.end()) == all);
  CHECK(milvus.queries().size() <=
        2 * milvus.partitions.size() + 1);  // a page of each, its end, and one together
  // A partition that is dropped while they are asked together hides no other.
  milvus.asked.clear();
  milvus.before_answer = [&](const std::string& rpc) {
    if (rpc == "Query") milvus.partitions.erase("p5");
  };
  std::erase_if(all, [](const model::Key& key) { return key.partition == "p5"; });
  const auto left = milvus.matching(any);
  CHECK(std::set<model::Key>(left.begin(), left.end()) == all);
}

TEST_CASE("a partition that an application released stays so: what is in it cannot be read") {
  Parted milvus;
  milvus.partitions["cold"] = {5};
  milvus.partitions["colder"] = {6};
  milvus.schema.partitions = {"cold", "colder"};
  milvus.released = {"cold", "colder"};
  const std::vector<model::Key> key{{"cold", {int64_t{5}}}};
  const auto read = milvus.driver.read(milvus.schema, key, {}, milvus.soon);
  REQUIRE_FALSE(read.has_value());
  CHECK(read.error().retryable());
  const std::string why =
      "partition 'cold' of collection 'default/things' is released, and Milvus shows nothing of it: load the partition";
  CHECK(read.error().message == why);
  const auto ranges = milvus.driver.plan_scan(milvus.schema, 1, milvus.soon);
  REQUIRE(ranges.has_value());
  const auto page = milvus.driver.scan(milvus.schema, (*ranges)[1], "", 100, {}, milvus.soon);
  REQUIRE_FALSE(page.has_value());
  CHECK(page.error().retryable());
  CHECK(page.error().message == why);
  CHECK(milvus.calls("LoadPartitions") == 0);
  CHECK(milvus.calls("LoadCollection") == 0);
}

TEST_CASE("of a read over several partitions only the keys in those that are released are refused") {
  Parted milvus;
  milvus.partitions[std::string(default_partition)] = {1};
  milvus.partitions["cold"] = {2, 3};
  milvus.partitions["warm"] = {4};
  milvus.schema.partitions = {"cold", "warm"};
  milvus.released = {"cold"};
  const std::vector<model::Key> keys{{"warm", {int64_t{4}}},
                                     {"cold", {int64_t{3}}},
                                     {"", {int64_t{1}}},
                                     {"warm", {int64_t{9}}},
                                     {"cold", {int64_t{9}}}};
  const auto found = milvus.driver.read_each(milvus.schema, keys, {}, milvus.soon);
  REQUIRE(found.has_value());
  std::set<model::Key> there;
  for (const auto& one : found->records) there.insert(one.key);
  CHECK(there == std::set<model::Key>{keys[0], keys[2]});
  REQUIRE(found->refused.size() == 2);
  CHECK(found->refused[0].index == 1);
  CHECK(found->refused[1].index == 4);
  CHECK(found->refused[1].error.message.find("partition 'cold'") != std::string::npos);
  // One that is being loaded will be there in a moment.
  milvus.loading = true;
  const auto soon = milvus.driver.read_each(milvus.schema, keys, {}, milvus.soon);
  REQUIRE_FALSE(soon.has_value());
  CHECK(soon.error().retryable());
  // Dropped, it holds nothing: neither refused nor there.
  milvus.released.clear();
  milvus.partitions.erase("cold");
  const auto dropped = milvus.driver.read_each(milvus.schema, keys, {}, milvus.soon);
  REQUIRE(dropped.has_value());
  CHECK(dropped->records.size() == 2);
  CHECK(dropped->refused.empty());
}

TEST_CASE("a query of several requests shows what was written since it began, or before") {
  Parted milvus;
  milvus.partitions["other"] = {2};
  milvus.schema.partitions = {"other"};
  // One moment for all.
  CHECK(milvus.matching(std::nullopt).size() == 1);
  for (const auto& one : milvus.queries()) {
    CHECK(one.timestamp == 1000);
    CHECK(one.consistency == static_cast<uint64_t>(Consistency::customized));
  }
  const auto strong = [](const Parted::Asked& one) {
    return one.timestamp == 0 && one.consistency == static_cast<uint64_t>(Consistency::strong);
  };
  const std::vector<model::Record> records{Parted::record("", 1)};
  const auto write = [&] {
    REQUIRE(milvus.driver.upsert(milvus.schema, records, UpsertMode::replace, milvus.soon).has_value());
  };
  milvus.asked.clear();
  SECTION("a write began and ended between the timestamp and the first request") {
    milvus.before_answer = [&](const std::string& rpc) {
      if (rpc == "AllocTimestamp") write();
    };
    CHECK(milvus.matching(std::nullopt).size() == 1);
    REQUIRE(milvus.calls("Upsert") == 1);
    CHECK(std::ranges::all_of(milvus.queries(), strong));
  }
  SECTION("a write came across a request") {
    bool first = true;
    milvus.before_answer = [&](const std::string& rpc) {
      if (rpc == "Query" && std::exchange(first, false)) write();
    };
    CHECK(milvus.matching(std::nullopt).size() == 1);
    auto queries = milvus.queries();
    REQUIRE(queries.size() > 1);
    CHECK_FALSE(strong(queries[0]));
    CHECK(queries[1].partitions == queries[0].partitions);
    CHECK(std::all_of(queries.begin() + 1, queries.end(), strong));
  }
}
