// A collection that gets fields while the driver knows it.
#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "base/clock.h"
#include "protocols/milvus/driver.h"
#include "protocols/milvus/requests.h"
#include "things.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using namespace vmproxy::protocols::milvus;

namespace {

// Remembers which fields a query asks for.
struct Growing {
  Growing() {
    things.id = 7;  // stays, whatever happens to the fields
    things.name = things.schema.name = "things";
    test::add_things_fields(things);
  }

  Result<std::string> answer(const std::string& path, const std::string& message) {
    if (path.ends_with("/DescribeCollection")) return encode(things);
    if (path.ends_with("/DescribeIndex")) return encode(std::vector<IndexInfo>());
    if (path.ends_with("/ShowPartitions"))
      return encode(std::vector<PartitionInfo>{{std::string(default_partition), 1, 0, 0}});
    if (!path.ends_with("/Query")) return Error(Code::unsupported, path);
    asked = read_query(message).value().output_fields;
    ProtoWriter nothing;
    nothing.always_bytes(1, encode(Status()));
    return std::string(nothing.view());
  }

  // As a read of the mirror, with the schema that the catalog has now.
  bool asks_for(const std::string& field) {
    const auto schema = driver.describe({"", "things"}, soon);
    REQUIRE(schema.has_value());
    REQUIRE(schema->has_value());
    const std::vector<model::Key> keys{key_of(1)};
    REQUIRE(driver.read(**schema, keys, {}, soon).has_value());
    return std::ranges::find(asked, field) != asked.end();
  }

  Described things;
  std::vector<std::string> asked;
  SystemClock clock;
  MilvusDriver driver{
      Client({}, [this](const std::string& path, const net::Headers&, const std::string& message,
                        Deadline) { return answer(path, message); }),
      "default", clock};
  Deadline soon = clock.in(std::chrono::seconds(20));
};

}  // namespace

TEST_CASE("fields that a collection gets in its life are read from then on") {
  Growing milvus;
  CHECK_FALSE(milvus.asks_for("$meta"));
  milvus.things.schema.dynamic = true;  // AlterCollection with dynamicfield.enabled
  CHECK(milvus.asks_for("$meta"));
  FieldSchema colour;  // AddCollectionField
  colour.name = "colour";
  colour.type = DataType::varchar;
  colour.nullable = true;
  milvus.things.schema.fields.push_back(colour);
  CHECK(milvus.asks_for("colour"));
  CHECK(milvus.asks_for("$meta"));
}
