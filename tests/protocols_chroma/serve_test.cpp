// What the dialect answers from the target where its catalog is older than what is there.
#include <catch2/catch.hpp>

#include "memory_backend.h"
#include "protocols/chroma/dialect.h"
#include "protocols/wire/json.h"
#include "tests/store/print_result.h"

using namespace vmproxy;
using namespace vmproxy::protocols;

namespace {

const std::string collections = "/api/v2/tenants/default_tenant/databases/default_database/collections";

struct Served {
  const chroma::ChromaDialect dialect;
  chroma::test::MemoryBackend backend;

  net::Response post(const std::string& target, const std::string& body) {
    net::Request request;
    request.method = "POST";
    request.target = target;
    request.headers.add("content-type", "application/json");
    request.body = body;
    net::RequestHead head;
    head.method = request.method;
    head.target = target;
    const auto* row = dialect.classify(head);
    REQUIRE(row != nullptr);
    auto answered = dialect.serve(*row, request, backend);
    REQUIRE(answered.has_value());
    return std::move(*answered);
  }
  net::Response create(const std::string& body) { return post(collections, body); }
};

}  // namespace

TEST_CASE("a search finds records although the catalog does not know their dimension yet") {
  Served served;
  REQUIRE(served.create(R"({"name":"new"})").status == 200);
  const auto& schema = served.backend.catalog().collections[0];
  const auto ids = [&](const std::string& body) {
    const auto response = served.post(collections + "/" + schema.native_id + "/query", body);
    REQUIRE(response.status == 200);
    const auto answer = wire::parse_json(response.body);
    REQUIRE(answer.has_value());
    std::vector<std::string> found;
    for (const auto& id : answer->find("ids")->array().at(0).array()) found.push_back(id.string());
    return found;
  };
  using Ids = std::vector<std::string>;
  const std::string near = R"({"query_embeddings":[[1,2]],"n_results":5})";
  const std::string among = R"({"query_embeddings":[[1,2]],"ids":["a"]})";
  CHECK(ids(near).empty());
  CHECK(ids(among).empty());
  // As the mirror does it.
  model::Write write;
  write.kind = model::Write::Kind::replace;
  write.collection = schema.name;
  write.patches.emplace_back();
  write.patches[0].key.id.value = std::string("a");
  write.patches[0].vectors[""] = model::DenseVector{1, 2};
  REQUIRE(served.backend.write(write).has_value());
  REQUIRE(schema.vectors[0].dimension == 0);
  CHECK(ids(near) == Ids{"a"});
  CHECK(ids(among) == Ids{"a"});
  CHECK(served
            .post(collections + "/" + schema.native_id + "/query",
                  R"({"query_embeddings":[[1,2]],"ids":["a","b"]})")
            .status == 500);
}

TEST_CASE("of two that make a collection at once the second is told that it exists, unless any will do") {
  Served served;
  Served first;
  first.backend.uuids.push_back("11111111-2222-3333-4444-555555555555");
  REQUIRE(first.create(R"({"name":"things"})").status == 200);
  served.backend.made_beside = first.backend.catalog().collections[0];
  CHECK(served.create(R"({"name":"things"})").status == 409);
  const auto either = served.create(R"({"name":"things","get_or_create":true})");
  CHECK(either.status == 200);
  CHECK(wire::parse_json(either.body)->find("id")->string() ==
        first.backend.catalog().collections[0].native_id);
}
