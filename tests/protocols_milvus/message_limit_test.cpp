// The bound of a message: Milvus takes 64 MiB, its transport refuses one byte more, and we refuse it in the same words.
#include <catch2/catch.hpp>

#include "memory_backend.h"
#include "protocols/milvus/dialect.h"
#include "protocols/milvus/requests.h"
#include "protocols/wire/grpc.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using namespace vmproxy::protocols::milvus;
using vmproxy::protocols::milvus::test::MemoryBackend;

namespace {

// As grpc-go says it, which Milvus is built on.
const std::string refused = "grpc: received message larger than max (67108865 vs. 67108864)";

net::Request upsert(std::string body) {
  return {"POST",
          "/milvus.proto.milvus.MilvusService/Upsert",
          {{"content-type", "application/grpc"}},
          std::move(body)};
}

}  // namespace

TEST_CASE("a message of 64 MiB is read") {
  const MilvusDialect dialect;
  const auto request = upsert(wire::grpc_frame(std::string(64u << 20, 'm')));
  CHECK(request.body.size() == dialect.body_bytes_max());
  const auto message = message_of(request);
  REQUIRE(message.has_value());
  CHECK(message->size() == 64u << 20);
}

TEST_CASE("of a message of one byte more the first bytes are enough to refuse it as Milvus does") {
  const MilvusDialect dialect;
  net::RequestHead head;
  head.method = "POST";
  head.target = "/milvus.proto.milvus.MilvusService/Upsert";
  head.http2 = true;
  const auto* row = dialect.classify(head);
  REQUIRE(row != nullptr);
  const std::string body = wire::grpc_frame(std::string((64u << 20) + 1, 'm'));
  CHECK(body.size() == dialect.body_bytes_max() + 1);
  for (const size_t came : {size_t{5}, size_t{1000}, body.size() - 1, body.size()}) {
    INFO(came << " bytes have come");
    const auto request = upsert(body.substr(0, came));
    const auto operation = dialect.decode(*row, request, Catalog());
    REQUIRE(operation.has_error());
    CHECK(operation.error().code == Code::too_large);
    CHECK(operation.error().message == refused);
    const auto said = dialect.error(operation.error(), head);
    CHECK(said.status == 200);
    CHECK(said.trailers.find("grpc-status") == "8");
    CHECK(said.trailers.find("grpc-message") == refused);

    MemoryBackend backend;  // after the promotion
    const auto answer = dialect.serve(*row, request, backend);
    REQUIRE(answer.has_value());
    CHECK(answer->trailers.find("grpc-status") == "8");
    CHECK(answer->trailers.find("grpc-message") == refused);
  }
}
