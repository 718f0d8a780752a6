// The dialect's declarations, proven on the real server: which writes carry whole records, which refusals did
// nothing.
#include "protocols/chroma/dialect.h"
#include "real_server.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using namespace vmproxy::protocols::chroma::test;
using model::Array;
using model::Object;
using model::Record;
using model::Value;

namespace {

struct Scene {
  Scene() : driver(make_driver()), schema(make_collection(*driver)) {
    const std::vector<Record> before{record("k", {1, 2}, "doc", Object{{"old", 1}})};
    CHECK(good(driver->upsert(schema, before, UpsertMode::replace, soon())).refused.empty());
    schema = *good(driver->describe(schema.name, soon()));
    catalog.collections.push_back(schema);
  }
  std::vector<Record> now() {
    const std::vector<model::Key> keys{key("k"), key("new")};
    return good(driver->read(schema, keys, {}, soon()));
  }
  Operation decoded(const std::string& action, const Value& body) {
    net::RequestHead head;
    head.method = "POST";
    head.target = records_target(schema, action);
    net::Request request;
    request.method = head.method;
    request.target = head.target;
    request.body = wire::to_json(body);
    const auto* row = dialect.classify(head);
    REQUIRE(row != nullptr);
    return good(dialect.decode(*row, request, catalog));
  }
  chroma::ChromaDialect dialect;
  std::unique_ptr<Driver> driver;
  model::Schema schema;
  Catalog catalog;
};

// Array{Array{...}} would be a copy, not a list with one element.
Value one(Value element) {
  return Array{std::move(element)};
}

const Value two = one(Array{5, 6});

}  // namespace

TEST_CASE("add, upsert and update do not leave what their request says, so they are read back") {
  for (const std::string action : {"add", "upsert", "update"}) {
    Scene scene;
    const Value body =
        Object{{"ids", Array{"k"}}, {"embeddings", two}, {"metadatas", one(Object{{"fresh", 2}})}};
    CHECK(scene.decoded(action, body).write_class == WriteClass::read_back);
    CHECK(call("POST", records_target(scene.schema, action), body).status / 100 == 2);
    const auto now = scene.now();
    REQUIRE(now.size() == 1);
    const Record sent = record("k", {5, 6}, std::nullopt, Object{{"fresh", 2}});
    const bool whole = now[0].document == sent.document && now[0].metadata == sent.metadata;
    CHECK(!whole);
  }
}

TEST_CASE("delete by ids leaves nothing of the ids and everything else, so it is an image") {
  Scene scene;
  const std::vector<Record> other{record("other", {1, 1})};
  good(scene.driver->upsert(scene.schema, other, UpsertMode::replace, soon()));
  const Value body = Object{{"ids", Array{"k", "absent", "k"}}};
  const auto operation = scene.decoded("delete", body);
  CHECK(operation.write_class == WriteClass::image);
  CHECK(operation.keys.size() == 3);
  CHECK(call("POST", records_target(scene.schema, "delete"), body).status == 200);
  CHECK(scene.now().empty());
  const std::vector<model::Key> keys{key("other")};
  CHECK(good(scene.driver->read(scene.schema, keys, {}, soon())).size() == 1);
}

TEST_CASE("delete by where takes the very records that the decoded predicate selects") {
  Scene scene;
  std::vector<Record> records;
  for (const Value& n : Array{0, 1, 2, 1.0, 1.5, "1", true}) {
    records.push_back(record("w" + wire::to_json(n), {1, 1}, {}, Object{{"n", n}}));
  }
  CHECK(good(scene.driver->upsert(scene.schema, records, UpsertMode::replace, soon())).refused.empty());
  const Value body = Object{{"where", Object{{"n", Object{{"$lte", 1.5}}}}}};
  const auto operation = scene.decoded("delete", body);
  REQUIRE(operation.write_class == WriteClass::predicate);
  model::Query query;
  query.filter = operation.predicate;
  const auto selected = good(scene.driver->query(scene.schema, query, soon())).records;
  const auto response = call("POST", records_target(scene.schema, "delete"), body);
  CHECK(response.body == "{\"deleted\":" + std::to_string(selected.size()) + "}");
  std::vector<model::Key> keys;
  for (const auto& r : selected) keys.push_back(r.key);
  CHECK(keys.size() == 4);
  CHECK(good(scene.driver->read(scene.schema, keys, {}, soon())).empty());
}

TEST_CASE("every answer that counts as a refusal leaves the records as they were") {
  Scene scene;
  const auto before = scene.now();
  const Value sparse = Object{
      {"ids", Array{"new", "k"}},
      {"embeddings", Array{Array{1, 1}, Array{1, 1}}},
      {"metadatas", Array{nullptr, Object{{"s", Object{{"indices", Array{1}}, {"values", Array{1.5}}}}}}}};
  const std::vector<std::pair<std::string, Value>> refused{
      {"add", Object{{"ids", Array{"new", ""}}, {"embeddings", Array{Array{1, 1}, Array{1, 1}}}}},
      {"upsert", Object{{"ids", Array{"new", "k"}}, {"embeddings", Array{Array{1, 1}, Array{1, 1, 1}}}}},
      {"upsert", Object{{"ids", Array{"new", "k"}}, {"embeddings", one(Array{1, 1})}}},
      {"upsert", Object{{"ids", Array{"new"}}}},
      {"upsert", sparse},
      {"add", sparse},
      {"update", sparse},
      {"delete", Object{{"ids", Array{"k"}}, {"where", Object{{"$bad", 1}}}}},
      {"delete", Object{{"ids", Array{"k"}}, {"limit", 1}}},
      {"fork", Object{{"new_name", "forked"}}},
      {"search", Object{{"searches", Array{}}}},
  };
  for (const auto& [action, body] : refused) {
    const auto response = call("POST", records_target(scene.schema, action), body);
    CAPTURE(action, response.status, response.body);
    CHECK(scene.dialect.outcome({}, response).whole == model::Outcome::rejected);
    const auto now = scene.now();
    REQUIRE(now.size() == before.size());
    CHECK(now[0].document == before[0].document);
    CHECK(now[0].metadata == before[0].metadata);
    CHECK(now[0].vectors == before[0].vectors);
  }
}
