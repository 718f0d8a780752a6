#include "protocols/chroma/dialect.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <set>
#include <tuple>

#include "memory_backend.h"
#include "protocols/chroma/routes.h"
#include "protocols/wire/json.h"
#include "tests/store/print_result.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using chroma::ChromaDialect;
using model::Array;
using model::Object;
using model::Value;

namespace {

const std::string base = "/api/v2/tenants/default_tenant/databases/default_database";
const std::string uuid = "11111111-2222-3333-4444-555555555555";

net::Request request(const std::string& method, const std::string& target, const std::string& body = "") {
  net::Request r;
  r.method = method;
  r.target = target;
  r.headers.add("content-type", "application/json");
  r.body = body;
  return r;
}

std::string who(const ChromaDialect& dialect, const net::RequestHead& head) {
  return dialect.credential(head, dialect.credential_form());
}

const OperationRow* row_of(const std::string& method, const std::string& target) {
  net::RequestHead head;
  head.method = method;
  head.target = target;
  return ChromaDialect().classify(head);
}

Catalog catalog() {
  Catalog c;
  model::Schema schema;
  schema.name = {"default_tenant/default_database", "things"};
  schema.native_id = uuid;
  schema.vectors.emplace_back();
  c.collections.push_back(schema);
  return c;
}

Result<Operation> decoded(const std::string& method, const std::string& target,
                          const std::string& body = "") {
  const auto* row = row_of(method, target);
  REQUIRE(row != nullptr);
  return ChromaDialect().decode(*row, request(method, target, body), catalog());
}

Result<Operation> record_call(const std::string& action, const std::string& body) {
  return decoded("POST", base + "/collections/" + uuid + "/" + action, body);
}

std::vector<std::string> ids(const Operation& operation) {
  std::vector<std::string> found;
  for (const auto& key : operation.keys) found.push_back(to_string(key.id));
  return found;
}

}  // namespace

TEST_CASE("the table has a row for every route and each row finds itself") {
  const ChromaDialect dialect;
  CHECK(dialect.table().size() == 36);
  std::set<std::string_view> names;
  for (const auto& row : dialect.table()) {
    std::string path(row.pattern);
    for (size_t at; (at = path.find("{}")) != std::string::npos;) path.replace(at, 2, "x");
    CHECK(row_of(std::string(row.method), path) == &row);
    CHECK(row_of(std::string(row.method), path + "?a=1") == &row);
    CHECK(names.insert(row.name).second);
  }
}

TEST_CASE("what the table does not have is not found in it") {
  for (const auto& [method, path] :
       std::vector<std::pair<std::string, std::string>>{{"GET", "/"},
                                                        {"GET", "/api/v2/"},
                                                        {"GET", "/api/v2/heartbeat/"},
                                                        {"POST", "/api/v2/heartbeat"},
                                                        {"GET", "/api/v1/heartbeat"},
                                                        {"POST", base + "/collections/" + uuid + "/zzz"},
                                                        {"GET", base + "/collections/" + uuid + "/add"},
                                                        {"HEAD", "/api/v2/reset"},
                                                        {"head", "/api/v2/version"},
                                                        {"POST", base + "//collections"},
                                                        {"GET", "/api/v2/tenants//databases"},
                                                        {"GET", ""}}) {
    CAPTURE(method, path);
    CHECK(row_of(method, path) == nullptr);
  }
}

TEST_CASE("HEAD is answered by the route of GET") {
  CHECK(row_of("HEAD", "/api/v2/version") == row_of("GET", "/api/v2/version"));
  CHECK(row_of("HEAD", base + "/collections/" + uuid + "/count")->name == "record.count");
  const ChromaDialect dialect;
  chroma::test::MemoryBackend backend;
  const auto answered = [&](const char* method) {
    return dialect.serve(*row_of(method, "/api/v2/heartbeat"), request(method, "/api/v2/heartbeat", ""),
                         backend);
  };
  REQUIRE(answered("HEAD").has_value());
  CHECK(answered("HEAD")->status == 200);
  CHECK(answered("HEAD")->headers.find("content-type") == answered("GET")->headers.find("content-type"));
}

TEST_CASE("by-id is a route of its own, not a collection of that name") {
  CHECK(row_of("GET", base + "/collections/by-id/" + uuid)->name == "collection.get_by_id");
  CHECK(row_of("GET", base + "/collections/by-id")->name == "collection.get");
  CHECK(row_of("GET", base + "/collections/" + uuid + "/count")->name == "record.count");
}

TEST_CASE("writes name their collection and ids in request order, twice where given twice") {
  for (const std::string action : {"add", "upsert", "update"}) {
    const auto operation = record_call(
        action, R"({"embeddings":["AAAA",[1]],"ids":["b","a","b","\u00e9"],"metadatas":[{"ids":["no"]}]})");
    REQUIRE(operation.has_value());
    CHECK(operation->write_class == WriteClass::read_back);
    CHECK(operation->collection.name == "things");
    CHECK(ids(*operation) == std::vector<std::string>{"b", "a", "b", "é"});
    CHECK(!operation->predicate);
  }
}

TEST_CASE("the collection is found by its id whatever place and form the path gives") {
  for (const auto& id :
       std::vector<std::string>{uuid, std::string("11111111222233334444555555555555"), "urn:uuid:" + uuid}) {
    const auto operation =
        decoded("GET", "/api/v2/tenants/other/databases/elsewhere/collections/" + id + "/count");
    REQUIRE(operation.has_value());
    CHECK(operation->collection.name == "things");
  }
  CHECK(decoded("GET", base + "/collections/things/count").error().code == Code::invalid);
  CHECK(decoded("GET", base + "/collections/99999999-2222-3333-4444-555555555555/count").error().code ==
        Code::not_found);
}

TEST_CASE("deletes are images by ids alone and predicates with a filter") {
  const auto by_ids = record_call("delete", R"({"ids":["a"],"where":null,"where_document":null})");
  REQUIRE(by_ids.has_value());
  CHECK(by_ids->write_class == WriteClass::image);
  const ChromaDialect dialect;
  const std::string target = base + "/collections/" + uuid + "/delete";
  const auto images =
      dialect.images(*row_of("POST", target), request("POST", target, R"({"ids":["a","b"]})"), catalog());
  REQUIRE(images.has_value());
  REQUIRE(images->size() == 2);
  CHECK(!(*images)[0].record.has_value());

  const auto by_filter =
      record_call("delete", R"({"ids":["a"],"where":{"x":1},"where_document":{"$contains":"t"}})");
  REQUIRE(by_filter.has_value());
  CHECK(by_filter->write_class == WriteClass::predicate);
  CHECK(ids(*by_filter) == std::vector<std::string>{"a"});
  model::Record record;
  record.metadata = Object{{"x", 1}};
  record.document = "text";
  CHECK(evaluate(*by_filter->predicate, record));
  record.document = "other";
  CHECK(evaluate(*by_filter->predicate, record));
  record.document = "none";
  CHECK(!evaluate(*by_filter->predicate, record));
  CHECK(!record_call("delete", R"({"where":{"$bad":1}})").has_value());
}

TEST_CASE("a fingerprint is the query without its pages") {
  const auto print = [](const std::string& action, const std::string& body) {
    return record_call(action, body)->fingerprint;
  };
  CHECK(print("get", R"({"where":{"a":1},"limit":10,"offset":0})") ==
        print("get", R"({ "limit" : 5, "offset":50,"where":{"a":1}})"));
  CHECK(print("get", R"({"where":{"a":1}})") == print("get", R"({"where":{"a":1},"limit":null,"ids":null})"));
  CHECK(print("get", R"({"where":{"a":1}})") != print("get", R"({"where":{"a":2}})"));
  CHECK(print("query", R"({"query_embeddings":[[1]],"n_results":5})") ==
        print("query", R"({"query_embeddings":[[1]],"n_results":10})"));
  CHECK(print("query", R"({"query_embeddings":[[1]]})") != print("query", R"({"query_embeddings":[[2]]})"));
  CHECK(print("get", "{}") != print("query", "{}"));
  CHECK(record_call("get", R"({"offset":0})")->pages);
  CHECK(record_call("get", R"({"limit":10})")->pages);
  CHECK(!record_call("get", R"({"limit":null,"offset":null})")->pages);
}

TEST_CASE("definitions say what to look at again") {
  const auto made = decoded("POST", base + "/collections", R"({"name":"fresh","metadata":{"name":"no"}})");
  REQUIRE(made.has_value());
  CHECK(made->creates_collection);
  CHECK(made->write_class == WriteClass::ddl);
  CHECK(made->collection == model::CollectionName{"default_tenant/default_database", "fresh"});
  const auto dropped = decoded("DELETE", base + "/collections/a%20name");
  CHECK(dropped->drops_collection);
  CHECK(dropped->collection.name == "a name");
  CHECK(decoded("PUT", base + "/collections/" + uuid, "{}")->collection.name == "things");
  CHECK(decoded("DELETE", base)->drops_collection);
  CHECK(decoded("POST", "/api/v2/tenants/t%2Fx/databases", R"({"name":"dbs"})")->collection.space ==
        "t%2Fx/dbs");
  CHECK(!decoded("POST", base + "/collections", "{").has_value());
}

TEST_CASE("a credential is proven by an answer that not everybody gets") {
  const ChromaDialect dialect;
  const auto accepted = [&](const char* method, const char* target, int status) {
    net::RequestHead head;
    head.method = method;
    head.target = target;
    net::Response response;
    response.status = status;
    return dialect.ending(dialect.classify(head), response).credential_accepted;
  };
  CHECK(accepted("GET", "/api/v2/auth/identity", 200));
  CHECK(accepted("GET", "/api/v2/tenants/t/databases/d/collections", 200));
  CHECK_FALSE(accepted("GET", "/api/v2/auth/identity", 401));
  CHECK_FALSE(accepted("GET", "/api/v2/auth/identity", 500));
  CHECK_FALSE(accepted("GET", "/api/v2/heartbeat", 200));
  CHECK_FALSE(accepted("HEAD", "/api/v2/heartbeat", 200));
  CHECK_FALSE(accepted("GET", "/api/v2/version", 200));
  CHECK_FALSE(accepted("GET", "/something", 200));
}

TEST_CASE("only proof counts as an outcome") {
  const ChromaDialect dialect;
  const auto outcome = [&](int status) {
    net::Response response;
    response.status = status;
    return dialect.outcome({}, response).whole;
  };
  for (const int status : {200, 201, 204}) CHECK(outcome(status) == model::Outcome::applied);
  for (const int status : {400, 401, 403, 404, 409, 413, 415, 422, 429, 501})
    CHECK(outcome(status) == model::Outcome::rejected);
  for (const int status : {0, 100, 302, 408, 418, 425, 499, 500, 502, 503, 504, 599})
    CHECK(outcome(status) == model::Outcome::uncertain);
}

TEST_CASE("errors of ours have the server's shape and status") {
  const ChromaDialect dialect;
  net::RequestHead head;
  head.method = "POST";
  head.target = base + "/collections/" + uuid + "/get";
  for (const auto& [code, status] : std::vector<std::pair<Code, int>>{{Code::unavailable, 503},
                                                                      {Code::refused_connection, 503},
                                                                      {Code::connection_lost, 503},
                                                                      {Code::timeout, 504},
                                                                      {Code::unsupported, 501},
                                                                      {Code::quota, 429},
                                                                      {Code::invalid, 400},
                                                                      {Code::not_found, 404},
                                                                      {Code::internal, 500},
                                                                      {Code::unauthenticated, 401}}) {
    const auto response = dialect.error(Error(code, "why \"this\""), head);
    CHECK(response.status == status);
    const auto body = wire::parse_json(response.body);
    REQUIRE(body.has_value());
    CHECK(body->find("message")->string() == "why \"this\"");
    CHECK(body->find("error")->is_string());
  }
}

TEST_CASE("what is refused for a moment says when to try again, and nothing else does") {
  const ChromaDialect dialect;
  net::RequestHead head;
  head.method = "POST";
  head.target = base + "/collections/" + uuid + "/get";
  const auto retry_after = [&](Code code) {
    return std::string(dialect.error(Error(code, "why"), head).headers.find("retry-after").value_or("never"));
  };
  for (const Code code : {Code::overloaded, Code::refused_connection, Code::cancelled})
    CHECK(retry_after(code) == "1");
  CHECK(dialect.error(Error(Code::overloaded, "why"), head).status == 429);
  // A quota does not refill by waiting, and of a write that ended otherwise a part may have been done.
  for (const Code code :
       {Code::quota, Code::unavailable, Code::connection_lost, Code::timeout, Code::invalid, Code::too_large})
    CHECK(retry_after(code) == "never");
}

TEST_CASE("a path that is not UTF-8 is refused in the server's words, and in JSON") {
  const ChromaDialect dialect;
  chroma::test::MemoryBackend backend;
  const std::string tenant = "/api/v2/tenants/";
  const std::string database = tenant + "t/databases/";
  const std::string collection = database + "ddd/collections/";
  // As Chroma 1.5.9 answers.
  const std::vector<std::tuple<std::string, std::string, std::string>> asked = {
      {"GET", tenant + "%ff", "tenant_name"},
      {"PATCH", tenant + "%ff", "tenant_name"},
      {"GET", tenant + "%ff/databases", "tenant"},
      {"GET", tenant + "a%ff/databases/%fe", "tenant"},
      {"GET", database + "%ff", "database"},
      {"POST", tenant + "%ff/databases/%fe/collections", "tenant"},
      {"GET", collection + "%ff", "collection_id"},
      {"GET", collection + "by-id/%ff", "collection_id"},
      {"GET", collection + "%ff/count", "collection_id"},
      {"POST", collection + "%ff/get", "collection_id"},
      {"GET", collection + "c/functions/%ff", "function_name"},
      {"POST", collection + "c/attached_functions/%ff/detach", "name"},
      {"GET", "/api/v2/collections/%ff", "crn"}};
  for (const auto& [method, target, name] : asked) {
    INFO(method << ' ' << target);
    const auto* row = row_of(method, target);
    REQUIRE(row != nullptr);
    net::RequestHead head;
    head.method = method;
    head.target = target;
    const auto served = dialect.serve(*row, request(method, target, "{"), backend);
    REQUIRE(served.has_value());
    const auto refused = dialect.error(Error(Code::invalid, "no collection '\xff'"), head);
    for (const auto& response : {*served, refused}) {
      CHECK(response.status == 400);
      const auto body = wire::parse_json(response.body);
      REQUIRE(body.has_value());
      CHECK(body->find("error")->string() == "InvalidArgumentError");
      CHECK(body->find("message")->string() == "Invalid URL: Invalid UTF-8 in `" + name + "`");
    }
  }
}

TEST_CASE("whoever may ask by another credential is somebody else") {
  const ChromaDialect dialect;
  net::RequestHead head;
  CHECK(who(dialect, head).empty());
  head.headers.add("User-Agent", "x");
  CHECK(who(dialect, head).empty());
  // A load balancer's cookie is another one with each answer.
  head.headers.add("Cookie", "node=1");
  CHECK(who(dialect, head).empty());
  head.headers.add("Authorization", "Bearer a");
  const auto one = who(dialect, head);
  head.headers.add("X-Chroma-Token", "b");
  CHECK(!one.empty());
  CHECK(who(dialect, head) != one);
  CHECK(who(dialect, head) == "authorization:Bearer a\nx-chroma-token:b\n");
  // Another key beside the same authorization.
  head.headers.set("X-Chroma-Token", "c");
  CHECK(who(dialect, head) == "authorization:Bearer a\nx-chroma-token:c\n");
}

TEST_CASE("a state without a form is read as the versions that kept none wrote it") {
  const ChromaDialect dialect("x-gateway-key");
  net::RequestHead head;
  head.headers.add("X-Api-Key", "k");
  head.headers.add("X-Gateway-Key", "g");
  head.headers.add("Cookie", "c");
  CHECK(dialect.credential(head, "").empty());
  head.headers.add("Authorization", "");
  head.headers.add("X-Chroma-Token", "b");
  head.headers.add("X-Chroma-Token", "second");
  CHECK(dialect.credential(head, "") == "authorization:\nx-chroma-token:b\n");
  // And one of another configuration as that wrote it.
  CHECK(dialect.credential(head, ChromaDialect("x-other").credential_form()) ==
        "x-api-key:k\nx-chroma-token:b\nx-chroma-token:second\n");
}

TEST_CASE("every header that may carry a credential counts, and the one that the configuration names") {
  const auto asked = [](const ChromaDialect& dialect, const char* name, const char* value) {
    net::RequestHead head;
    head.headers.add(name, value);
    return who(dialect, head);
  };
  const ChromaDialect dialect, configured("X-Gateway-Key");
  for (const char* name : {"Authorization", "Proxy-Authorization", "X-Chroma-Token", "X-Api-Key", "Api-Key",
                           "apikey", "X-Auth-Token", "X-Access-Token"}) {
    CAPTURE(name);
    CHECK_FALSE(asked(dialect, name, "a").empty());
    CHECK(asked(dialect, name, "a") != asked(dialect, name, "b"));
    CHECK(asked(dialect, name, "").empty());
    CHECK(asked(configured, name, "a") == asked(dialect, name, "a"));
  }
  CHECK(asked(dialect, "x-gateway-key", "a").empty());
  CHECK_FALSE(asked(configured, "x-gateway-key", "a").empty());
  CHECK(asked(configured, "x-gateway-key", "a") != asked(configured, "x-gateway-key", "b"));
  CHECK(asked(dialect, "Cookie", "a").empty());
  CHECK(asked(ChromaDialect("cookie"), "Cookie", "a") == "cookie:a\n");
  // Named in the configuration as well, it counts once.
  CHECK(asked(ChromaDialect("x-chroma-token"), "X-Chroma-Token", "b") == "x-chroma-token:b\n");
}

TEST_CASE("the first embedding fixes the dimension, once, before its write") {
  const ChromaDialect dialect;
  chroma::test::MemoryBackend backend;
  const auto create = request("POST", base + "/collections", R"({"name":"dims"})");
  const auto created = dialect.serve(*row_of("POST", base + "/collections"), create, backend);
  REQUIRE(created.has_value());
  const std::string target = base + "/collections/" + backend.catalog().collections[0].native_id + "/upsert";
  const auto upsert = [&](const std::string& body) {
    return dialect.serve(*row_of("POST", target), request("POST", target, body), backend)->status;
  };
  CHECK(upsert(R"({"ids":[],"embeddings":[]})") == 200);
  CHECK(backend.catalog().collections[0].vectors[0].dimension == 0);
  CHECK(upsert(R"({"ids":["a"],"embeddings":[[1,2,3]]})") == 200);
  CHECK(backend.catalog().collections[0].vectors[0].dimension == 3);
  CHECK(*backend.catalog().collections[0].native.find("dimension") == Value(3));
  CHECK(upsert(R"({"ids":["b"],"embeddings":[[1,2]]})") == 400);
  CHECK(backend.writes.size() == 1);
}

TEST_CASE("a body that breaks the real server is answered as it would be, and does nothing here") {
  const ChromaDialect dialect;
  chroma::test::MemoryBackend backend;
  REQUIRE(dialect
              .serve(*row_of("POST", base + "/collections"),
                     request("POST", base + "/collections", R"({"name":"poison"})"), backend)
              .has_value());
  const std::string target = base + "/collections/" + backend.catalog().collections[0].native_id + "/upsert";
  const auto response = dialect.serve(
      *row_of("POST", target),
      request("POST", target, R"({"ids":["a"],"embeddings":[[1]],"metadatas":[{"chroma:document":null}]})"),
      backend);
  REQUIRE(response.has_value());
  CHECK(response->status == 500);
  CHECK(backend.writes.empty());
}

TEST_CASE("recorded bodies cut, changed and nested anyhow are answered or refused, never worse") {
  const ChromaDialect dialect;
  chroma::test::MemoryBackend backend;
  REQUIRE(dialect
              .serve(*row_of("POST", base + "/collections"),
                     request("POST", base + "/collections", R"({"name":"any"})"), backend)
              .has_value());
  const std::string id = backend.catalog().collections[0].native_id;
  size_t asked = 0;
  for (const std::string subject : {"writes", "reads", "collections"}) {
    std::ifstream file(std::string(VMPROXY_TEST_DATA) + "/" + subject + ".jsonl");
    size_t line_number = 0;
    for (std::string line; std::getline(file, line);) {
      const auto exchange = wire::parse_json(line);
      REQUIRE(exchange.has_value());
      if (!exchange->find("body")->is_string() || ++line_number % 4 != 0) continue;
      std::string path = exchange->find("path")->string();
      if (const auto at = path.find("/collections/"); at != std::string::npos && path.size() > at + 49)
        path.replace(at + 13, 36, id);
      const auto* row = row_of(exchange->find("method")->string(), path);
      if (row == nullptr) continue;
      const std::string body = exchange->find("body")->string();
      for (size_t i = 0; i < body.size(); i += 1 + body.size() / 40) {
        std::string changed = body;
        changed[i] = "\"[]{},:0n\xff\x01"[asked % 11];
        for (const std::string& bad :
             {body.substr(0, i), changed, body.substr(0, i) + std::string(300, '[') + body.substr(i)}) {
          ++asked;
          const auto response = dialect.serve(*row, request(std::string(row->method), path, bad), backend);
          if (response) CHECK(response->status >= 200);
          (void)dialect.decode(*row, request(std::string(row->method), path, bad), backend.catalog());
        }
      }
    }
  }
  CHECK(asked > 3000);
}
