// A collection that Milvus cannot load is there all the same: who reads it waits until somebody has mended it.
#include <catch2/catch.hpp>

#include "base/clock.h"
#include "model/codec.h"
#include "protocols/milvus/driver.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using namespace vmproxy::protocols::milvus;

namespace {

// Its index was dropped, or somebody releases it whenever it is loaded.
struct Unloadable {
  Unloadable() {
    things.schema.name = "things";
    things.schema.fields.resize(2);
    things.schema.fields[0].name = "id";
    things.schema.fields[0].type = DataType::int64;
    things.schema.fields[0].primary = true;
    things.schema.fields[1].name = "vector";
    things.schema.fields[1].type = DataType::float_vector;
    things.schema.fields[1].type_params = {{"dim", "2"}};
    schema.name = {"", "things"};
    schema.vectors.push_back({"vector", model::VectorKind::dense_f32, 2, model::Metric::l2, {}});
  }

  static std::string status(int32_t code, std::string reason) {
    Status status;
    status.code = code;
    status.reason = std::move(reason);
    return encode(status);
  }
  static std::string with_status(std::string_view status, std::string_view rest = {}) {
    ProtoWriter out;
    out.always_bytes(1, status);
    out.raw(rest);
    return std::string(out.view());
  }

  Result<std::string> answer(const std::string& path) {
    const std::string rpc = path.substr(path.rfind('/') + 1);
    if (rpc == "DescribeCollection") return encode(things);
    if (rpc == "Query") return with_status(status(101, "collection not loaded[collection=1]"));
    if (rpc == "LoadCollection")
      return indexed ? encode(Status()) : status(700, "index not found[collection=things]");
    ProtoWriter rest;
    if (rpc == "GetLoadState") rest.u64(2, 3);
    if (rpc == "AllocTimestamp") rest.u64(2, 1000);
    return with_status(encode(Status()), rest.view());
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
