// The driver against a real Chroma.
#include "protocols/api/driver.h"

#include <algorithm>
#include <set>

#include "real_server.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using namespace vmproxy::protocols::chroma::test;
using model::Array;
using model::Object;
using model::Record;

namespace {

std::vector<Record> sorted(std::vector<Record> records) {
  std::sort(records.begin(), records.end(), [](const Record& a, const Record& b) { return a.key < b.key; });
  return records;
}

Record only(Driver& driver, const model::Schema& schema, const std::string& id) {
  const std::vector<model::Key> keys{key(id)};
  const auto found = good(driver.read(schema, keys, {}, soon()));
  REQUIRE(found.size() == 1);
  return found[0];
}

void check_same(const Record& a, const Record& b) {
  CHECK(a.key == b.key);
  CHECK(a.vectors == b.vectors);
  CHECK(a.document == b.document);
  CHECK((a.metadata == b.metadata));
}

void put(Driver& driver, const model::Schema& schema, std::vector<Record> records,
         UpsertMode mode = UpsertMode::replace) {
  const auto applied = good(driver.upsert(schema, records, mode, soon()));
  for (const auto& refusal : applied.refused) FAIL(refusal.error.message);
}

}  // namespace

TEST_CASE("the server is described with the facts that its API shows") {
  const auto driver = make_driver();
  const auto info = good(driver->describe_server(soon()));
  CHECK(!info.version.empty());
  CHECK(info.facts.find("preflight")->find("max_batch_size")->is_integer());
  CHECK(info.facts.find("identity")->find("tenant")->is_string());
}

TEST_CASE("a collection is created, described, listed, altered and dropped") {
  const auto driver = make_driver();
  model::Schema schema;
  schema.name = fresh_name();
  schema.vectors.emplace_back();
  schema.vectors[0].metric = model::Metric::cosine;
  schema.metadata = Object{{"a", 1}, {"list", Array{1, 2}}};
  good(driver->create(schema, soon()));
  const auto again = driver->create(schema, soon());
  REQUIRE(!again.has_value());
  CHECK(again.error().code == Code::already_exists);

  auto found = good(driver->describe(schema.name, soon()));
  REQUIRE(found.has_value());
  CHECK(found->vectors[0].metric == model::Metric::cosine);
  CHECK(found->vectors[0].dimension == 0);
  CHECK(found->metadata == model::Value(Object{{"a", 1}, {"list", "[1,2]"}}));
  CHECK(found->has_document);
  CHECK(found->native.find("id")->string() == found->native_id);

  const auto all = good(driver->list_collections(soon()));
  CHECK(std::count_if(all.begin(), all.end(), [&](const auto& one) { return one.name == schema.name; }) == 1);

  model::Schema wanted = *found;
  wanted.name = fresh_name();
  wanted.metadata = nullptr;
  good(driver->alter(schema.name, wanted, soon()));
  CHECK(!good(driver->describe(schema.name, soon())).has_value());
  found = good(driver->describe(wanted.name, soon()));
  REQUIRE(found.has_value());
  CHECK(found->metadata.is_null());

  good(driver->drop(wanted.name, soon()));
  good(driver->drop(wanted.name, soon()));
  CHECK(!good(driver->describe(wanted.name, soon())).has_value());
}

TEST_CASE("a collection in a database that is not there yet gets its tenant and database") {
  const auto driver = make_driver("?tenant=tenant%2Fwith%20slash&database=made_here");
  const auto name = driver->name_for({"", "x"});
  CHECK(name.space == "tenant%2Fwith slash/made_here");
  model::Schema schema;
  schema.name = {name.space, fresh_name().name};
  schema.vectors.emplace_back();
  good(driver->create(schema, soon()));
  std::set<std::string> paths;
  for (const auto& space : good(driver->list_spaces(soon()))) paths.insert(space.path);
  CHECK(paths.contains("tenant%2Fwith slash"));
  CHECK(paths.contains("tenant%2Fwith slash/made_here"));
  CHECK(paths.contains("default_tenant/default_database"));
  const auto all = good(driver->list_collections(soon()));
  CHECK(std::count_if(all.begin(), all.end(), [&](const auto& one) { return one.name == schema.name; }) == 1);
}

TEST_CASE("names from elsewhere become legal names, different ones different") {
  const auto driver = make_driver();
  CHECK(driver->name_for({"", "articles"}) ==
        model::CollectionName{"default_tenant/default_database", "articles"});
  CHECK(driver->name_for({"t1t/d1d", "articles"}) == model::CollectionName{"t1t/d1d", "articles"});
  CHECK(driver->name_for({"other", "articles"}).space == "default_tenant/other");
  std::set<std::string> names;
  for (const auto& odd : std::vector<std::string>{"a", "b", "a b", "a/b", "a..b", "1.2.3.4", "ä",
                                                  std::string(600, 'x'), std::string(601, 'x')}) {
    const auto name = driver->name_for({"", odd});
    model::Schema schema;
    schema.name = name;
    schema.vectors.emplace_back();
    good(driver->create(schema, soon()));
    good(driver->drop(name, soon()));
    names.insert(name.name);
  }
  CHECK(names.size() == 9);
}

TEST_CASE("what was written is read back the same") {
  const auto driver = make_driver();
  const auto schema = make_collection(*driver);
  const std::vector<Record> records{
      record("a", {1.5f, -2.25f, 0.1f}, "text é 😀",
             Object{{"i", 1}, {"d", 1.0}, {"s", "x"}, {"t", true}, {"ints", Array{1, 2}}}),
      record("b", {1e-30f, 3e38f, 0}, std::nullopt,
             Object{{"floats", Array{1.0, 2.5}}, {"strings", Array{"p", "q"}}, {"bools", Array{true}}}),
      record("c", {0, 0, 0}, "", std::nullopt),
      record("d\n\"\\", {1, 2, 3}, std::nullopt, Object{{"chroma:uri", "file:///x"}}),
      record("e", {1, 2, 3}, std::nullopt,
             Object{{"chroma:uri", "u"}, {"big", INT64_MAX}, {"small", INT64_MIN}, {"x", 1e300}})};
  for (const auto mode : {UpsertMode::replace, UpsertMode::insert_only}) {
    put(*driver, schema, records, mode);
    std::vector<model::Key> keys;
    for (const auto& r : records) keys.push_back(r.key);
    keys.push_back(key("absent"));
    const auto found = sorted(good(driver->read(schema, keys, {}, soon())));
    REQUIRE(found.size() == records.size());
    for (size_t i = 0; i < found.size(); ++i) check_same(found[i], records[i]);
  }
  const auto described = good(driver->describe(schema.name, soon()));
  CHECK(described->vectors[0].dimension == 3);
  const std::vector<model::Key> keys{key("a")};
  CHECK(good(driver->read(schema, keys, {false, true}, soon()))[0].vectors.empty());
  CHECK(!good(driver->read(schema, keys, {true, false}, soon()))[0].document);
}

TEST_CASE("replace leaves exactly the record given, whatever was there") {
  const auto driver = make_driver();
  const auto schema = make_collection(*driver);
  const std::vector<Record> states{
      record("k", {1, 2}, "one", Object{{"a", 1}, {"b", "x"}, {"chroma:uri", "u"}}),
      record("k", {3, 4}, "two", Object{{"b", 2.5}, {"c", Array{1, 2}}}),
      record("k", {3, 4}, "three", std::nullopt),
      record("k", {3, 4}, std::nullopt, Object{{"a", Array{"x"}}}),
      record("k", {5, 6}, std::nullopt, std::nullopt),
      record("k", {5, 6}, "", Object{{"chroma:uri", "u"}}),
      record("k", {5, 6}, std::nullopt, Object{{"a", true}}),
  };
  for (const auto& before : states) {
    for (const auto& after : states) {
      put(*driver, schema, {before, record("other", {1, 1}, "kept", Object{{"z", 1}})});
      put(*driver, schema, {after});
      check_same(only(*driver, schema, "k"), after);
      check_same(only(*driver, schema, "other"), record("other", {1, 1}, "kept", Object{{"z", 1}}));
    }
  }
}

TEST_CASE("an insert leaves records that exist alone") {
  const auto driver = make_driver();
  const auto schema = make_collection(*driver);
  put(*driver, schema, {record("a", {1, 1}, "old", Object{{"x", 1}})});
  put(*driver, schema, {record("a", {2, 2}, "new", Object{{"y", 1}}), record("b", {3, 3})},
      GENERATE(UpsertMode::insert_only, UpsertMode::insert_all));
  check_same(only(*driver, schema, "a"), record("a", {1, 1}, "old", Object{{"x", 1}}));
  check_same(only(*driver, schema, "b"), record("b", {3, 3}));
}

TEST_CASE("records that Chroma cannot keep are refused by index and name, the others are stored") {
  const auto driver = make_driver();
  auto schema = make_collection(*driver);
  put(*driver, schema, {record("first", {1, 2})});
  for (const bool knows_dimension : {true, false}) {
    schema.vectors[0].dimension = knows_dimension ? 2 : 0;
    const std::vector<Record> records{
        record("good1", {1, 2}),
        record("wide", {1, 2, 3}),
        record("", {1, 2}),
        record("nan", {1, std::nanf("")}),
        record("empty", {}),
        record("null", {1, 2}, {}, Object{{"a", nullptr}}),
        record("object", {1, 2}, {}, Object{{"a", Object{{"b", 1}}}}),
        record("mixed", {1, 2}, {}, Object{{"a", Array{1, "x"}}}),
        record("emptylist", {1, 2}, {}, Object{{"a", Array{}}}),
        record("dollar", {1, 2}, {}, Object{{"$a", 1}}),
        record("reserved", {1, 2}, {}, Object{{"chroma:document", "x"}}),
        record("large", {1, 2}, {}, Object{{"a", UINT64_MAX}}),
        record("bytes", {1, 2}, "\xff"),
        record("good2", {1, 2}),
    };
    const auto applied = good(driver->upsert(schema, records, UpsertMode::replace, soon()));
    std::set<size_t> refused;
    for (const auto& refusal : applied.refused) {
      refused.insert(refusal.index);
      CHECK(refusal.error.surely_not_done());
      CHECK(!refusal.error.message.empty());
    }
    CHECK(refused == std::set<size_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
    const std::vector<model::Key> keys{key("good1"), key("good2"), key("wide"), key("null")};
    CHECK(good(driver->read(schema, keys, {}, soon())).size() == 2);
  }
}

TEST_CASE("erase removes what is there and does not mind what is not") {
  const auto driver = make_driver();
  const auto schema = make_collection(*driver);
  put(*driver, schema, {record("a", {1}), record("b", {2})});
  const std::vector<model::Key> keys{key("a"), key("absent"), key("")};
  CHECK(good(driver->erase(schema, keys, soon())).refused.empty());
  const std::vector<model::Key> both{key("a"), key("b")};
  CHECK(good(driver->read(schema, both, {}, soon())).size() == 1);
  CHECK(good(driver->erase(schema, {}, soon())).refused.empty());
}

TEST_CASE("a collection that was created again under its name is found under its new id") {
  const auto driver = make_driver();
  const auto other = make_driver();
  const auto schema = make_collection(*driver);
  put(*driver, schema, {record("a", {1})});
  good(other->drop(schema.name, soon()));
  const std::vector<model::Key> keys{key("a")};
  const auto gone = driver->read(schema, keys, {}, soon());
  REQUIRE(!gone.has_value());
  CHECK(gone.error().code == Code::not_found);
  good(other->create(schema, soon()));
  CHECK(good(driver->read(schema, keys, {}, soon())).empty());
  put(*driver, schema, {record("a", {1, 2})});
  CHECK(good(other->read(schema, keys, {}, soon())).size() == 1);
}

TEST_CASE("errors say what surely did not happen") {
  static SystemClock clock;
  Endpoint endpoint;
  endpoint.url = "http://127.0.0.1:1";
  const auto nobody = good(chroma::system().make_driver(endpoint, clock));
  const auto refused = nobody->describe_server(soon());
  REQUIRE(!refused.has_value());
  CHECK(refused.error().code == Code::refused_connection);

  const auto driver = make_driver();
  const auto schema = make_collection(*driver);
  const std::vector<model::Key> keys{key("a")};
  const auto late = driver->read(schema, keys, {}, clock.now() - std::chrono::seconds(1));
  REQUIRE(!late.has_value());
  model::Schema missing = schema;
  missing.name = fresh_name();
  const auto unknown = driver->erase(missing, keys, soon());
  REQUIRE(!unknown.has_value());
  CHECK(unknown.error().code == Code::not_found);
  CHECK(unknown.error().surely_not_done());

  endpoint.url = server_url() + "?tennant=x";
  CHECK(!chroma::system().make_driver(endpoint, clock).has_value());
}
