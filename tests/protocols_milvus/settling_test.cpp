// What others see of a collection while it is made anew with the dimension of its first records (open_dimension.h).
#include <catch2/catch.hpp>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "protocols/milvus/collection.h"
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

  static Status gone() {
    Status status;
    status.code = 100;
    status.reason = "collection not found";
    return status;
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
      return with_status(gone());
    }
    if (rpc == "DropCollection") {
      dropped_beside_work |= in_work;
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
    // Work that was begun stays here for a while: time enough for a drop beside it.
    if (rpc == work && std::this_thread::get_id() != writer) {
      in_work = true;
      changed.notify_all();
      changed.wait_for(lock, std::chrono::milliseconds(500), [&] { return dropped_beside_work; });
      in_work = false;
    }
    if (rpc == "LoadCollection") released = false;
    if (rpc == "CreateIndex" || rpc == "LoadCollection" || rpc == "Flush")
      return encode(there ? Status() : gone());
    if (rpc == "DescribeIndex") return encode(std::vector<IndexInfo>());
    if (rpc == "ShowPartitions") return encode(std::vector<PartitionInfo>());
    if (rpc == "Query" && released) {
      Status unloaded;
      unloaded.code = 101;
      unloaded.reason = "collection not loaded";
      return with_status(unloaded);
    }
    ProtoWriter rest;
    if (rpc == "GetLoadState") rest.u64(2, there ? 3 : 1);
    if (rpc == "Query" || rpc == "Upsert" || rpc == "GetLoadState") return with_status(Status(), rest.view());
    return Error(Code::unsupported, path);
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::optional<CollectionSchema> there;
  bool asked_in_vain = false;
  bool released = false;
  std::string work;  // the request that it is seen by
  bool in_work = false, dropped_beside_work = false;
  std::thread::id writer;
  model::Schema schema;
  SystemClock clock;
  MilvusDriver driver{
      Client({}, [this](const std::string& path, const net::Headers&, const std::string& message,
                        Deadline) { return answer(path, message); }),
      "default", clock};
  Deadline soon = clock.in(std::chrono::seconds(30));
};

model::Record with_three_dimensions() {
  model::Record record;
  record.key = {"", {int64_t{1}}};
  record.vectors["vector"] = model::DenseVector{1, 2, 3};
  return record;
}

// Work of a thread of its own, and a first write while the server is at the request `seen_by` of it.
Result<void> work_beside_first_write(Settling& milvus, const std::string& seen_by,
                                     const std::function<Result<void>()>& work) {
  const auto form = to_milvus(milvus.schema);
  REQUIRE(form.has_value());
  milvus.there = *form;
  milvus.asked_in_vain = true;
  milvus.writer = std::this_thread::get_id();
  milvus.work = seen_by;
  Result<void> done;
  std::thread other([&] { done = work(); });
  {
    std::unique_lock lock(milvus.mutex);
    CHECK(milvus.changed.wait_for(lock, std::chrono::seconds(20), [&] { return milvus.in_work; }));
  }
  const std::vector<model::Record> records{with_three_dimensions()};
  const auto written = milvus.driver.upsert(milvus.schema, records, UpsertMode::replace, milvus.soon);
  other.join();
  CHECK(written.has_value());
  CHECK_FALSE(milvus.dropped_beside_work);
  REQUIRE(milvus.there.has_value());
  for (const auto& field : milvus.there->fields) {
    if (is_vector(field.type)) CHECK(dimension_of(field) == 3);
  }
  return done;
}

}  // namespace

TEST_CASE(
    "a collection that is being made anew with its dimension is described as it is then, never as missing") {
  Settling milvus;
  const std::vector<model::Record> records{with_three_dimensions()};
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

TEST_CASE("a collection is not made anew while somebody creates it, who would find it half gone") {
  for (const std::string seen_by : {"DescribeIndex", "CreateIndex"}) {
    Settling milvus;
    const auto created = work_beside_first_write(
        milvus, seen_by, [&] { return milvus.driver.create(milvus.schema, milvus.soon); });
    REQUIRE(created.has_error());
    CHECK(created.error().message == "collection 'things' exists already");
    CHECK(created.error().code == Code::already_exists);
  }
}

TEST_CASE("a collection is not made anew while its indexes are built") {
  Settling milvus;
  const auto built = work_beside_first_write(
      milvus, "LoadCollection", [&] { return milvus.driver.build_indexes(milvus.schema, milvus.soon); });
  CHECK(built.has_value());
}

TEST_CASE("a collection is not made anew while a read loads it") {
  Settling milvus;
  milvus.released = true;
  model::Query count;
  count.kind = model::Query::Kind::count;
  count.collection = milvus.schema.name;
  std::optional<uint64_t> counted;
  const auto read = work_beside_first_write(milvus, "LoadCollection", [&]() -> Result<void> {
    const auto found = milvus.driver.query(milvus.schema, count, milvus.soon);
    if (!found) return found.error();
    counted = found->count;
    return {};
  });
  CHECK(read.has_value());
  CHECK(counted == 0);
}
