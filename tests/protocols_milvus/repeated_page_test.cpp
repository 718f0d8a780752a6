// A Milvus that shows the same page whatever it is asked for: what walks pages ends with an error.
#include <catch2/catch.hpp>

#include "base/clock.h"
#include "protocols/milvus/driver.h"
#include "tests/store/print_result.h"
#include "things.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using namespace vmproxy::protocols::milvus;

namespace {

constexpr int patience = 50;  // queries; what goes on for ever must end for the test to tell

struct Repeating {
  Repeating() {
    things.schema.name = "things";
    test::add_things_fields(things);
    schema.name = {"", "things"};
    schema.vectors.push_back({"vector", model::VectorKind::dense_f32, 2, model::Metric::l2, {}});
  }

  static std::string with_status(std::string_view rest = {}) {
    ProtoWriter out;
    out.always_bytes(1, encode(Status()));
    out.raw(rest);
    return std::string(out.view());
  }

  Result<std::string> answer(const std::string& path, const std::string& message) {
    const std::string rpc = path.substr(path.rfind('/') + 1);
    if (rpc == "DescribeCollection") return encode(things);
    if (rpc == "DescribeIndex") return encode(std::vector<IndexInfo>());
    if (rpc == "ShowPartitions") return encode(std::vector<PartitionInfo>());
    ProtoWriter rest;
    if (rpc == "GetLoadState") rest.u64(2, 3);
    if (rpc == "AllocTimestamp") rest.u64(2, 1000);
    if (rpc == "Query") {
      const bool counts = message.find("count(*)") != std::string::npos;
      if (!counts && ++queries > patience) return Error(Code::invalid, "asked again and again");
      Column ids;
      ids.type = DataType::int64;
      ids.name = counts ? "count(*)" : "id";
      ids.longs = counts ? std::vector<int64_t>{0} : std::vector<int64_t>{1, 2, 3};
      rest.always_bytes(2, encode(ids));
    }
    return with_status(rest.view());
  }

  Described things;
  model::Schema schema;
  int queries = 0;
  SystemClock clock;
  MilvusDriver driver{
      Client({}, [this](const std::string& path, const net::Headers&, const std::string& message,
                        Deadline) { return answer(path, message); }),
      "default", clock};
  Deadline soon = clock.in(std::chrono::seconds(30));
  static constexpr ReadParts keys_only{false, false};
};

}  // namespace

TEST_CASE("a scan of a server that shows the same page again ends with an error") {
  Repeating milvus;
  const auto ranges = milvus.driver.plan_scan(milvus.schema, 1, milvus.soon);
  REQUIRE(ranges.has_value());
  REQUIRE(ranges->size() == 1);
  std::string cursor;
  Result<ScanPage> page = ScanPage{};
  size_t seen = 0;
  do {
    page = milvus.driver.scan(milvus.schema, ranges->front(), cursor, 100, Repeating::keys_only, milvus.soon);
    if (!page) break;
    cursor = page->cursor;
    seen += page->records.size();
  } while (!page->done);
  REQUIRE_FALSE(page.has_value());
  INFO(page.error().message);
  CHECK(page.error().code == Code::corrupt);
  CHECK(seen == 3);
}

TEST_CASE("a query without a limit of a server that shows the same page again ends with an error") {
  Repeating milvus;
  model::Query query;
  query.kind = model::Query::Kind::get;
  query.with_vectors = query.with_metadata = false;
  const auto found = milvus.driver.query(milvus.schema, query, milvus.soon);
  REQUIRE_FALSE(found.has_value());
  INFO(found.error().message);
  CHECK(found.error().code == Code::corrupt);
  CHECK(milvus.queries < patience);
}
