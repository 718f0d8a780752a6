// Keys that no record can have: an expression makes them of ASCII, and no message can carry them.
#include <catch2/catch.hpp>
#include <set>

#include "base/clock.h"
#include "protocols/milvus/client.h"
#include "protocols/milvus/driver.h"
#include "protocols/milvus/expression.h"
#include "protocols/wire/json.h"
#include "tests/store/print_result.h"
#include "things.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using namespace vmproxy::protocols::milvus;

namespace {

// A collection with text keys, and a gRPC that takes no text which is not UTF-8.
struct Worded {
  Worded() {
    test::add_things_fields(things, DataType::varchar);
    schema.name = {"default", "things"};
    schema.vectors.push_back({"vector", model::VectorKind::dense_f32, 2, model::Metric::l2, {}});
  }

  std::set<std::string> named(const std::string& expression) const {
    const auto filter = parse_expression(expression, things.schema, Grammar());
    std::set<std::string> found;
    for (const auto& id : ids) {
      model::Record record;
      record.key = {"", {id}};
      if (filter && model::evaluate(*filter, record)) found.insert(id);
    }
    return found;
  }

  Result<std::string> answer(const std::string& path, const std::string& message) {
    const std::string rpc = path.substr(path.rfind('/') + 1);
    if (rpc == "DescribeCollection") return encode(things);
    if (rpc != "Query" && rpc != "Delete") return Error(Code::unsupported, path);
    std::string expression;
    ProtoReader reader(message);
    while (reader.next()) {
      if (reader.field() == (rpc == "Query" ? 4u : 5u) && reader.type() == ProtoReader::Type::bytes)
        expression = reader.bytes();
    }
    if (!wire::valid_utf8(expression))
      return grpc_error(13, "grpc: error unmarshalling request: string field contains invalid UTF-8");
    ProtoWriter out;
    out.always_bytes(1, encode(Status()));
    if (rpc == "Delete") {
      for (const auto& id : named(expression)) ids.erase(id);
      return std::string(out.view());
    }
    Column column;
    column.type = DataType::varchar;
    column.name = "id";
    for (const auto& id : named(expression)) column.texts.push_back(id);
    out.always_bytes(2, encode(column));
    return std::string(out.view());
  }

  std::set<std::string> ids{"a", "b"};
  Described things;
  model::Schema schema;
  SystemClock clock;
  MilvusDriver driver{
      Client({}, [this](const std::string& path, const net::Headers&, const std::string& message,
                        Deadline) { return answer(path, message); }),
      "default", clock};
  Deadline soon = clock.in(std::chrono::seconds(20));
};

}  // namespace

TEST_CASE("a key that is not UTF-8 is in no record: it holds up nothing, and is found absent") {
  Worded milvus;
  const std::vector<model::Key> keys{{"", {std::string("\xff")}}, {"", {std::string("a")}}};
  const auto found = milvus.driver.read(milvus.schema, keys, {false, false}, milvus.soon);
  REQUIRE(found);
  REQUIRE(found->size() == 1);
  CHECK(found->front().key == keys[1]);
  REQUIRE(milvus.driver.erase(milvus.schema, keys, milvus.soon));
  CHECK(milvus.ids == std::set<std::string>{"b"});
  CHECK(milvus.driver.erase(milvus.schema, std::span(keys).first(1), milvus.soon));
  CHECK(milvus.ids == std::set<std::string>{"b"});
}
