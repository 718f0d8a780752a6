// Records through a real PostgreSQL and back.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <tuple>

#include "../mapping/generate.h"
#include "database.h"
#include "mapping/equality.h"

using namespace vmproxy;
using namespace vmproxy::testing;
using protocols::UpsertMode;

namespace {

std::map<model::Key, model::Record> all_of(protocols::Driver& driver, const model::Schema& schema,
                                           size_t ranges = 1, size_t page = 1000) {
  std::map<model::Key, model::Record> found;
  for (const auto& range : good(driver.plan_scan(schema, ranges, soon()))) {
    std::string cursor;
    for (bool done = false; !done;) {
      auto next = good(driver.scan(schema, range, cursor, page, {}, soon()));
      cursor = next.cursor;
      done = next.done;
      for (auto& record : next.records) {
        const auto key = record.key;
        REQUIRE(found.emplace(key, std::move(record)).second);  // nobody writes meanwhile: each comes once
      }
    }
  }
  return found;
}

}  // namespace

TEST_CASE("any record comes back exactly as it was written, floats as floats") {
  const auto d = driver();
  for (const auto kind :
       {model::IdKind::string, model::IdKind::u64, model::IdKind::i64, model::IdKind::uuid}) {
    const auto schema = fresh(*d, things("round_trip", kind));
    for (const auto mode : {UpsertMode::insert_only, UpsertMode::replace}) {
      sql("TRUNCATE round_trip");
      std::map<model::Key, model::Record> written;
      std::vector<model::Record> batch;
      for (uint64_t seed = 0; seed < 400; ++seed) {
        generate::Generator make(seed * 7 + static_cast<uint64_t>(kind));
        auto record = make.record(kind);
        if (kind == model::IdKind::string) record.key.id.value = "id " + std::to_string(seed);
        if (!written.emplace(record.key, record).second) continue;
        batch.push_back(record);
      }
      const auto result = good(d->upsert(schema, batch, mode, soon()));
      CHECK(result.refused.empty());
      const auto found = all_of(*d, schema);
      REQUIRE(found.size() == written.size());
      std::vector<model::Key> keys;
      for (const auto& [key, record] : written) {
        const auto difference = mapping::difference(record, found.at(key), false);
        INFO(model::to_string(key.id) << ": " << difference.value_or(""));
        REQUIRE_FALSE(difference);
        keys.push_back(key);
      }
      const auto read = good(d->read(schema, keys, {}, soon()));
      CHECK(read.size() == keys.size());
      for (const auto& record : read)
        REQUIRE_FALSE(mapping::difference(record, written.at(record.key), false));
    }
  }
}

TEST_CASE("floating-point numbers in metadata keep their value and type") {
  const auto d = driver();
  const auto schema = fresh(*d, things("floats"));
  generate::Generator make(1);
  model::Record record = testing::record("x");
  record.metadata.emplace();
  Random random(17);
  for (int i = 0; i < 3000; ++i) {
    const uint64_t bits = random.next();
    double number;
    std::memcpy(&number, &bits, 8);
    if (!std::isfinite(number)) continue;
    record.metadata->emplace("f" + std::to_string(i), number);
    record.metadata->emplace("w" + std::to_string(i),
                             std::nearbyint(std::ldexp(random.unit(), static_cast<int>(random.below(120)))));
  }
  for (const double number : {1.0, -1.0, 1e18, 1e19, 0x1p63, 0x1p64, 9.9e19, 1e20, 1e22, 1e300, 5e-324, 0.1,
                              1e-7, std::numeric_limits<double>::max()}) {
    record.metadata->emplace("n" + std::to_string(number) + std::to_string(record.metadata->size()), number);
  }
  good(d->upsert(schema, std::vector{record}, UpsertMode::replace, soon()));
  const auto read = good(d->read(schema, std::vector{record.key}, {}, soon()));
  REQUIRE(read.size() == 1);
  CHECK_FALSE(mapping::difference(record, read[0], false));
}

TEST_CASE("replace replaces the whole record and an insert leaves what exists alone") {
  const auto d = driver();
  const auto schema = fresh(*d, things("modes"));
  auto a = record("a");
  a.document = "first";
  a.metadata = model::Object{{"x", 1}};
  good(d->upsert(schema, std::vector{a}, UpsertMode::insert_only, soon()));
  auto second = record("a", {4, 5, 6});
  auto other = record("b");
  good(d->upsert(schema, std::vector{second, other}, UpsertMode::insert_only, soon()));
  auto found = all_of(*d, schema);
  CHECK(found.size() == 2);
  CHECK_FALSE(mapping::difference(found.at(a.key), a, false));
  good(d->upsert(schema, std::vector{second}, UpsertMode::replace, soon()));
  found = all_of(*d, schema);
  CHECK_FALSE(mapping::difference(found.at(a.key), second, false));

  good(d->upsert(schema, std::vector{record("a", {7, 8, 9}), record("e")}, UpsertMode::insert_all, soon()));
  found = all_of(*d, schema);
  CHECK(found.size() == 3);
  CHECK_FALSE(mapping::difference(found.at(a.key), second, false));

  // The same key twice in a batch: the last one stays, and with insert_only the first.
  good(d->upsert(schema, std::vector{record("c", {1, 1, 1}), record("c", {2, 2, 2})}, UpsertMode::replace,
                 soon()));
  good(d->upsert(schema, std::vector{record("d", {1, 1, 1}), record("d", {2, 2, 2})}, UpsertMode::insert_only,
                 soon()));
  found = all_of(*d, schema);
  CHECK(std::get<model::DenseVector>(found.at(record("c").key).vectors.at(""))[0] == 2);
  CHECK(std::get<model::DenseVector>(found.at(record("d").key).vectors.at(""))[0] == 1);
}

TEST_CASE("refused records are named exactly and do not keep the others") {
  const auto d = driver();
  const auto schema = fresh(*d, things("refusals"));
  sql("ALTER TABLE refusals ADD CONSTRAINT no_seven CHECK (metadata->>'n' IS DISTINCT FROM '7')");
  for (const auto mode : {UpsertMode::insert_only, UpsertMode::replace}) {
    sql("TRUNCATE refusals");
    std::vector<model::Record> batch;
    for (int i = 0; i < 300; ++i) {
      batch.push_back(record("r" + std::to_string(i)));
      batch.back().metadata = model::Object{{"n", i % 100}};
    }
    batch[3].document = std::string("a\0b", 3);
    batch[4].vectors[""] = model::DenseVector{1, 2};
    batch[5].vectors[""] = model::DenseVector{1, 2, NAN};
    batch[6].metadata = model::Object{{"deep", model::Object{{"text", std::string("\0", 1)}}}};
    batch[8].key.id.value = int64_t{8};
    batch[9].vectors["unknown"] = model::DenseVector{1};
    batch[10].document = "\xff";
    batch[11].key.id.value = std::string(10'000, 'x');
    Random random(5);
    for (auto& c : std::get<std::string>(batch[11].key.id.value))
      c = static_cast<char>('a' + random.below(26));
    batch[12].metadata = model::Object{{"inf", std::numeric_limits<double>::infinity()}};
    const auto result = good(d->upsert(schema, batch, mode, soon()));
    std::map<size_t, std::string> refused;
    for (const auto& refusal : result.refused) {
      CHECK(refusal.error.code == Code::invalid);
      refused[refusal.index] = refusal.error.message;
    }
    const std::set<size_t> expected{3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 107, 207};
    std::set<size_t> indexes;
    for (const auto& [index, message] : refused) indexes.insert(index);
    CHECK(indexes == expected);
    CHECK(refused[3].starts_with("document holds a NUL character"));
    CHECK(refused[4] == "vector has 2 dimensions, the column holds 3");
    CHECK(refused[6].find("metadata.deep: text: holds a NUL") != std::string::npos);
    CHECK(refused[7].find("no_seven") != std::string::npos);
    CHECK(refused[12].find("finite") != std::string::npos);
    CHECK(all_of(*d, schema).size() == 300 - expected.size());
  }
}

TEST_CASE("where all are wanted, a refused record keeps the others of its request from being written") {
  const auto d = driver();
  const auto schema = fresh(*d, things("together"));
  sql("ALTER TABLE together ADD CONSTRAINT no_seven CHECK (metadata->>'n' IS DISTINCT FROM '7')");
  std::vector<model::Record> batch{record("a"), record("b"), record("c")};
  SECTION("the driver finds it") {
    batch[1].document = std::string("a\0b", 3);
  }
  SECTION("the server finds it") {
    batch[1].metadata = model::Object{{"n", 7}};
  }
  const auto refused =
      d->upsert(schema, batch, GENERATE(UpsertMode::replace_all, UpsertMode::insert_all), soon());
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == Code::invalid);
  CHECK(all_of(*d, schema).empty());
  batch[1] = record("b", {4, 5, 6});
  CHECK(good(d->upsert(schema, batch, UpsertMode::replace_all, soon())).refused.empty());
  CHECK(good(d->upsert(schema, std::vector{record("b")}, UpsertMode::replace_all, soon())).refused.empty());
  const auto found = all_of(*d, schema);
  CHECK(found.size() == 3);
  CHECK_FALSE(mapping::difference(found.at(batch[1].key), record("b"), false));  // replaced
}

TEST_CASE("erase removes what exists and does not mind what does not") {
  const auto d = driver();
  const auto schema = fresh(*d, things("erasures"));
  std::vector<model::Record> batch;
  for (int i = 0; i < 50; ++i) batch.push_back(record("k" + std::to_string(i)));
  good(d->upsert(schema, batch, UpsertMode::replace, soon()));
  std::vector<model::Key> keys{batch[1].key, batch[2].key, record("absent").key,
                               record(std::string("\0", 1)).key};
  CHECK(good(d->erase(schema, keys, soon())).refused.empty());
  CHECK(all_of(*d, schema).size() == 48);

  sql("DROP TABLE IF EXISTS refers; CREATE TABLE refers (of text REFERENCES erasures (id)); INSERT INTO "
      "refers VALUES ('k10')");
  keys.clear();
  for (const auto& r : batch) keys.push_back(r.key);
  const auto result = good(d->erase(schema, keys, soon()));
  sql("DROP TABLE refers");
  REQUIRE(result.refused.size() == 1);
  CHECK(keys[result.refused[0].index] == record("k10").key);
  CHECK(all_of(*d, schema).size() == 1);
}

TEST_CASE("ranges cover every record once and mean the same after writes") {
  const auto d = driver();
  for (const auto kind : {model::IdKind::string, model::IdKind::i64}) {
    const auto schema = fresh(*d, things("ranges", kind));
    std::vector<model::Record> batch;
    for (int64_t i = 0; i < 2000; ++i) {
      batch.push_back(record("key-" + std::to_string(i * 7919 % 2000)));
      if (kind == model::IdKind::i64) batch.back().key.id.value = i * 7919 % 2000 - 1000;
    }
    good(d->upsert(schema, batch, UpsertMode::insert_only, soon()));
    const auto ranges = good(d->plan_scan(schema, 8, soon()));
    CHECK(ranges.size() == 8);
    CHECK(all_of(*d, schema, 8, 37).size() == 2000);
    // The same range and cursor give the same records, and no range is far from its share.
    for (const auto& range : ranges) {
      const auto page = good(d->scan(schema, range, "", 2000, {}, soon()));
      CHECK(page.done);
      CHECK(page.records.size() > 200);
      CHECK(page.records.size() < 300);
      const auto first = good(d->scan(schema, range, "", 10, {}, soon()));
      const auto second = good(d->scan(schema, range, first.cursor, 10, {}, soon()));
      REQUIRE(second.records.size() == 10);
      CHECK(second.records[0].key == page.records[10].key);
    }
  }
  const auto schema = fresh(*d, things("ranges"));
  CHECK(all_of(*d, schema, 4).empty());
  CHECK(d->scan(schema, {"nonsense"}, "", 10, {}, soon()).error().code == Code::corrupt);
}

TEST_CASE("partitions are part of the key") {
  const auto d = driver();
  auto schema = things("parted");
  schema.partitions = {"p", "q"};
  schema = fresh(*d, schema);
  std::vector<model::Record> batch;
  for (const char* partition : {"", "p", "q"}) {
    for (int i = 0; i < 100; ++i) {
      batch.push_back(record("same" + std::to_string(i)));
      batch.back().key.partition = partition;
      batch.back().document = partition;
    }
  }
  good(d->upsert(schema, batch, UpsertMode::insert_only, soon()));
  good(d->upsert(schema, batch, UpsertMode::insert_only, soon()));
  CHECK(all_of(*d, schema, 4, 17).size() == 300);
  const auto read = good(d->read(schema, std::vector{batch[0].key, batch[150].key}, {}, soon()));
  REQUIRE(read.size() == 2);
  good(d->erase(schema, std::vector{batch[0].key}, soon()));
  CHECK(all_of(*d, schema).size() == 299);
  model::Query query;
  query.kind = model::Query::Kind::count;
  query.partitions = {"p"};
  CHECK(good(d->query(schema, query, soon())).count == 100);
}

TEST_CASE("get is ordered by id over all partitions, so that the last id is where the next page begins") {
  const auto d = driver();
  for (const auto kind : {model::IdKind::i64, model::IdKind::string}) {
    auto schema = things("parted pages", kind);
    schema.partitions = {"p"};
    schema = fresh(*d, schema);
    const std::vector<std::string> partitions{"", "p", "q", "\xc3\xa9", "Z"};
    std::vector<model::Record> batch;
    for (int64_t i = 0; i < 60; ++i) {
      batch.push_back(record(std::to_string(i)));
      if (kind == model::IdKind::i64) batch.back().key.id.value = i;
      batch.back().key.partition = partitions[static_cast<size_t>(i * 7) % partitions.size()];
    }
    batch.push_back(batch[30]);  // in two partitions
    batch.back().key.partition = "zz";
    good(d->upsert(schema, batch, UpsertMode::insert_only, soon()));
    std::vector<model::Key> keys;
    for (const auto& one : batch) keys.push_back(one.key);
    std::sort(keys.begin(), keys.end(), [](const model::Key& a, const model::Key& b) {
      return std::tie(a.id, a.partition) < std::tie(b.id, b.partition);
    });
    const auto found = [&](const model::Query& query) {
      std::vector<model::Key> out;
      for (const auto& one : good(d->query(schema, query, soon())).records) out.push_back(one.key);
      return out;
    };
    model::Query query;
    CHECK(found(query) == keys);
    for (const size_t offset : {0, 3, 30, 31, 60, 61, 100}) {
      for (const size_t limit : {1, 7, 100}) {
        query.offset = offset;
        query.limit = limit;
        const size_t from = std::min(offset, keys.size()), to = std::min(offset + limit, keys.size());
        CHECK(found(query) == std::vector(keys.begin() + static_cast<std::ptrdiff_t>(from),
                                          keys.begin() + static_cast<std::ptrdiff_t>(to)));
      }
    }
    // As an SDK's iterator does.
    query.offset = 0;
    query.limit = 7;
    std::set<model::Id> seen;
    while (true) {
      const auto page = found(query);
      if (page.empty()) break;
      for (const auto& key : page) seen.insert(key.id);
      model::Value last = kind == model::IdKind::i64
                              ? model::Value(std::get<int64_t>(page.back().id.value))
                              : model::Value(std::get<std::string>(page.back().id.value));
      query.filter = model::Filter::make(model::Filter::Kind::greater, model::Filter::record_id(),
                                         model::Filter::literal_of(last));
    }
    CHECK(seen.size() == 60);
    model::Query two;
    two.partitions = {"q", ""};
    two.limit = 5;
    auto wanted = keys;
    std::erase_if(wanted, [](const model::Key& key) { return key.partition != "" && key.partition != "q"; });
    wanted.resize(5);
    CHECK(found(two) == wanted);
  }
}

TEST_CASE("declared fields live in columns of their own type") {
  const auto d = driver();
  auto schema = things("typed");
  const auto field = [&](const char* name, model::FieldKind kind,
                         model::FieldKind element = model::FieldKind::json) {
    model::Field f;
    f.name = name;
    f.kind = kind;
    f.element = element;
    schema.fields.push_back(f);
  };
  using K = model::FieldKind;
  field("b", K::boolean), field("i8", K::int8), field("i16", K::int16), field("i32", K::int32),
      field("i64", K::int64), field("f32", K::float32);
  field("f64", K::float64), field("s", K::string), field("j", K::json), field("ints", K::array, K::int64),
      field("reals", K::array, K::float64);
  field("texts", K::array, K::string), field("bools", K::array, K::boolean),
      field("halves", K::array, K::float32);
  schema = fresh(*d, schema);
  auto full = record("full");
  full.metadata = model::Object{{"b", true},
                                {"i8", -3},
                                {"i16", 300},
                                {"i32", 70000},
                                {"i64", INT64_MIN},
                                {"f32", static_cast<double>(0.1F)},
                                {"f64", 1.0},
                                {"s", "text"},
                                {"j", nullptr},
                                {"ints", model::Array{1, 2}},
                                {"reals", model::Array{1.0, 0.1}},
                                {"texts", model::Array{"a,b", "{\"x\"}", "NULL", ""}},
                                {"bools", model::Array{true, false}},
                                {"halves", model::Array{static_cast<double>(0.1F)}},
                                {"dynamic", 1.0}};
  auto only_columns = record("only columns");
  only_columns.metadata = model::Object{{"i64", 7}};
  auto none = record("none");
  auto empty = record("empty");
  empty.metadata.emplace();
  for (const auto mode : {UpsertMode::replace, UpsertMode::insert_only}) {
    sql("TRUNCATE typed");
    const auto result = good(d->upsert(schema, std::vector{full, only_columns, none, empty}, mode, soon()));
    for (const auto& refusal : result.refused) FAIL(refusal.error.message);
    const auto found = all_of(*d, schema);
    for (const auto& r : {full, only_columns, none, empty})
      CHECK(mapping::difference(r, found.at(r.key), false).value_or("equal") == "equal");
  }
  auto wrong = record("wrong");
  for (const auto& [name, value] : std::map<std::string, model::Value>{{"b", 1},
                                                                       {"i16", 40000},
                                                                       {"i64", 1.0},
                                                                       {"f64", 1},
                                                                       {"f32", 0.1},
                                                                       {"s", 5},
                                                                       {"ints", model::Array{"x"}}}) {
    wrong.metadata = model::Object{{name, value}};
    const auto result = good(d->upsert(schema, std::vector{wrong}, UpsertMode::replace, soon()));
    REQUIRE(result.refused.size() == 1);
    CHECK(result.refused[0].error.message.starts_with("metadata." + name));
  }
}

TEST_CASE("half precision and sparse vectors live in their own types") {
  const auto d = driver();
  auto schema = things("kinds");
  schema.vectors = {{"half", model::VectorKind::dense_f16, 4, model::Metric::cosine, {}},
                    {"sparse", model::VectorKind::sparse, 0, model::Metric::inner_product, {}},
                    {"free", model::VectorKind::dense_f32, 0, model::Metric::l2, {}}};
  schema = fresh(*d, schema);
  auto r = record("x");
  r.vectors = {{"half", model::DenseVector{1, -0.5F, 65504, 6.1e-5F}},
               {"sparse", model::SparseVector{{0, 7, 999'999'999}, {1, 2, 3}}},
               {"free", model::DenseVector{1, 2}}};
  good(d->upsert(schema, std::vector{r}, UpsertMode::insert_only, soon()));
  auto found = all_of(*d, schema).at(r.key);
  CHECK(std::get<model::SparseVector>(found.vectors.at("sparse")) ==
        std::get<model::SparseVector>(r.vectors.at("sparse")));
  CHECK(std::get<model::DenseVector>(found.vectors.at("free")) == model::DenseVector{1, 2});
  CHECK(std::abs(std::get<model::DenseVector>(found.vectors.at("half"))[3] - 6.1e-5F) < 1e-7F);
  r.vectors["half"] = model::DenseVector{70000, 0, 0, 0};
  CHECK(good(d->upsert(schema, std::vector{r}, UpsertMode::replace, soon())).refused.size() == 1);
}

TEST_CASE(
    "a list of more constants than a statement has arguments finds its records, and the session lives on") {
  const auto d = driver();
  for (const auto kind : {model::IdKind::string, model::IdKind::i64, model::IdKind::u64}) {
    const auto schema = fresh(*d, things("long_lists", kind));
    const auto id = [&](int64_t n) {
      model::Id one;
      if (kind == model::IdKind::string) one.value = std::to_string(n);
      if (kind == model::IdKind::i64) one.value = n;
      if (kind == model::IdKind::u64) one.value = static_cast<uint64_t>(n);
      return one;
    };
    std::vector<model::Record> records{record("x"), record("x")};
    records[0].key.id = id(69'999);
    records[1].key.id = id(70'000);
    good(d->upsert(schema, records, UpsertMode::replace, soon()));
    const std::string last_session =
        "SELECT pid::text FROM pg_stat_activity WHERE application_name = 'vmproxy' ORDER BY backend_start DESC LIMIT 1";
    const std::string session = sql(last_session);
    REQUIRE_FALSE(session.empty());
    model::Array list;
    for (int64_t n = 0; n < 70'000; ++n) {
      list.push_back(kind == model::IdKind::string ? model::Value(std::to_string(n)) : model::Value(n));
    }
    list.emplace_back(nullptr);  // equals no id
    model::Query query;
    for (const auto how : {model::Filter::Kind::in, model::Filter::Kind::not_in}) {
      query.filter = model::Filter::make(how, model::Filter::record_id(), model::Filter::literal_of(list));
      const auto found = good(d->query(schema, query, soon()));
      REQUIRE(found.records.size() == 1);
      CHECK(found.records[0].key == records[how == model::Filter::Kind::in ? 0 : 1].key);
    }
    // One argument each: refused before anything is sent.
    query.filter = model::Filter::make(model::Filter::Kind::in, model::Filter::field_of("a"),
                                       model::Filter::literal_of(list));
    const auto refused = d->query(schema, query, soon());
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().message.starts_with("filter.size: "));
    query.filter.reset();
    CHECK(good(d->query(schema, query, soon())).records.size() == 2);
    CHECK(sql(last_session) == session);
  }
}
