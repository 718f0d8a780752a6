// Tables that exist, ours and other people's.
#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "database.h"
#include "mapping/equality.h"

using namespace vmproxy;
using namespace vmproxy::testing;

TEST_CASE("a table that we create has the documented layout") {
  const auto d = driver();
  auto schema = things("layout", model::IdKind::string, 0);
  schema.vectors[0].metric = model::Metric::cosine;
  fresh(*d, schema);
  CHECK(sql("SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY "
            "a.attnum) FROM pg_attribute a"
            " WHERE a.attrelid = 'layout'::regclass AND a.attnum > 0") ==
        "id text, embedding vector, document text, metadata jsonb");
  const auto again = d->create(schema, soon());
  REQUIRE_FALSE(again.has_value());
  CHECK(again.error().code == Code::already_exists);
  // The dimension becomes known with the first record.
  auto wanted = schema;
  wanted.vectors[0].dimension = 384;
  good(d->alter(schema.name, wanted, soon()));
  CHECK(sql("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'layout'::regclass "
            "AND attname = 'embedding'") == "vector(384)");
  const auto described = good(d->describe(schema.name, soon())).value();
  CHECK(described.vectors.size() == 1);
  CHECK(described.vectors[0].name.empty());
  CHECK(described.vectors[0].dimension == 384);
  CHECK(described.vectors[0].metric == model::Metric::cosine);
  CHECK(described.has_document);
  CHECK(described.dynamic);
  CHECK(described.fields.empty());
  wanted.name.name = "layout renamed";
  sql("DROP TABLE IF EXISTS \"layout renamed\"");
  good(d->alter(schema.name, wanted, soon()));
  CHECK_FALSE(good(d->describe(schema.name, soon())));
  good(d->drop(wanted.name, soon()));
  CHECK_FALSE(good(d->describe(wanted.name, soon())));
  CHECK(d->drop(wanted.name, soon()).error().code == Code::not_found);
}

TEST_CASE("ids of each kind have a column of their own type") {
  const auto d = driver();
  const std::pair<model::IdKind, const char*> kinds[] = {{model::IdKind::string, "text"},
                                                         {model::IdKind::i64, "bigint"},
                                                         {model::IdKind::u64, "numeric(20,0)"},
                                                         {model::IdKind::uuid, "uuid"}};
  for (const auto& [kind, type] : kinds) {
    const auto schema = fresh(*d, things("id_kinds", kind));
    CHECK(sql("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = "
              "'id_kinds'::regclass AND attname = 'id'") == type);
    CHECK(good(d->describe(schema.name, soon()))->id_kind == kind);
  }
}

TEST_CASE("what was created is described as it was asked for") {
  const auto d = driver();
  std::vector<model::Schema> schemas;
  for (const char* name : {"", "embedding", "other"}) {
    schemas.push_back(things("described"));
    schemas.back().vectors[0].name = name;
    schemas.back().vectors[0].metric = model::Metric::inner_product;
  }
  schemas.push_back(things("described", model::IdKind::i64));
  schemas.back().vectors.push_back(
      {"sparse", model::VectorKind::sparse, 0, model::Metric::inner_product, {}});
  schemas.back().vectors.push_back({"half", model::VectorKind::dense_f16, 7, model::Metric::cosine, {}});
  schemas.back().id_name = "pk";
  schemas.back().has_document = false;
  schemas.back().fields.push_back({"n", model::FieldKind::int64, model::FieldKind::json, 0, false});
  schemas.back().fields.push_back({"tags", model::FieldKind::array, model::FieldKind::string, 0, true});
  schemas.push_back(things("described"));
  schemas.back().dynamic = false;
  for (const auto& wanted : schemas) {
    fresh(*d, wanted);
    const auto found = good(d->describe(wanted.name, soon())).value();
    CHECK(found.id_name == wanted.id_name);
    CHECK(found.id_kind == wanted.id_kind);
    CHECK(found.dynamic == wanted.dynamic);
    CHECK(found.has_document == wanted.has_document);
    REQUIRE(found.vectors.size() == wanted.vectors.size());
    for (size_t i = 0; i < wanted.vectors.size(); ++i) {
      CHECK(found.vectors[i].name == wanted.vectors[i].name);
      CHECK(found.vectors[i].kind == wanted.vectors[i].kind);
      CHECK(found.vectors[i].dimension == wanted.vectors[i].dimension);
      CHECK(found.vectors[i].metric == wanted.vectors[i].metric);
    }
    REQUIRE(found.fields.size() == wanted.fields.size());
    for (size_t i = 0; i < wanted.fields.size(); ++i) {
      CHECK(found.fields[i].name == wanted.fields[i].name);
      CHECK(found.fields[i].kind == wanted.fields[i].kind);
      CHECK(found.fields[i].element == wanted.fields[i].element);
      CHECK(found.fields[i].nullable == wanted.fields[i].nullable);
    }
  }
}

TEST_CASE("other people's tables are found, described and copied") {
  const auto d = driver("foreign tables");
  sql("DROP SCHEMA IF EXISTS \"foreign tables\" CASCADE; CREATE SCHEMA \"foreign tables\"");
  sql("CREATE TYPE \"foreign tables\".mood AS ENUM ('sad', 'happy')");
  sql("CREATE TABLE \"foreign tables\".items (item_id integer PRIMARY KEY, title varchar(40) NOT NULL, price "
      "numeric(10,2), added timestamptz, mood \"foreign tables\".mood,"
      " tags text[], attributes json, embedding vector(3), image halfvec(4), search tsvector GENERATED "
      "ALWAYS AS (to_tsvector('simple', title)) STORED)");
  sql("CREATE INDEX ON \"foreign tables\".items USING hnsw (embedding vector_ip_ops)");
  sql("CREATE TABLE \"foreign tables\".keyless (a vector(2)); CREATE TABLE \"foreign tables\".two (a int, b "
      "int, v vector(2), PRIMARY KEY (a, b));"
      "CREATE TABLE \"foreign tables\".other (id int PRIMARY KEY, x text); CREATE TABLE \"foreign "
      "tables\".timed (at timestamptz PRIMARY KEY, v vector(2))");
  const auto found = good(d->list_collections(soon()));
  REQUIRE(found.size() == 1);
  const auto& items = found[0];
  CHECK(items.name.name == "items");
  CHECK(items.id_name == "item_id");
  CHECK(items.id_kind == model::IdKind::i64);
  REQUIRE(items.vectors.size() == 2);
  CHECK(items.vectors[0].name == "embedding");
  CHECK(items.vectors[0].metric == model::Metric::inner_product);
  CHECK(items.vectors[1].kind == model::VectorKind::dense_f16);
  CHECK_FALSE(items.dynamic);
  CHECK(items.fields.size() == 6);
  // What holds vectors and is left out is named, with the reason and what to do.
  sql("DROP FOREIGN DATA WRAPPER IF EXISTS nowhere CASCADE; CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER "
      "nowhere FOREIGN DATA WRAPPER nowhere; CREATE FOREIGN TABLE \"foreign tables\".far (id int, v vector(2)) "
      "SERVER nowhere; CREATE MATERIALIZED VIEW \"foreign tables\".seen AS SELECT 1 AS id, '[1,2]'::vector(2) AS v");
  const auto all = good(d->list_all(soon()));
  CHECK(all.collections.size() == 1);
  const auto& left_out = all.left_out;
  std::vector<std::string> reasons;
  for (const auto& one : left_out) {
    reasons.push_back(one.name.name + " " + one.why.substr(0, one.why.find(':')));
    CHECK(one.why.find("foreign tables." + one.name.name) != std::string::npos);
    CHECK_FALSE(one.remedy.empty());
  }
  CHECK(reasons == std::vector<std::string>{"far table.foreign", "keyless table.primary_key",
                                            "seen table.materialized_view", "timed id.kind",
                                            "two table.primary_key"});
  CHECK(good(d->list_collections(soon())).size() == 1);
  for (const auto& [table, code] : std::map<std::string, std::string>{{"keyless", "table.primary_key"},
                                                                      {"two", "table.primary_key"},
                                                                      {"timed", "id.kind"},
                                                                      {"other", "table.vector"}}) {
    const auto refused = d->describe({"", table}, soon());
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == Code::unsupported);
    CHECK(refused.error().message.starts_with(code + ": "));
  }

  sql("INSERT INTO \"foreign tables\".items (item_id, title, price, added, mood, tags, attributes, "
      "embedding, image) VALUES"
      " (1, 'one', 12.50, '2026-01-02 03:04:05+00', 'happy', '{a,b}', '{\"x\": 1.0}', '[1,2,3]', "
      "'[1,2,3,4]'), (2, 'two', NULL, NULL, NULL, NULL, NULL, NULL, NULL)");
  const auto range = good(d->plan_scan(items, 1, soon())).at(0);
  auto page = good(d->scan(items, range, "", 10, {}, soon()));
  REQUIRE(page.records.size() == 2);
  const model::Object expected{{"title", "one"},
                               {"price", "12.50"},
                               {"added", "2026-01-02 03:04:05+00"},
                               {"mood", "happy"},
                               {"tags", model::Array{"a", "b"}},
                               {"attributes", model::Object{{"x", 1.0}}}};
  CHECK(page.records[0].metadata == expected);
  CHECK(page.records[1].metadata == model::Object{{"title", "two"}});
  CHECK(page.records[1].vectors.empty());
  // And written back as they were.
  sql("DELETE FROM \"foreign tables\".items");
  const auto result = good(d->upsert(items, page.records, protocols::UpsertMode::insert_only, soon()));
  for (const auto& refusal : result.refused) FAIL(refusal.error.message);
  const auto again = good(d->scan(items, range, "", 10, {}, soon()));
  REQUIRE(again.records.size() == 2);
  for (size_t i = 0; i < 2; ++i) CHECK_FALSE(mapping::difference(page.records[i], again.records[i], false));
  // A record without a title cannot be there, and does not keep the others.
  page.records[0].metadata->erase("title");
  page.records[1].metadata->at("title") = "changed";
  const auto refused = good(d->upsert(items, page.records, protocols::UpsertMode::replace, soon())).refused;
  REQUIRE(refused.size() == 1);
  CHECK(refused[0].index == 0);
  CHECK(sql("SELECT title FROM \"foreign tables\".items WHERE item_id = 2") == "changed");
}

TEST_CASE("a name that something else than a table has is not free, and is said by whom") {
  const auto d = driver("taken names");
  sql("DROP SCHEMA IF EXISTS \"taken names\" CASCADE; CREATE SCHEMA \"taken names\"; SET search_path = \"taken "
      "names\"; CREATE VIEW seen AS SELECT 1 AS id; CREATE SEQUENCE counted; CREATE TABLE other (id int PRIMARY "
      "KEY); CREATE TYPE mood AS ENUM ('sad'); CREATE TYPE pair AS (a int); CREATE DOMAIN short AS text");
  for (const auto& [name, what] : std::map<std::string, std::string>{{"seen", "a view"},
                                                                     {"counted", "a sequence"},
                                                                     {"other_pkey", "an index"},
                                                                     {"mood", "a type"},
                                                                     {"pair", "a type"},
                                                                     {"short", "a type"}}) {
    CAPTURE(name);
    const auto refused = d->describe({"", name}, soon());
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == Code::unsupported);
    CHECK(refused.error().message.starts_with("table.name: taken names." + name + " is " + what));
    CHECK(d->create(things(name), soon()).error().code == Code::already_exists);
  }
  // What PostgreSQL makes room for is free.
  for (const char* name : {"_other", "absent"}) {
    CHECK_FALSE(good(d->describe({"", name}, soon())));
    good(d->create(things(name), soon()));
  }
}

TEST_CASE("what is too long for a column of somebody else's table is refused, not cut") {
  const auto d = driver("short columns");
  sql("DROP SCHEMA IF EXISTS \"short columns\" CASCADE; CREATE SCHEMA \"short columns\"; SET search_path = "
      "\"short columns\", public; CREATE DOMAIN word AS varchar(3); CREATE DOMAIN other_word AS word; CREATE TABLE t "
      "(id varchar(4) PRIMARY KEY, title varchar(5), code char(2), flags bit(3), tags varchar(3)[], word other_word, "
      "embedding vector(3))");
  const auto schema = good(d->describe({"", "t"}, soon())).value();
  const auto with = [](const std::string& id, const std::string& field, const model::Value& value) {
    auto one = record(id);
    one.vectors = {{"embedding", model::DenseVector{1, 2, 3}}};
    one.metadata = model::Object{{field, value}};
    return one;
  };
  const std::vector<model::Record> fits{
      with("abcd", "title", "fünf5"), with("b", "code", "ab"), with("c", "flags", "101"),
      with("d", "tags", model::Array{"abc", "d"}), with("e", "word", "abc")};
  const std::vector<model::Record> long_ones{
      with("abcd1", "title", "a"),  with("abcd2", "title", "a"),
      with("abcd ", "title", "a"),  with("f", "title", "sechs6"),
      with("g", "title", "fünf5 "), with("h", "code", "abc"),
      with("i", "flags", "1011"),   with("j", "tags", model::Array{"abc", "abcd"}),
      with("k", "word", "abcd"),    with("l", "tags", model::Array{"abc "})};
  std::vector<model::Record> batch = long_ones;
  batch.insert(batch.end(), fits.begin(), fits.end());
  for (const auto mode : {protocols::UpsertMode::insert_only, protocols::UpsertMode::replace}) {
    const auto result = good(d->upsert(schema, batch, mode, soon()));
    std::set<size_t> refused;
    for (const auto& refusal : result.refused) {
      CHECK(refusal.error.code == Code::invalid);
      refused.insert(refusal.index);
    }
    CHECK(refused == std::set<size_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
    const auto range = good(d->plan_scan(schema, 1, soon())).at(0);
    const auto page = good(d->scan(schema, range, "", 20, {}, soon()));
    REQUIRE(page.records.size() == fits.size());
    for (size_t i = 0; i < fits.size(); ++i)
      CHECK_FALSE(mapping::difference(fits[i], page.records[i], false));
  }
}

TEST_CASE(
    "indexes are built where the dimension allows, again without effect, and over the rest of a broken "
    "build") {
  const auto d = driver();
  auto schema = things("to_index", model::IdKind::string, 0);
  schema.vectors.push_back({"wide", model::VectorKind::dense_f32, 2500, model::Metric::cosine, {}});
  schema.vectors.push_back({"half", model::VectorKind::dense_f16, 2500, model::Metric::cosine, {}});
  schema.vectors.push_back({"sparse", model::VectorKind::sparse, 0, model::Metric::inner_product, {}});
  schema = fresh(*d, schema);
  good(d->upsert(schema, std::vector{record("x")}, protocols::UpsertMode::replace, soon()));
  good(d->build_indexes(schema, soon()));
  CHECK(sql("SELECT string_agg(indexdef, '; ' ORDER BY indexname) FROM pg_indexes WHERE tablename = "
            "'to_index' AND indexname <> 'to_index_pkey'") ==
        "CREATE INDEX to_index_embedding_hnsw ON public.to_index USING hnsw (embedding vector_l2_ops); "
        "CREATE INDEX to_index_half_hnsw ON public.to_index USING hnsw (half halfvec_cosine_ops)");
  const auto before = sql("SELECT 'to_index_embedding_hnsw'::regclass::oid::text");
  good(d->build_indexes(schema, soon()));
  CHECK(sql("SELECT 'to_index_embedding_hnsw'::regclass::oid::text") == before);
  sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'to_index_embedding_hnsw'::regclass");
  good(d->build_indexes(schema, soon()));
  CHECK(sql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'to_index_embedding_hnsw'::regclass") == "t");
}

TEST_CASE("an index that is built takes no name from what has it already") {
  const auto d = driver();
  const auto indexes = [](const std::string& table) {
    return sql("SELECT count(*) FROM pg_index WHERE indisvalid AND NOT indisprimary AND indrelid = '" +
               table + "'::regclass");
  };
  sql("DROP TABLE IF EXISTS docs_old, docs_older");
  const auto schema = fresh(*d, things("docs"));
  good(d->build_indexes(schema, soon()));
  for (const char* moved : {"docs_old", "docs_older"}) {
    sql("ALTER TABLE docs RENAME TO " + std::string(moved));
    good(d->create(schema, soon()));
    good(d->build_indexes(schema, soon()));
  }
  for (const char* table : {"docs", "docs_old", "docs_older"}) {
    CAPTURE(table);
    CHECK(indexes(table) == "1");
  }
  // Table and column joined are the same name.
  auto left = things("joined");
  left.vectors[0].name = "a_b";
  auto right = things("joined_a");
  right.vectors[0].name = "b";
  for (auto* each : {&left, &right}) *each = fresh(*d, *each);
  for (const auto& each : {left, right}) good(d->build_indexes(each, soon()));
  CHECK(indexes("joined") == "1");
  CHECK(indexes("joined_a") == "1");
  // It is a table's.
  sql("DROP TABLE IF EXISTS plain_embedding_hnsw; CREATE TABLE plain_embedding_hnsw (id int)");
  const auto plain = fresh(*d, things("plain"));
  good(d->build_indexes(plain, soon()));
  CHECK(indexes("plain") == "1");
}

TEST_CASE("sparse vectors of any length that the type takes are kept, before indexes are built and after") {
  const auto d = driver();
  auto schema = things("long_sparse");
  schema.vectors.push_back({"sparse", model::VectorKind::sparse, 0, model::Metric::inner_product, {}});
  schema = fresh(*d, schema);
  const auto with = [](const std::string& id, uint32_t entries) {
    model::SparseVector vector;
    for (uint32_t i = 0; i < entries; ++i) {
      vector.indices.push_back(i);
      vector.values.push_back(1.0F);
    }
    auto one = record(id);
    one.vectors["sparse"] = std::move(vector);
    return one;
  };
  // An HNSW index of pgvector takes 1000 entries.
  const std::vector<model::Record> before{with("short", 10), with("long", 1001)};
  CHECK(good(d->upsert(schema, before, protocols::UpsertMode::replace, soon())).refused.empty());
  good(d->build_indexes(schema, soon()));
  const std::vector<model::Record> after{with("longest", 16000)};
  CHECK(good(d->upsert(schema, after, protocols::UpsertMode::replace, soon())).refused.empty());
  CHECK(sql("SELECT count(*) FROM long_sparse") == "3");
  model::Query query;
  query.kind = model::Query::Kind::search;
  query.vector_name = "sparse";
  query.vectors = {model::SparseVector{{1000}, {1}}};
  query.top_k = 2;
  const auto hits = good(d->query(schema, query, soon())).hits.at(0);
  std::set<std::string> found;
  for (const auto& hit : hits) found.insert(model::to_string(hit.record.key.id));
  CHECK(found == std::set<std::string>{"long", "longest"});
}

TEST_CASE("the server says what it is, or what is missing") {
  const auto info = good(driver()->describe_server(soon()));
  CHECK(info.version.find("pgvector 0.") != std::string::npos);
  const auto missing = driver("no such schema")->describe_server(soon());
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().code == Code::not_found);
  sql("DROP DATABASE IF EXISTS bare");
  sql("CREATE DATABASE bare");
  protocols::Endpoint endpoint;
  endpoint.url = url().substr(0, url().rfind('/')) + "/bare";
  {
    const auto bare = protocols::pgvector::system().make_driver(endpoint, the_clock()).value();
    const auto refused = bare->describe_server(soon());
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == Code::precondition);
    CHECK(refused.error().message.find("CREATE EXTENSION vector") != std::string::npos);
    // Creating the first collection makes the extension, where the user may.
    good(bare->create(things("first"), soon()));
    good(bare->upsert(things("first"), std::vector{record("x")}, protocols::UpsertMode::replace, soon()));
    CHECK(good(bare->list_collections(soon())).size() == 1);
  }
  sql("DROP DATABASE bare WITH (FORCE)");
}

TEST_CASE("a schema that no table can hold is refused by name") {
  const auto d = driver();
  auto schema = things("impossible");
  schema.fields.push_back({});
  schema.fields[0].name = "document";
  CHECK(d->create(schema, soon()).error().message.starts_with("names.column: "));
  schema.fields[0].name = std::string(64, 'x');
  CHECK(d->create(schema, soon()).error().message.starts_with("names.column: "));
  schema.fields.clear();
  schema.vectors[0].kind = model::VectorKind::binary;
  CHECK(d->create(schema, soon()).error().message.starts_with("vector.kind: "));
}
