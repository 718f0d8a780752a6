// Deletes that are answered from another database.
#include <catch2/catch.hpp>

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

int64_t deleted(test::MemoryBackend& backend, const std::string& expression) {
  const MilvusDialect dialect;
  const std::string path = "/milvus.proto.milvus.MilvusService/Delete";
  net::RequestHead head;
  head.method = "POST";
  head.target = path;
  ProtoWriter message;
  message.bytes(3, "things");
  message.bytes(5, expression);
  const net::Request request{"POST", path, {}, wire::grpc_frame(message.view())};
  const auto answer = dialect.serve(*dialect.classify(head), request, backend);
  REQUIRE(answer.has_value());
  const std::string answered = wire::grpc_message(answer->body, "", 1 << 20).value();
  int64_t count = -1;
  ProtoReader reader(answered);
  while (reader.next()) {
    if (reader.field() == 1) CHECK(read_status(reader.bytes())->ok());
    if (reader.field() == 7) count = reader.i64();
  }
  return count;
}

uint64_t left(test::MemoryBackend& backend, std::vector<std::string> partitions) {
  model::Query query;
  query.kind = model::Query::Kind::count;
  query.collection = backend.catalog_.collections[0].name;
  query.partitions = std::move(partitions);
  return backend.query(query).value().count;
}

// Of 1 and as many that are in no record.
std::string list(size_t length) {
  std::string text = "id in [1";
  for (size_t i = 1; i < length; ++i) text += ", " + std::to_string(1'000'000 + i);
  return text + "]";
}

}  // namespace

TEST_CASE("a delete by keys takes them from partitions that are released, however many keys it names") {
  for (const size_t length : {size_t{1}, size_t{8192}, size_t{8193}, size_t{20'000}}) {
    INFO(length);
    for (const bool loaded : {true, false}) {
      test::MemoryBackend backend;
      Collection collection = parted();
      collection.loaded = loaded;
      if (loaded) collection.released = {"old"};
      fill(backend, collection);
      CHECK(deleted(backend, list(length)) == static_cast<int64_t>(length));
      CHECK(left(backend, {""}) == 1);
      CHECK(left(backend, {"old"}) == 1);
    }
  }
}

TEST_CASE("a delete by a filter leaves partitions alone that are released") {
  test::MemoryBackend backend;
  Collection collection = parted();
  collection.released = {"old"};
  fill(backend, collection);
  CHECK(deleted(backend, "id < 2") == 1);
  CHECK(left(backend, {""}) == 1);
  CHECK(left(backend, {"old"}) == 2);
}
