// A query at a weak consistency level, sent as it came and as up_to_date() makes it, against the real server.
#include "net/grpc_client.h"
#include "protocols/api/driver.h"
#include "protocols/milvus/dialect.h"
#include "protocols/wire/grpc.h"
#include "protocols/wire/protobuf.h"
#include "real_server.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using namespace vmproxy::protocols::milvus::test;

namespace {

const std::string path = "/milvus.proto.milvus.MilvusService/Query";
constexpr uint64_t eventually = 3;  // common.proto, ConsistencyLevel

net::Request query_for(const std::string& collection, const std::string& key) {
  wire::ProtoWriter query;  // milvus.proto, QueryRequest
  query.bytes(3, collection);
  query.bytes(4, "id == \"" + key + "\"");
  query.bytes(5, "id");
  query.u64(8, 1);  // guarantee_timestamp: everything is new enough
  query.u64(11, eventually);
  return {"POST", path, {{"content-type", "application/grpc"}}, wire::grpc_frame(query.view())};
}

}  // namespace

TEST_CASE("an Eventually query that is made up to date shows what was acknowledged just before") {
  model::Schema schema;
  schema.id_kind = model::IdKind::string;
  schema.vectors.push_back({"vector", model::VectorKind::dense_f32, 4, model::Metric::l2, {}});
  OwnCollection own(schema);
  const milvus::MilvusDialect dialect;
  net::RequestHead head;
  head.method = "POST";
  head.target = path;
  const auto* row = dialect.classify(head);
  REQUIRE(row != nullptr);
  net::GrpcClient client(good(net::parse_upstream_url(environment("VMPROXY_TEST_MILVUS"))), 1);
  const auto found = [&](const std::string& body, const std::string& key) {
    const auto answer = good(client.send(path, {}, good(wire::grpc_message(body, "", 1 << 20)), soon()));
    REQUIRE(answer.status == 0);
    return answer.body.find(key) != std::string::npos;
  };
  int missed = 0;
  for (int i = 0; i < 10; ++i) {
    model::Record record;
    const std::string key = "a key of its own " + std::to_string(i);
    record.key.id.value = key;
    record.vectors["vector"] = model::DenseVector{1, 2, 3, 4};
    good(own.driver->upsert(own.schema, std::vector{record}, UpsertMode::replace, soon()));
    const auto asked = query_for(own.schema.name.name, key);
    if (!found(asked.body, key)) ++missed;
    // Every other time by the driver's token, as while a rollback lasts.
    const auto session = own.driver->session(own.schema, std::vector{record.key});
    if (!is_lite()) CHECK_FALSE(session.empty());
    const auto up_to_date = dialect.up_to_date(*row, asked, i % 2 == 0 ? "" : session);
    REQUIRE(up_to_date);
    CHECK(found(*up_to_date, key));
  }
  if (!is_lite()) CHECK(missed > 0);  // else nothing was shown
}
