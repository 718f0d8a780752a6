// A collection that Milvus cannot load is there all the same: who reads it waits until somebody has mended it.
#include <catch2/catch.hpp>

#include "base/clock.h"
#include "model/codec.h"
#include "protocols/milvus/driver.h"
#include "things.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using namespace vmproxy::protocols::milvus;

namespace {

// Its index was dropped, or somebody releases it whenever it is loaded.
struct Unloadable {
  Unloadable() {
    things.schema.name = "things";
    test::add_things_fields(things);
    schema.name = {"", "things"};
    schema.vectors.push_back({"vector", model::VectorKind::dense_f32, 2, model::Metric::l2, {}});
  }

  Result<std::string> answer(const std::string& path) {
    const std::string rpc = path.substr(path.rfind('/') + 1);
    if (rpc == "DescribeCollection") return encode(things);
    if (rpc == "Query") return test::with_status(test::refusal(101, "collection not loaded[collection=1]"));
    if (rpc == "LoadCollection")
      return indexed ? encode(Status()) : test::refusal(700, "index not found[collection=things]");
    ProtoWriter rest;
    if (rpc == "GetLoadState") rest.u64(2, 3);
    if (rpc == "AllocTimestamp") rest.u64(2, 1000);
    return test::with_status(encode(Status()), rest.view());
  }

  bool indexed = false;
  Described things;
  model::Schema schema;
  SystemClock clock;
  MilvusDriver driver{Client({}, [this](const std::string& path, const net::Headers&, const std::string&,
                                        Deadline) { return answer(path); }),
                      "default", clock};
  Deadline soon = clock.in(std::chrono::seconds(20));
};

}  // namespace

TEST_CASE("a collection that cannot be loaded is not taken for one that does not exist") {
  Unloadable milvus;
  std::string why = "index not found";
  SECTION("it has no index") {}
  SECTION("it is released again and again") {
    milvus.indexed = true;
    why = "collection not loaded";
  }
  const auto waits = [&](const auto& refused) {
    REQUIRE_FALSE(refused.has_value());
    INFO(refused.error().message);
    CHECK(refused.error().code == Code::unavailable);
    CHECK(refused.error().retryable());
    CHECK(refused.error().message.find(why) != std::string::npos);
  };
  waits(milvus.driver.plan_scan(milvus.schema, 4, milvus.soon));
  // A range of a plan that was made before.
  model::Writer range;
  range.u8(1);
  range.bytes("");
  for (int bound = 0; bound < 2; ++bound) {
    range.u8(0);
    range.u64(0);
  }
  waits(milvus.driver.scan(milvus.schema, {range.take()}, "", 100, {}, milvus.soon));
  const std::vector<model::Key> keys{{"", {int64_t{1}}}};
  waits(milvus.driver.read(milvus.schema, keys, {}, milvus.soon));
}
