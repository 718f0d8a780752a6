// Calls about what exists, and what a query is asked for, answered from another database.
#include <catch2/catch.hpp>
#include <functional>

#include "parted.h"
#include "protocols/milvus/dialect.h"
#include "protocols/milvus/requests.h"
#include "protocols/wire/grpc.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using namespace vmproxy::protocols::milvus;
using test::fill;
using test::parted;

namespace {

std::string call(Backend& backend, const std::string& rpc, const ProtoWriter& message) {
  const MilvusDialect dialect;
  const std::string path = "/milvus.proto.milvus.MilvusService/" + rpc;
  net::RequestHead head;
  head.method = "POST";
  head.target = path;
  const net::Request request{"POST", path, {}, wire::grpc_frame(message.view())};
  const auto answer = dialect.serve(*dialect.classify(head), request, backend);
  REQUIRE(answer.has_value());
  return wire::grpc_message(answer->body, "", 1 << 20).value();
}

// Of a call whose answer is a status.
Status command(Backend& backend, const std::string& rpc, const ProtoWriter& message) {
  return read_status(call(backend, rpc, message)).value();
}

// The status of any other, and a number of its answer.
Status status_in(const std::string& answer) {
  ProtoReader reader(answer);
  while (reader.next()) {
    if (reader.field() == 1) return read_status(reader.bytes()).value();
  }
  FAIL("no status");
  return {};
}
uint64_t number_in(const std::string& answer, uint32_t field) {
  CHECK(status_in(answer).ok());
  ProtoReader reader(answer);
  uint64_t number = 0;
  while (reader.next()) {
    if (reader.field() == field) number = reader.u64();
  }
  return number;
}

ProtoWriter on(const std::string& collection) {
  ProtoWriter message;
  message.bytes(3, collection);
  return message;
}
ProtoWriter index_of_vector(const Pairs& params) {
  ProtoWriter message = on("things");
  message.bytes(4, "vector");
  write_pairs(message, 5, params);
  return message;
}
ProtoWriter loading_of(const std::vector<std::string>& partitions) {
  ProtoWriter message;  // its fields have numbers of their own
  message.bytes(2, "things");
  for (const auto& name : partitions) message.bytes(3, name);
  return message;
}

// Another client and chance: just before the first change something is written, and creations may fail.
class Beside final : public Backend {
 public:
  explicit Beside(test::MemoryBackend& backend) : backend_(backend) {}
  std::function<void()> before_change;
  bool creates = true;

  const Catalog& catalog() const override { return backend_.catalog(); }
  Deadline deadline() const override { return backend_.deadline(); }
  Result<model::QueryResult> query(const model::Query& query) override { return backend_.query(query); }
  Result<model::WriteResult> write(const model::Write& write) override { return backend_.write(write); }
  Result<model::Schema> change(const model::SchemaChange& change) override {
    if (const auto act = std::exchange(before_change, nullptr)) act();
    if (!creates && change.kind == model::SchemaChange::Kind::create_collection)
      return Error(Code::timeout, "no answer came");
    return backend_.change(change);
  }
  Result<void> change_space(model::SchemaChange::Kind kind, const Space& space) override {
    return backend_.change_space(kind, space);
  }
  model::Uuid new_uuid() override { return backend_.new_uuid(); }

 private:
  test::MemoryBackend& backend_;
};

uint64_t count(test::MemoryBackend& backend) {
  model::Query query;
  query.kind = model::Query::Kind::count;
  query.collection = backend.catalog_.collections.at(0).name;
  return backend.query(query).value().count;
}

model::Metric metric(const test::MemoryBackend& backend) {
  return backend.catalog_.collections.at(0).vectors.at(0).metric;
}

}  // namespace

TEST_CASE("an index of another metric takes no record with it, and no collection") {
  test::MemoryBackend backend;
  Beside beside(backend);
  Collection collection = parted();
  collection.loaded = false;
  backend.catalog_.collections.push_back(to_schema(collection));
  REQUIRE(metric(backend) == model::Metric::cosine);
  uint64_t written = 0;
  SECTION("another client writes meanwhile") {
    beside.before_change = [&] {
      model::Write write;
      write.collection = backend.catalog_.collections[0].name;
      write.patches.push_back({key_of(7, ""), {}, {}, false, {}, {}, false});
      REQUIRE(backend.write(write).has_value());
      written = 1;
    };
  }
  SECTION("nothing can be created just now") {
    beside.creates = false;
  }
  SECTION("there are records") {
    fill(backend, collection);
    backend.catalog_.collections.pop_back();
    written = 4;
  }
  CHECK(
      command(beside, "CreateIndex", index_of_vector({{"metric_type", "L2"}, {"index_type", "FLAT"}})).ok());
  CHECK(status_in(call(beside, "DescribeCollection", on("things"))).ok());
  CHECK(count(backend) == written);
  CHECK(metric(backend) == model::Metric::l2);
}

TEST_CASE("the next index of a collection with records is of the metric of the one that was dropped") {
  test::MemoryBackend backend;
  Collection collection = parted();
  collection.loaded = false;
  IndexInfo index;
  index.name = index.field = "vector";
  index.params = {{"metric_type", "L2"}, {"index_type", "FLAT"}};
  collection.indexes = {index};
  fill(backend, collection);
  REQUIRE(metric(backend) == model::Metric::l2);
  ProtoWriter dropped = on("things");
  dropped.bytes(5, "vector");
  REQUIRE(command(backend, "DropIndex", dropped).ok());
  CHECK(metric(backend) == model::Metric::l2);
  REQUIRE(
      command(backend, "CreateIndex", index_of_vector({{"metric_type", "L2"}, {"index_type", "HNSW"}})).ok());
  CHECK(metric(backend) == model::Metric::l2);
  CHECK(command(backend, "LoadCollection", on("things")).ok());
  CHECK(metric(backend) == model::Metric::l2);
  CHECK(count(backend) == 4);
}

TEST_CASE("an offset without a limit is not looked at") {
  test::MemoryBackend backend;
  Collection collection = parted();
  collection.partitions.resize(1);
  backend.catalog_.collections.push_back(to_schema(collection));
  model::Write write;
  write.collection = backend.catalog_.collections[0].name;
  for (const int64_t id : {1, 2, 3}) write.patches.push_back({key_of(id, ""), {}, {}, false, {}, {}, false});
  REQUIRE(backend.write(write).has_value());
  const auto rows = [&](const Pairs& params) {
    ProtoWriter message = on("things");
    message.bytes(4, "id > 0");
    message.bytes(5, "id");
    write_pairs(message, 9, params);
    const std::string answer = call(backend, "Query", message);
    CHECK(status_in(answer).ok());
    size_t found = 0;
    ProtoReader reader(answer);
    while (reader.next()) {
      if (reader.field() == 2) found = read_column(reader.bytes()).value().rows();
    }
    return found;
  };
  CHECK(rows({{"offset", "2"}}) == 3);
  CHECK(rows({{"offset", "many"}}) == 3);
  CHECK(rows({{"offset", "2"}, {"limit", "3"}}) == 1);
}

TEST_CASE("no collection is dropped by an alias") {
  test::MemoryBackend backend;
  Collection collection = parted();
  collection.described.aliases = {"others"};
  fill(backend, collection);
  const Status refused = command(backend, "DropCollection", on("others"));
  CHECK(refused.code == 65535);
  CHECK(refused.reason == "cannot drop the collection via alias = others");
  CHECK(count(backend) == 4);
  CHECK(command(backend, "DropCollection", on("nothing")).ok());
  CHECK(command(backend, "DropCollection", on("things")).ok());
  CHECK(backend.catalog_.collections.empty());
}

TEST_CASE("what is said of loading is about the partitions that are named") {
  test::MemoryBackend backend;
  Collection collection = parted();
  SECTION("one is released") {
    collection.released = {"old"};
    backend.catalog_.collections.push_back(to_schema(collection));
    const std::vector<std::pair<std::vector<std::string>, bool>> asked{
        {{}, true}, {{"_default"}, true}, {{"old"}, false}, {{"_default", "old"}, false}};
    for (const auto& [names, loaded] : asked) {
      INFO(names.size());
      CHECK(number_in(call(backend, "GetLoadState", loading_of(names)), 2) == (loaded ? 3 : 1));
      CHECK(number_in(call(backend, "GetLoadingProgress", loading_of(names)), 2) == (loaded ? 100 : 0));
    }
  }
  SECTION("nothing is loaded") {
    collection.loaded = false;
    backend.catalog_.collections.push_back(to_schema(collection));
    CHECK(number_in(call(backend, "GetLoadState", loading_of({"old"})), 2) == 1);
    CHECK(number_in(call(backend, "GetLoadingProgress", loading_of({})), 2) == 0);
  }
  SECTION("one is unknown") {
    backend.catalog_.collections.push_back(to_schema(collection));
    for (const char* rpc : {"GetLoadState", "GetLoadingProgress"}) {
      const Status refused = status_in(call(backend, rpc, loading_of({"old", "new"})));
      CHECK(refused.code == 200);
      CHECK(refused.reason == "partition not found[partition=new]");
    }
  }
  SECTION("there is no such collection") {
    CHECK(number_in(call(backend, "GetLoadState", loading_of({"old"})), 2) == 0);
  }
}
