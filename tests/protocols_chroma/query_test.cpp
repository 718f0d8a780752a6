// Filters and searches of the driver against a real Chroma: what it answers is what the model means, or it
// refuses.
#include <algorithm>
#include <set>

#include "filters.h"
#include "protocols/chroma/where.h"
#include "real_server.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using namespace vmproxy::protocols::chroma::test;
using model::Query;
using model::Record;

namespace {

std::vector<Record> stored(Driver& driver, const model::Schema& schema) {
  std::vector<Record> records;
  const std::vector<std::optional<std::string>> documents{std::nullopt, "", "alpha x", "beta", "Alpha z y"};
  // One record for each value of the pool in each field, and a good number of random ones.
  int id = 0;
  for (const Value& value : Array{-2,          -1,
                                  0,           1,
                                  2,           -1.5,
                                  -1.0,        0.0,
                                  0.5,         1.0,
                                  1.5,         2.5,
                                  "x",         "y",
                                  "",          "1",
                                  true,        false,
                                  Array{1, 2}, Array{1.0, 1.5},
                                  Array{2.0},  Array{"x", "y"},
                                  Array{true}, Array{2}}) {
    for (const auto& name : field_names()) {
      records.push_back(record("r" + std::to_string(id), {float(id), 1},
                               documents[size_t(id) % documents.size()], Object{{name, value}}));
      ++id;
    }
  }
  for (const auto& document : documents)
    records.push_back(record("d" + std::to_string(id++), {1, 1}, document));
  const auto applied = good(driver.upsert(schema, records, UpsertMode::replace, soon()));
  CHECK(applied.refused.empty());
  return records;
}

std::set<std::string> ids_of(const std::vector<Record>& records) {
  std::set<std::string> ids;
  for (const auto& r : records) ids.insert(to_string(r.key.id));
  return ids;
}

Query get_where(const Filter& filter) {
  Query query;
  query.filter = filter;
  query.with_document = query.with_metadata = false;
  return query;
}

}  // namespace

TEST_CASE("every filter that the driver takes selects what the model means") {
  const auto driver = make_driver();
  const auto schema = make_collection(*driver);
  const auto records = stored(*driver, schema);
  int answered = 0, refused = 0;
  CHECK(rc::check([&] {
    const Filter filter = any_filter(2);
    const auto result = driver->query(schema, get_where(filter), soon());
    if (!result) {
      RC_LOG() << result.error().message << "\n";
      RC_ASSERT(result.error().code == Code::unsupported);
      RC_ASSERT(result.error().message.starts_with("filter."));
      ++refused;
      return;
    }
    ++answered;
    std::set<std::string> wanted;
    for (const auto& r : records) {
      if (evaluate(filter, r)) wanted.insert(to_string(r.key.id));
    }
    const auto printed = chroma::print_filter(filter);
    if (printed && printed->where) RC_LOG() << wire::to_json(*printed->where) << "\n";
    RC_ASSERT(ids_of(result->records) == wanted);
  }));
  CHECK(answered > 30);
  CHECK(refused > 5);
}

TEST_CASE("a where that the dialect reads selects through the driver what the server selects by itself") {
  const auto driver = make_driver();
  const auto schema = make_collection(*driver);
  stored(*driver, schema);
  for (const auto* op :
       {"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$contains", "$not_contains"}) {
    for (const Value& operand :
         Array{-2, -1, 0, 1, 2, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.5, "x", "1", true}) {
      const bool list = std::string(op) == "$in" || std::string(op) == "$nin";
      for (const std::string field : {"n", "chroma:document"}) {
        const Value where = Object{{field, Object{{op, list ? Value(Array{operand, operand}) : operand}}}};
        const auto response =
            call("POST", records_target(schema, "get"), Object{{"where", where}, {"include", Array{}}});
        const auto filter = chroma::parse_where(where);
        CAPTURE(wire::to_json(where), response.body);
        CHECK(filter.has_value() == (response.status == 200));
        if (!filter || response.status != 200) continue;
        std::set<std::string> wanted;
        const Value answered = good(wire::parse_json(response.body));
        for (const auto& id : answered.find("ids")->array()) wanted.insert(id.string());
        CHECK(ids_of(good(driver->query(schema, get_where(*filter), soon())).records) == wanted);
      }
    }
  }
}

TEST_CASE("gets page by id, each record once") {
  const auto driver = make_driver();
  const auto schema = make_collection(*driver);
  std::vector<Record> records;
  for (const int i : {5, 3, 9, 1, 7, 2, 8})
    records.push_back(record(std::to_string(i), {float(i)}, {}, Object{{"i", i}, {"odd", i % 2 == 1}}));
  CHECK(good(driver->upsert(schema, records, UpsertMode::insert_only, soon())).refused.empty());
  std::vector<std::string> walked;
  for (uint64_t offset = 0;; offset += 2) {
    Query query;
    query.limit = 2;
    query.offset = offset;
    const auto page = good(driver->query(schema, query, soon()));
    for (const auto& r : page.records) walked.push_back(to_string(r.key.id));
    if (page.records.size() < 2) break;
  }
  CHECK(walked == std::vector<std::string>{"1", "2", "3", "5", "7", "8", "9"});

  Query after;
  after.filter =
      Filter::all({Filter::make(Filter::Kind::greater, Filter::record_id(), Filter::literal_of("3")),
                   Filter::make(Filter::Kind::equal, Filter::field_of("odd"), Filter::literal_of(true))});
  after.limit = 2;
  after.fields = std::vector<std::string>{"i"};
  const auto page = good(driver->query(schema, after, soon()));
  REQUIRE(page.records.size() == 2);
  CHECK(to_string(page.records[0].key.id) == "5");
  CHECK(page.records[0].metadata == Object{{"i", 5}});

  Query count = after;
  count.kind = Query::Kind::count;
  CHECK(good(driver->query(schema, count, soon())).count == 3);
  count.filter.reset();
  CHECK(good(driver->query(schema, count, soon())).count == 7);
  count.keys = std::vector<model::Key>{key("1"), key("absent")};
  CHECK(good(driver->query(schema, count, soon())).count == 1);
}

TEST_CASE("searches give the model's distances for each metric") {
  const auto driver = make_driver();
  const std::map<model::Metric, std::vector<double>> wanted{
      {model::Metric::l2, {0.25, 1.25, 9.25}},
      {model::Metric::cosine, {0.105573, 0.552786, 1.0}},
      {model::Metric::inner_product, {0.0, 0.5, 1.0}}};
  for (const auto& [metric, distances] : wanted) {
    const auto schema = make_collection(*driver, metric);
    const auto all = std::vector<Record>{record("a", {1, 0}), record("b", {0, 1}),
                                         record("c", {-1, 2}, "doc", Object{{"x", 1}})};
    CHECK(good(driver->upsert(schema, all, UpsertMode::replace, soon())).refused.empty());
    Query query;
    query.kind = Query::Kind::search;
    query.vectors.emplace_back(model::DenseVector{1, 0.5f});
    query.vectors.emplace_back(model::DenseVector{0, 1});
    const auto result = good(driver->query(schema, query, soon()));
    REQUIRE(result.hits.size() == 2);
    REQUIRE(result.hits[0].size() == 3);
    CHECK(to_string(result.hits[0][0].record.key.id) == "a");
    if (metric != model::Metric::l2) {
      for (size_t i = 0; i < 3; ++i) CHECK(result.hits[0][i].distance == Approx(distances[i]).margin(1e-5));
    } else {
      CHECK(result.hits[0][0].distance == Approx(0.25));
      CHECK(result.hits[0][1].distance == Approx(1.25));
      CHECK(result.hits[0][2].distance == Approx(6.25));
    }
    query.search_offset = 1;
    query.top_k = 1;
    CHECK(good(driver->query(schema, query, soon())).hits[0].size() == 1);
    query.search_offset = 0;
    query.keys = std::vector<model::Key>{key("c"), key("absent")};
    auto one = good(driver->query(schema, query, soon()));
    REQUIRE(one.hits[0].size() == 1);
    CHECK(to_string(one.hits[0][0].record.key.id) == "c");
    CHECK(one.hits[0][0].record.document == "doc");
    query.keys.reset();
    query.filter = Filter::make(Filter::Kind::in, Filter::record_id(), Filter::literal_of(Array{"b", "c"}));
    query.top_k = 10;
    CHECK(good(driver->query(schema, query, soon())).hits[0].size() == 2);
    query.metric = metric == model::Metric::l2 ? model::Metric::cosine : model::Metric::l2;
    const auto refused = driver->query(schema, query, soon());
    REQUIRE(!refused.has_value());
    CHECK(refused.error().code == Code::unsupported);
    // The catalog says otherwise since an index was made: Chroma still measures as it was told at first.
    auto changed = schema;
    changed.vectors[0].metric = *query.metric;
    const auto otherwise = driver->query(changed, query, soon());
    REQUIRE(!otherwise.has_value());
    CHECK(otherwise.error().message.find("search.metric") == 0);
  }
}

TEST_CASE("hits beyond a bound are found behind any number of nearer ones") {
  const auto driver = make_driver();
  const auto schema = make_collection(*driver, model::Metric::l2);
  std::vector<Record> all;
  for (int n = 0; n < 300; ++n) all.push_back(record(std::to_string(n), {float(n), 0}));
  CHECK(good(driver->upsert(schema, all, UpsertMode::replace, soon())).refused.empty());
  Query query;
  query.kind = Query::Kind::search;
  query.vectors = {model::DenseVector{0, 0}, model::DenseVector{299, 0}};
  query.top_k = 3;
  const auto distances = [&] {
    std::vector<std::vector<double>> found;
    for (const auto& hits : good(driver->query(schema, query, soon())).hits) {
      found.emplace_back();
      for (const auto& hit : hits) found.back().push_back(hit.distance);
    }
    return found;
  };
  using Lists = std::vector<std::vector<double>>;
  query.range_filter = 10'000;  // that of "100": it belongs to them
  CHECK(distances() == Lists{{10'000, 10'201, 10'404}, {10'000, 10'201, 10'404}});
  query.search_offset = 1;
  CHECK(distances() == Lists{{10'201, 10'404, 10'609}, {10'201, 10'404, 10'609}});
  query.radius = 10'404;
  CHECK(distances() == Lists{{10'201}, {10'201}});
  query.radius.reset();
  query.search_offset = 0;
  query.range_filter = 298.0 * 298;
  CHECK(distances() == Lists{{298.0 * 298, 299.0 * 299}, {298.0 * 298, 299.0 * 299}});
  query.range_filter = 1e6;
  CHECK(distances() == Lists{{}, {}});
}
