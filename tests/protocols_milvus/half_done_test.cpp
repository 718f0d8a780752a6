// What the driver says of a call whose first request was done and whose second was refused.
#include <catch2/catch.hpp>

#include "base/clock.h"
#include "protocols/milvus/driver.h"
#include "things.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using namespace vmproxy::protocols::milvus;

namespace {

// A Milvus that does the first `does` writes and refuses the others, for their rate unless told otherwise.
struct Tired {
  explicit Tired(int writes) : does(writes) {
    test::add_things_fields(things);
    schema.name = {"default", "things"};
    schema.vectors.push_back({"vector", model::VectorKind::dense_f32, 2, model::Metric::l2, {}});
  }

  Result<std::string> answer(const std::string& path) {
    if (path.ends_with("/DescribeCollection")) return encode(things);
    if (!path.ends_with("/Upsert") && !path.ends_with("/Delete")) return Error(Code::unsupported, path);
    ++asked;
    Status status;
    if (does-- <= 0) {
      status.code = code;
      status.reason = reason;
    }
    ProtoWriter message;
    message.always_bytes(1, encode(status));
    return std::string(message.view());
  }

  static model::Record record(const std::string& partition, int64_t id) {
    model::Record one;
    one.key = {partition, {id}};
    one.vectors["vector"] = model::DenseVector{1, 2};
    return one;
  }

  Described things;
  model::Schema schema;
  int does;
  int asked = 0;
  int code = 8;
  std::string reason = "request is rejected by limiter";
  SystemClock clock;
  MilvusDriver driver{Client({}, [this](const std::string& path, const net::Headers&, const std::string&,
                                        Deadline) { return answer(path); }),
                      "default", clock};
  Deadline soon = clock.in(std::chrono::seconds(20));
};

}  // namespace

TEST_CASE("an upsert of which one request was done is not surely not done") {
  // One request for each partition.
  const std::vector<model::Record> records{Tired::record("", 1), Tired::record("other", 1)};
  Tired at_once(0);
  const auto nothing = at_once.driver.upsert(at_once.schema, records, UpsertMode::replace, at_once.soon);
  REQUIRE_FALSE(nothing.has_value());
  CHECK(nothing.error().code == Code::quota);
  CHECK(nothing.error().surely_not_done());
  Tired later(1);
  const auto half = later.driver.upsert(later.schema, records, UpsertMode::replace, later.soon);
  CHECK(later.asked == 2);
  REQUIRE_FALSE(half.has_value());
  CHECK_FALSE(half.error().surely_not_done());
  CHECK(half.error().message.find("rejected by limiter") != std::string::npos);
}

TEST_CASE("where all are wanted, a record that is refused beforehand keeps the others from being written") {
  std::vector<model::Record> records{Tired::record("", 1), Tired::record("", 2)};
  records[1].vectors["vector"] = model::DenseVector{1, 2, 3};  // the dimension is 2
  Tired milvus(9);
  const auto mode = GENERATE(UpsertMode::replace_all, UpsertMode::insert_all);
  const auto refused = milvus.driver.upsert(milvus.schema, records, mode, milvus.soon);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == Code::invalid);
  CHECK(milvus.asked == 0);
  const auto the_other = milvus.driver.upsert(milvus.schema, records, UpsertMode::replace, milvus.soon);
  REQUIRE(the_other.has_value());
  CHECK(the_other->refused.size() == 1);
  CHECK(milvus.asked == 1);
}

TEST_CASE(
    "where all are wanted, a record that the server refuses first keeps the others from being written") {
  const std::vector<model::Record> together{Tired::record("", 1), Tired::record("", 2)};
  const auto strict = [](Tired& milvus) {
    milvus.code = 1100;
    milvus.reason = "not this one";
  };
  Tired all(0);
  strict(all);
  const auto mode = GENERATE(UpsertMode::replace_all, UpsertMode::insert_all);
  const auto none = all.driver.upsert(all.schema, together, mode, all.soon);
  CHECK(all.asked == 1);
  REQUIRE_FALSE(none.has_value());
  CHECK(none.error().code == Code::invalid);
  CHECK(none.error().surely_not_done());
  Tired each(0);
  strict(each);
  const auto both = each.driver.upsert(each.schema, together, UpsertMode::replace, each.soon);
  CHECK(each.asked == 3);  // both, then one by one
  REQUIRE(both.has_value());
  CHECK(both->refused.size() == 2);
  Tired begun(1);
  strict(begun);
  const std::vector<model::Record> apart{Tired::record("", 1), Tired::record("other", 1)};
  const auto half = begun.driver.upsert(begun.schema, apart, UpsertMode::replace_all, begun.soon);
  CHECK(begun.asked == 2);
  REQUIRE(half.has_value());  // what is done is not taken back
  REQUIRE(half->refused.size() == 1);
  CHECK(half->refused[0].index == 1);
}

TEST_CASE("an erase of which one request was done is not surely not done") {
  std::vector<model::Key> keys;
  for (int64_t id = 0; id < 1500; ++id) keys.push_back({"", {id}});  // a thousand in a request
  Tired at_once(0);
  const auto nothing = at_once.driver.erase(at_once.schema, keys, at_once.soon);
  REQUIRE_FALSE(nothing.has_value());
  CHECK(nothing.error().surely_not_done());
  Tired later(1);
  const auto half = later.driver.erase(later.schema, keys, later.soon);
  CHECK(later.asked == 2);
  REQUIRE_FALSE(half.has_value());
  CHECK_FALSE(half.error().surely_not_done());
}
