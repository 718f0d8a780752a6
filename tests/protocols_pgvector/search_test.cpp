// Nearest neighbours: number, order, distances, exactly and by index.
#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include "../mapping/generate.h"
#include "database.h"

using namespace vmproxy;
using namespace vmproxy::testing;
using model::Metric;

namespace {

double distance(Metric metric, const model::DenseVector& a, const model::DenseVector& b) {
  double dot = 0, aa = 0, bb = 0, l2 = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    dot += static_cast<double>(a[i]) * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += static_cast<double>(b[i]) * b[i];
    l2 += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
  }
  if (metric == Metric::l2) return l2;
  if (metric == Metric::inner_product) return 1 - dot;
  return aa == 0 || bb == 0 ? 1 : 1 - dot / std::sqrt(aa * bb);
}

model::DenseVector random_vector(Random& random, size_t dimension) {
  model::DenseVector vector(dimension);
  for (auto& x : vector) x = static_cast<float>(random.unit() * 2 - 1);
  return vector;
}

model::Query search(std::vector<model::Vector> vectors, uint64_t k) {
  model::Query query;
  query.kind = model::Query::Kind::search;
  query.vectors = std::move(vectors);
  query.top_k = k;
  return query;
}

std::vector<std::string> ids(const std::vector<model::Hit>& hits) {
  std::vector<std::string> out;
  for (const auto& hit : hits) out.push_back(model::to_string(hit.record.key.id));
  return out;
}

}  // namespace

TEST_CASE("exact search gives the model's distances and order in every metric") {
  const auto d = driver();
  for (const auto metric : {Metric::l2, Metric::cosine, Metric::inner_product}) {
    auto schema = things("nearest", model::IdKind::string, 8);
    schema.vectors[0].metric = metric;
    schema = fresh(*d, schema);
    Random random(7);
    std::vector<model::Record> records;
    for (int i = 0; i < 200; ++i)
      records.push_back(record("r" + std::to_string(i), random_vector(random, 8)));
    records[10].vectors[""] = model::DenseVector(8, 0.0F);
    records[11].vectors.clear();  // never a hit
    good(d->upsert(schema, records, protocols::UpsertMode::replace, soon()));
    const std::vector<model::Vector> wanted{random_vector(random, 8), random_vector(random, 8),
                                            model::DenseVector(8, 0.0F)};
    auto query = search(wanted, 500);
    query.with_vectors = true;
    const auto answer = good(d->query(schema, query, soon()));
    REQUIRE(answer.hits.size() == 3);
    for (size_t q = 0; q < 3; ++q) {
      REQUIRE(answer.hits[q].size() == 199);
      for (size_t i = 0; i < 199; ++i) {
        const auto& hit = answer.hits[q][i];
        REQUIRE(hit.distance ==
                Approx(distance(metric, std::get<model::DenseVector>(hit.record.vectors.at("")),
                                std::get<model::DenseVector>(wanted[q])))
                    .margin(1e-5));
        if (i == 0) continue;
        REQUIRE(answer.hits[q][i - 1].distance <= hit.distance);
        if (answer.hits[q][i - 1].distance == hit.distance)
          REQUIRE(answer.hits[q][i - 1].record.key < hit.record.key);
      }
    }
    query.search_offset = 190;
    CHECK(good(d->query(schema, query, soon())).hits[0].size() == 9);
  }
}

TEST_CASE("ties are broken by id, and a radius cuts") {
  const auto d = driver();
  const auto schema = fresh(*d, things("ties"));
  std::vector<model::Record> records;
  for (const char* id : {"d", "B", "a", "C"}) records.push_back(record(id, {1, 0, 0}));
  records.push_back(record("far", {3, 0, 0}));
  good(d->upsert(schema, records, protocols::UpsertMode::replace, soon()));
  auto query = search({model::DenseVector{0, 0, 0}}, 3);
  CHECK(ids(good(d->query(schema, query, soon())).hits[0]) == std::vector<std::string>{"B", "C", "a"});
  query.top_k = 10;
  query.radius = 9.0;
  CHECK(good(d->query(schema, query, soon())).hits[0].size() == 4);
  query.radius = 10.0;
  query.range_filter = 1.5;
  CHECK(ids(good(d->query(schema, query, soon())).hits[0]) == std::vector<std::string>{"far"});
}

TEST_CASE(
    "an index search gives as many hits as an exact one and nearly the same, also behind a selective "
    "filter") {
  const auto d = driver();
  for (const auto metric : {Metric::l2, Metric::cosine, Metric::inner_product}) {
    auto schema = things("indexed", model::IdKind::i64, 16);
    schema.vectors[0].metric = metric;
    schema = fresh(*d, schema);
    Random random(11);
    std::vector<model::Record> records;
    for (int64_t i = 0; i < 12'000; ++i) {
      records.push_back(record("", random_vector(random, 16)));
      records.back().key.id.value = i;
      records.back().metadata = model::Object{{"rare", i % 1000}};
    }
    for (size_t i = 0; i < 20; ++i) records[i].vectors[""] = model::DenseVector(16, 0.0F);
    for (size_t i = 0; i < records.size(); i += 3000) {
      good(
          d->upsert(schema, std::span(records).subspan(i, 3000), protocols::UpsertMode::insert_only, soon()));
    }
    good(d->build_indexes(schema, soon(std::chrono::minutes(2))));
    const auto described = good(d->describe(schema.name, soon())).value();
    CHECK(described.vectors[0].metric == metric);
    CHECK(described.vectors[0].index.find("type")->string() == "hnsw");
    CHECK(good(d->list_collections(soon())).size() >= 1);

    size_t same = 0;
    for (int round = 0; round < 20; ++round) {
      const auto vector = random_vector(random, 16);
      std::vector<std::pair<double, int64_t>> brute;
      for (const auto& r : records)
        brute.emplace_back(distance(metric, vector, std::get<model::DenseVector>(r.vectors.at(""))),
                           std::get<int64_t>(r.key.id.value));
      std::ranges::sort(brute);
      const auto answer = good(d->query(schema, search({vector}, 10), soon()));
      REQUIRE(answer.hits[0].size() == 10);
      std::set<int64_t> truth;
      for (int i = 0; i < 10; ++i) truth.insert(brute[static_cast<size_t>(i)].second);
      double last = -1e9;
      for (const auto& hit : answer.hits[0]) {
        same += truth.count(std::get<int64_t>(hit.record.key.id.value));
        REQUIRE(hit.distance >= last);
        last = hit.distance;
      }
      auto filtered = search({vector}, 10);
      filtered.filter = model::Filter::make(model::Filter::Kind::equal, model::Filter::field_of("rare"),
                                            model::Filter::literal_of(17));
      CHECK(good(d->query(schema, filtered, soon())).hits[0].size() == 10);
    }
    CHECK(same >= 190);  // recall of the index
    // More than an index may give: all of them, zero vectors included.
    CHECK(good(d->query(schema, search({random_vector(random, 16)}, 12'000), soon())).hits[0].size() ==
          12'000);
    if (metric == Metric::cosine) {
      // The index knows no zero vectors; hits at a distance of 1 and more make the search exact.
      auto filtered = search({random_vector(random, 16)}, 6);
      filtered.filter = model::Filter::make(model::Filter::Kind::equal, model::Filter::field_of("rare"),
                                            model::Filter::literal_of(7));
      const auto hits = good(d->query(schema, search({random_vector(random, 16)}, 900), soon())).hits[0];
      CHECK(hits.size() == 900);
      const auto all = good(d->query(schema, filtered, soon())).hits[0];
      CHECK(all.size() == 6);
    }
  }
}

TEST_CASE("a search that makes no sense is an error that says why") {
  const auto d = driver();
  auto schema = things("senseless");
  schema.vectors.push_back({"sparse", model::VectorKind::sparse, 0, Metric::inner_product, {}});
  schema = fresh(*d, schema);
  good(d->upsert(schema, std::vector{record("x")}, protocols::UpsertMode::replace, soon()));
  const auto wrong = d->query(schema, search({model::DenseVector{1, 2}}, 1), soon());
  REQUIRE_FALSE(wrong.has_value());
  CHECK(wrong.error().code == Code::invalid);
  CHECK(wrong.error().message.find("2 dimensions, the collection has 3") != std::string::npos);
  CHECK(d->query(schema, search({model::SparseVector{{1}, {1}}}, 1), soon()).error().code == Code::invalid);
  auto other = search({model::DenseVector{1, 2, 3}}, 1);
  other.vector_name = "nobody";
  CHECK(d->query(schema, other, soon()).error().code == Code::invalid);
}

TEST_CASE("sparse and half vectors are searched like dense ones") {
  const auto d = driver();
  auto schema = things("other_kinds");
  schema.vectors = {{"half", model::VectorKind::dense_f16, 3, Metric::l2, {}},
                    {"sparse", model::VectorKind::sparse, 0, Metric::inner_product, {}}};
  schema = fresh(*d, schema);
  std::vector<model::Record> records;
  for (int i = 0; i < 5; ++i) {
    records.push_back(record("r" + std::to_string(i)));
    const auto x = static_cast<float>(i);
    records.back().vectors = {{"half", model::DenseVector{x, 0, 0}},
                              {"sparse", model::SparseVector{{5, 1000}, {x + 1, 1}}}};
  }
  good(d->upsert(schema, records, protocols::UpsertMode::replace, soon()));
  auto query = search({model::DenseVector{2.1F, 0, 0}}, 2);
  query.vector_name = "half";
  CHECK(ids(good(d->query(schema, query, soon())).hits[0]) == std::vector<std::string>{"r2", "r3"});
  query = search({model::SparseVector{{5}, {2}}}, 2);
  query.vector_name = "sparse";
  const auto hits = good(d->query(schema, query, soon())).hits[0];
  CHECK(ids(hits) == std::vector<std::string>{"r4", "r3"});
  CHECK(hits[0].distance == Approx(1 - 10));
}
