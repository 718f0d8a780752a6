// What others see of a collection while it is made anew with the dimension of its first records (open_dimension.h).
#include <catch2/catch.hpp>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "protocols/milvus/driver.h"
#include "protocols/milvus/open_dimension.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using namespace vmproxy::protocols::milvus;

namespace {

// A Milvus with one collection, "things", that holds nothing and whose dimension is open.
struct Settling {
  Settling() {
    CollectionSchema things;
    things.name = "things";
    things.fields.resize(2);
    things.fields[0].name = "id";
    things.fields[0].type = DataType::int64;
    things.fields[0].primary = true;
    things.fields[1].name = "vector";
    things.fields[1].type = DataType::float_vector;
    things.fields[1].type_params = {{"dim", std::to_string(open_dimension)}};
    things.fields[1].description = open_mark;
    there = things;
    schema.name = {"", "things"};
    schema.vectors.push_back({"vector", model::VectorKind::dense_f32, 0, model::Metric::l2, {}});
  }

  static std::string with_status(const Status& status, std::string_view rest = {}) {
    ProtoWriter out;
    out.always_bytes(1, encode(status));
    out.raw(rest);
    return std::string(out.view());
  }

  // CreateCollection waits until somebody has asked for the collection in vain.
  Result<std::string> answer(const std::string& path, const std::string& message) {
    const std::string rpc = path.substr(path.rfind('/') + 1);
    std::unique_lock lock(mutex);
    if (rpc == "DescribeCollection") {
      if (there) {
        Described described;
        described.schema = *there;
        return encode(described);
      }
      if (std::this_thread::get_id() != writer) asked_in_vain = true;
      changed.notify_all();
      Status gone;
      gone.code = 100;
      gone.reason = "collection not found";
      return with_status(gone);
    }
    if (rpc == "DropCollection") {
      there.reset();
      changed.notify_all();
      return encode(Status());
    }
    if (rpc == "CreateCollection") {
      if (!changed.wait_for(lock, std::chrono::seconds(20), [&] { return asked_in_vain; }))
        return Error(Code::timeout, "nobody asked for the collection");
      ProtoReader reader(message);
      while (reader.next()) {
        if (reader.field() == 4) there = read_collection_schema(reader.bytes());
      }
      return encode(Status());
    }
    if (rpc == "CreateIndex" || rpc == "LoadCollection") return encode(Status());
    if (rpc == "DescribeIndex") return encode(std::vector<IndexInfo>());
    if (rpc == "ShowPartitions") return encode(std::vector<PartitionInfo>());
    ProtoWriter rest;
    if (rpc == "GetLoadState") rest.u64(2, 3);
    if (rpc == "Query" || rpc == "Upsert" || rpc == "GetLoadState") return with_status(Status(), rest.view());
    return Error(Code::unsupported, path);
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::optional<CollectionSchema> there;
  bool asked_in_vain = false;
  std::thread::id writer;
  model::Schema schema;
  SystemClock clock;
  MilvusDriver driver{
      Client({}, [this](const std::string& path, const net::Headers&, const std::string& message,
                        Deadline) { return answer(path, message); }),
      "default", clock};
  Deadline soon = clock.in(std::chrono::seconds(30));
};

}  // namespace

TEST_CASE(
    "a collection that is being made anew with its dimension is described as it is then, never as missing") {
  Settling milvus;
  model::Record first;
  first.key = {"", {int64_t{1}}};
  first.vectors["vector"] = model::DenseVector{1, 2, 3};
  const std::vector<model::Record> records{first};
  Result<ApplyResult> written = ApplyResult{};
  std::thread writer([&] {
    {
      std::lock_guard hold(milvus.mutex);
      milvus.writer = std::this_thread::get_id();
    }
    written = milvus.driver.upsert(milvus.schema, records, UpsertMode::replace, milvus.soon);
  });
  {
    std::unique_lock lock(milvus.mutex);
    milvus.changed.wait_for(lock, std::chrono::seconds(20), [&] { return !milvus.there; });
  }
  const auto found = milvus.driver.describe(milvus.schema.name, milvus.soon);
  writer.join();
  REQUIRE(written.has_value());
  REQUIRE(found.has_value());
  REQUIRE(found->has_value());
  CHECK((*found)->vectors.at(0).dimension == 3);
}
