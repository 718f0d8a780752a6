// The driver against a real Milvus or Milvus Lite.
#include "protocols/api/driver.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <tuple>

#include "mapping/equality.h"
#include "net/grpc_client.h"
#include "protocols/milvus/driver.h"
#include "real_server.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using namespace vmproxy::protocols::milvus::test;
using model::Array;
using model::Filter;
using model::Object;
using model::Record;

namespace {

model::Schema simple(model::IdKind kind = model::IdKind::i64, model::Metric metric = model::Metric::l2) {
  model::Schema schema;
  schema.id_kind = kind;
  schema.vectors.push_back({"vector", model::VectorKind::dense_f32, 4, metric, {}});
  return schema;
}

Record record(int64_t n, bool text = false) {
  Record out;
  if (text) {
    out.key.id.value = "key " + std::to_string(n);
  } else {
    out.key.id.value = n;
  }
  const auto x = static_cast<float>(n);
  out.vectors["vector"] = model::DenseVector{x, x / 2, 1, 0.25f};
  out.metadata = Object{{"n", n},
                        {"name", "name " + std::to_string(n)},
                        {"half", static_cast<double>(n) / 2},
                        {"even", n % 2 == 0},
                        {"deep", Object{{"list", Array{1, "a", nullptr}}, {"n", n}}},
                        {"nothing", nullptr}};
  return out;
}

std::vector<Record> records(int64_t first, int64_t last, bool text = false) {
  std::vector<Record> out;
  for (int64_t n = first; n < last; ++n) out.push_back(record(n, text));
  return out;
}

void put(Driver& driver, const model::Schema& schema, const std::vector<Record>& all,
         UpsertMode mode = UpsertMode::replace) {
  const auto applied = good(driver.upsert(schema, all, mode, soon()));
  for (const auto& refusal : applied.refused) FAIL(refusal.error.message);
}

std::vector<model::Key> keys_of(const std::vector<Record>& all) {
  std::vector<model::Key> keys;
  for (const auto& one : all) keys.push_back(one.key);
  return keys;
}

void check_same(std::vector<Record> found, std::vector<Record> wanted) {
  const auto by_key = [](const Record& a, const Record& b) { return a.key < b.key; };
  std::sort(found.begin(), found.end(), by_key);
  std::sort(wanted.begin(), wanted.end(), by_key);
  REQUIRE(found.size() == wanted.size());
  for (size_t i = 0; i < found.size(); ++i) {
    CHECK(found[i].key == wanted[i].key);
    const auto difference = mapping::difference(found[i], wanted[i], false);
    if (difference) FAIL_CHECK(model::to_string(wanted[i].key.id) + ": " + *difference);
  }
}

std::vector<int64_t> ids(const model::QueryResult& result) {
  std::vector<int64_t> out;
  for (const auto& one : result.records) out.push_back(std::get<int64_t>(one.key.id.value));
  return out;
}

// A call of the API beside the driver, as applications make it.
void command(const std::string& rpc, const milvus::ProtoWriter& request) {
  net::GrpcClient client(good(net::parse_upstream_url(environment("VMPROXY_TEST_MILVUS"))), 1);
  const auto answer =
      good(client.send("/milvus.proto.milvus.MilvusService/" + rpc, {}, request.view(), soon()));
  REQUIRE(answer.status == 0);
  const auto status = milvus::read_status(answer.body);
  REQUIRE(status);
  INFO(rpc << ": " << status->reason);
  REQUIRE(status->ok());
}

}  // namespace

TEST_CASE("records come back as they were written, at once") {
  OwnCollection own(simple());
  auto all = records(-3, 20);
  for (const int64_t end : {INT64_MIN, INT64_MIN + 1, INT64_MAX - 1}) {
    all.push_back(record(0));
    all.back().key.id.value = end;
  }
  put(*own.driver, own.schema, all);
  check_same(good(own.driver->read(own.schema, keys_of(all), {}, soon())), all);
  const std::vector<model::Key> absent{{"", {int64_t{999}}}};
  CHECK(good(own.driver->read(own.schema, absent, {}, soon())).empty());
}

TEST_CASE("the largest key, which Milvus 2.3 takes and never shows, is refused") {
  OwnCollection own(simple());
  Record largest = record(0);
  largest.key.id.value = INT64_MAX;
  const std::vector<Record> all{record(1), largest};
  const auto applied = good(own.driver->upsert(own.schema, all, UpsertMode::replace, soon()));
  if (is_lite()) {
    CHECK(applied.refused.empty());
    check_same(good(own.driver->read(own.schema, keys_of(all), {}, soon())), all);
  } else {
    REQUIRE(applied.refused.size() == 1);
    CHECK(applied.refused[0].index == 1);
    check_same(good(own.driver->read(own.schema, keys_of(all), {}, soon())), {record(1)});
  }
}

TEST_CASE("text keys of any content work") {
  OwnCollection own(simple(model::IdKind::string));
  std::vector<Record> all;
  std::vector<std::string> names{"plain", "\"quoted\"", "back\\slash", "日本", "tab\t", "%", " space "};
  // Milvus Lite 2.5.1 fails on a quote in a key and does not find a line feed.
  if (!is_lite()) {
    names.emplace_back("it's");
    names.emplace_back("new\nline");
  }
  for (const auto& id : names) {
    Record one = record(static_cast<int64_t>(all.size()));
    one.key.id.value = id;
    all.push_back(std::move(one));
  }
  put(*own.driver, own.schema, all);
  check_same(good(own.driver->read(own.schema, keys_of(all), {}, soon())), all);
  const auto keys = keys_of(all);
  good(own.driver->erase(own.schema, std::span(keys).first(4), soon()));
  CHECK(good(own.driver->read(own.schema, keys, {}, soon())).size() == all.size() - 4);
}

// Writers of `count` keys beside readers: of `asked` keys at a time, searches and counts. None may see a version older than one
// that was acknowledged before it asked. Milvus 2.3.5 fails this by itself: docs/decisions/0010.
namespace {
struct Asked {
  int64_t count, asked;
  model::Consistency consistency, of_the_others = consistency;  // of every other pair of readers
};

void write_beside_reads(const Asked& asked) {
  constexpr int writers = 6, readers = 4;
  const auto how_long = std::chrono::seconds(8);
  const auto count = static_cast<size_t>(asked.count);
  OwnCollection own(simple());
  std::vector<std::mutex> turns(count);  // one write of a key at a time: its versions have an order
  std::vector<std::atomic<int64_t>> acknowledged(count);
  const auto version = [](int64_t key, int64_t n) {
    Record out = record(key);
    out.metadata = Object{{"n", n}};
    return out;
  };
  std::vector<Record> first;
  for (int64_t key = 0; key < asked.count; ++key) first.push_back(version(key, 0));
  put(*own.driver, own.schema, first);

  std::mutex mutex;
  std::vector<std::string> wrong;
  std::atomic<size_t> written = 0, read = 0;
  const auto say = [&](std::string text) {
    std::lock_guard hold(mutex);
    wrong.push_back(std::move(text));
  };
  const auto end = std::chrono::steady_clock::now() + how_long;
  const auto check = [&](const Record& found, int64_t due, std::string_view how) {
    const int64_t seen = static_cast<int64_t>(found.metadata->at("n").number());
    if (seen < due)
      say(std::string(how) + " showed key " + model::to_string(found.key.id) + " at " + std::to_string(seen) +
          " when " + std::to_string(due) + " was due");
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < writers; ++i) {
    threads.emplace_back([&, i] {
      std::mt19937 random(static_cast<unsigned>(i));
      while (std::chrono::steady_clock::now() < end) {
        const auto key = std::uniform_int_distribution<int64_t>(0, asked.count - 1)(random);
        const auto at = static_cast<size_t>(key);
        std::lock_guard turn(turns[at]);
        const int64_t n = acknowledged[at] + 1;
        const auto done =
            own.driver->upsert(own.schema, std::vector{version(key, n)}, UpsertMode::replace, soon());
        if (!done) return say("upsert: " + done.error().message);
        acknowledged[at] = n;
        ++written;
      }
    });
  }
  for (int i = 0; i < readers; ++i) {
    threads.emplace_back([&, i] {
      std::mt19937 random(static_cast<unsigned>(100 + i));
      std::vector<model::Key> keys = keys_of(first);
      ReadParts parts;
      parts.consistency = i < readers / 2 ? asked.consistency : asked.of_the_others;
      while (std::chrono::steady_clock::now() < end) {
        std::vector<int64_t> due(acknowledged.begin(), acknowledged.end());
        const auto due_of = [&](const Record& one) {
          return due[static_cast<size_t>(std::get<int64_t>(one.key.id.value))];
        };
        if (i % 2 == 0) {
          std::shuffle(keys.begin(), keys.end(), random);
          const std::span<const model::Key> some(keys.data(), static_cast<size_t>(asked.asked));
          const auto found = own.driver->read(own.schema, some, parts, soon());
          if (!found) return say("read: " + found.error().message);
          if (found->size() != some.size()) say("read: " + std::to_string(found->size()) + " records");
          for (const auto& one : *found) check(one, due_of(one), "read");
        } else {
          model::Query query;
          query.kind = model::Query::Kind::search;
          query.vector_name = "vector";
          query.vectors = {model::DenseVector{0, 0, 1, 0.25f}};
          query.top_k = 10;
          query.with_metadata = true;
          query.consistency = parts.consistency;
          const auto found = own.driver->query(own.schema, query, soon());
          if (!found) return say("search: " + found.error().message);
          if (found->hits[0].size() != 10) say("search: " + std::to_string(found->hits[0].size()) + " hits");
          for (const auto& hit : found->hits[0]) check(hit.record, due_of(hit.record), "search");
          query = {};
          query.kind = model::Query::Kind::count;
          query.consistency = parts.consistency;
          const auto counted = own.driver->query(own.schema, query, soon());
          if (!counted) return say("count: " + counted.error().message);
          if (counted->count != count) say("count: " + std::to_string(counted->count));
        }
        ++read;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CAPTURE(written.load(), read.load(), wrong.size());
  CHECK(read >= 4 * readers);  // neither kind keeps the other out
  CHECK(written >= 10 * writers);
  for (size_t i = 0; i < std::min<size_t>(wrong.size(), 10); ++i) FAIL_CHECK(wrong[i]);
  std::printf("%zu writes, %zu reads, %zu wrong\n", written.load(), read.load(), wrong.size());
}
}  // namespace

TEST_CASE("reads beside reads and writes show no version older than an acknowledged one") {
  write_beside_reads({60, 60, model::Consistency::strong});
}

TEST_CASE("nor do reads that ask for the driver's own writes only") {
  SECTION("all keys of few") {
    write_beside_reads({60, 60, model::Consistency::session});
  }
  SECTION("few keys of many") {
    write_beside_reads({1200, 5, model::Consistency::session});
  }
  SECTION("few keys of many, beside reads of all writes") {
    write_beside_reads({1200, 5, model::Consistency::session, model::Consistency::strong});
  }
}

TEST_CASE("a read of the driver's own writes shows the last one, and waits only where that was just now") {
  OwnCollection own(simple());
  ReadParts session;
  session.consistency = model::Consistency::session;
  put(*own.driver, own.schema, records(0, 100));
  Record last = record(1);
  for (int64_t n = 0; n < 8; ++n) {
    last.metadata = Object{{"n", n}};
    put(*own.driver, own.schema, {last});
    check_same(good(own.driver->read(own.schema, keys_of({last}), session, soon())), {last});
    good(own.driver->erase(own.schema, keys_of({last}), soon()));
    CHECK(good(own.driver->read(own.schema, keys_of({last}), session, soon())).empty());
  }
  // Beside writes of other keys: what was not written for a while is there at once, which Strong does not know.
  const auto others = keys_of(records(50, 60));
  std::vector<double> waited[2];
  for (int i = 0; i < 10; ++i) {
    for (const bool strong : {false, true}) {
      put(*own.driver, own.schema, {record(2)});
      const auto began = std::chrono::steady_clock::now();
      CHECK(good(own.driver->read(own.schema, others, strong ? ReadParts{} : session, soon())).size() == 10);
      waited[strong].push_back(
          std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count());
    }
  }
  for (auto& all : waited) std::ranges::sort(all);
  std::printf("read of others: session %.1f ms, strong %.1f ms\n", waited[false][5], waited[true][5]);
  if (!is_lite()) CHECK(waited[false][5] * 5 < waited[true][5]);
}

TEST_CASE("an upsert replaces the whole record, and a key given twice counts once") {
  OwnCollection own(simple());
  put(*own.driver, own.schema, records(1, 3));
  Record bare = record(1);
  bare.metadata.reset();
  bare.vectors["vector"] = model::DenseVector{9, 9, 9, 9};
  put(*own.driver, own.schema, {record(1), bare});
  check_same(good(own.driver->read(own.schema, keys_of({bare}), {}, soon())), {bare});
  put(*own.driver, own.schema, {record(5), bare}, UpsertMode::insert_only);
  model::Query count;
  count.kind = model::Query::Kind::count;
  count.collection = own.schema.name;
  CHECK(good(own.driver->query(own.schema, count, soon())).count == 3);
}

TEST_CASE("erase leaves nothing behind and takes absent keys") {
  OwnCollection own(simple());
  const auto all = records(0, 50);
  put(*own.driver, own.schema, all);
  auto keys = keys_of(records(10, 20));
  keys.push_back({"", {int64_t{12345}}});
  good(own.driver->erase(own.schema, keys, soon()));
  CHECK(good(own.driver->read(own.schema, keys, {}, soon())).empty());
  CHECK(good(own.driver->read(own.schema, keys_of(all), {}, soon())).size() == 40);
}

TEST_CASE("records that cannot be stored are named, the others are stored") {
  OwnCollection own(simple());
  auto all = records(1, 6);
  all[1].vectors.clear();
  all[2].vectors["vector"] = model::DenseVector{1, 2};
  (*all[3].metadata)["large"] = std::string(70'000, 'x');
  const auto applied = good(own.driver->upsert(own.schema, all, UpsertMode::replace, soon()));
  std::set<size_t> refused;
  for (const auto& one : applied.refused) {
    refused.insert(one.index);
    CHECK_FALSE(one.error.message.empty());
  }
  CHECK(refused == std::set<size_t>{1, 2, 3});
  CHECK(good(own.driver->read(own.schema, keys_of(all), {}, soon())).size() == 2);
}

TEST_CASE("metadata fields with the names of the key and the vector survive") {
  OwnCollection own(simple());
  Record one = record(1);
  (*one.metadata)["id"] = "mine";
  (*one.metadata)["vector"] = 5;
  (*one.metadata)["id#"] = 7;
  (*one.metadata)["$meta"] = true;
  (*one.metadata)["with \"quotes\" and.dots"] = 1;
  put(*own.driver, own.schema, {one, record(2)});
  check_same(good(own.driver->read(own.schema, keys_of({one}), {}, soon())), {one});
  model::Query query;
  query.collection = own.schema.name;
  for (const auto& [name, value] :
       Object{{"id", "mine"}, {"vector", 5}, {"id#", 7}, {"with \"quotes\" and.dots", 1}}) {
    query.filter = Filter::make(Filter::Kind::equal, Filter::field_of(name), Filter::literal_of(value));
    INFO(name);
    CHECK(ids(good(own.driver->query(own.schema, query, soon()))) == std::vector<int64_t>{1});
  }
}

TEST_CASE("a scan in several ranges gives each record once, from any cursor again") {
  OwnCollection own(simple());
  constexpr int64_t count = 3000;
  for (int64_t n = 0; n < count; n += 1000) put(*own.driver, own.schema, records(n, n + 1000));
  std::vector<model::Key> gone = keys_of(records(100, 200));
  good(own.driver->erase(own.schema, gone, soon()));
  const auto ranges = good(own.driver->plan_scan(own.schema, 4, soon()));
  CHECK(ranges.size() >= 2);
  std::multiset<model::Key> seen;
  for (const auto& range : ranges) {
    std::string cursor;
    for (;;) {
      const auto page = good(own.driver->scan(own.schema, range, cursor, 300, {}, soon()));
      const auto again = good(own.driver->scan(own.schema, range, cursor, 300, {}, soon()));
      CHECK(again.records.size() == page.records.size());
      for (const auto& one : page.records) seen.insert(one.key);
      if (page.done) break;
      cursor = page.cursor;
    }
  }
  CHECK(seen.size() == count - 100);
  CHECK(std::set<model::Key>(seen.begin(), seen.end()).size() == count - 100);
}

TEST_CASE("a scan of text keys, and of an empty collection") {
  OwnCollection own(simple(model::IdKind::string));
  auto ranges = good(own.driver->plan_scan(own.schema, 4, soon()));
  for (const auto& range : ranges) CHECK(good(own.driver->scan(own.schema, range, "", 10, {}, soon())).done);
  put(*own.driver, own.schema, records(0, 120, true));
  std::set<model::Key> seen;
  for (const auto& range : good(own.driver->plan_scan(own.schema, 4, soon()))) {
    std::string cursor;
    for (bool done = false; !done;) {
      auto page = good(own.driver->scan(own.schema, range, cursor, 50, {false, true}, soon()));
      for (const auto& one : page.records) {
        CHECK(one.vectors.empty());
        seen.insert(one.key);
      }
      cursor = page.cursor;
      done = page.done;
    }
  }
  CHECK(seen.size() == 120);
}

TEST_CASE("filters, limits and offsets agree with the model's meaning") {
  OwnCollection own(simple());
  auto all = records(0, 30);
  for (auto& one : all) {
    const auto n = std::get<int64_t>(one.key.id.value);
    if (n % 3 == 0) one.metadata->erase("n");
    if (n % 5 == 0) (*one.metadata)["n"] = "text";
    if (n % 7 == 0) (*one.metadata)["n"] = static_cast<double>(n);
  }
  put(*own.driver, own.schema, all);
  using Kind = Filter::Kind;
  const auto compare = [](Kind kind, model::Value value, bool absent) {
    Filter f = Filter::make(kind, Filter::field_of("n"), Filter::literal_of(std::move(value)));
    f.absent_matches = absent;
    return f;
  };
  Filter exists;
  exists.kind = Kind::exists;
  exists.children.push_back(Filter::field_of("n"));
  std::vector<Filter> filters{
      Filter(),
      exists,
      Filter::not_(exists),
      Filter::make(Kind::greater, Filter::record_id(), Filter::literal_of(17)),
      Filter::make(Kind::equal, Filter::field_of("deep", {"n"}), Filter::literal_of(4)),
      Filter::make(Kind::array_contains, Filter::field_of("deep", {"list"}), Filter::literal_of("a")),
      Filter::all({compare(Kind::less, 20, false), compare(Kind::not_equal, 4, true)}),
      Filter::any({}),
      Filter::all({})};
  for (const Kind kind : {Kind::equal, Kind::not_equal, Kind::less, Kind::greater_equal}) {
    for (const bool absent : {false, true}) {
      for (const model::Value& value :
           {model::Value(14), model::Value(7.0), model::Value("text"), model::Value(true), model::Value(2.5)})
        filters.push_back(compare(kind, value, absent));
    }
  }
  for (const Kind kind : {Kind::in, Kind::not_in}) {
    for (const bool absent : {false, true}) {
      filters.push_back(compare(kind, Array{1, 2, "text"}, absent));
      filters.push_back(compare(kind, Array{7, 14}, absent));
      filters.push_back(compare(kind, Array{}, absent));
    }
  }
  for (size_t i = 0; i < filters.size(); ++i) {
    model::Query query;
    query.collection = own.schema.name;
    query.filter = filters[i];
    std::vector<int64_t> wanted;
    for (const auto& one : all) {
      if (evaluate(filters[i], one)) wanted.push_back(std::get<int64_t>(one.key.id.value));
    }
    INFO("filter " << i);
    if (is_lite()) {
      // Its grammar has no "exists": what turns on it is refused, never answered wrongly.
      const auto answered = own.driver->query(own.schema, query, soon());
      if (!answered && answered.error().message.starts_with("filter.exists:")) continue;
    }
    CHECK(ids(good(own.driver->query(own.schema, query, soon()))) == wanted);
    query.kind = model::Query::Kind::count;
    CHECK(good(own.driver->query(own.schema, query, soon())).count == wanted.size());
  }
  model::Query page;
  page.collection = own.schema.name;
  page.limit = 5;
  page.offset = 12;
  CHECK(ids(good(own.driver->query(own.schema, page, soon()))) == std::vector<int64_t>{12, 13, 14, 15, 16});
  page.keys = keys_of(records(3, 9));
  page.offset = 1;
  page.limit = 2;
  CHECK(ids(good(own.driver->query(own.schema, page, soon()))) == std::vector<int64_t>{4, 5});
}

TEST_CASE("searches give distances in the model's form, for each metric") {
  for (const auto metric : {model::Metric::l2, model::Metric::cosine, model::Metric::inner_product}) {
    OwnCollection own(simple(model::IdKind::i64, metric));
    put(*own.driver, own.schema, records(1, 20));
    model::Query query;
    query.kind = model::Query::Kind::search;
    query.collection = own.schema.name;
    query.vector_name = "vector";
    query.vectors = {model::DenseVector{3, 1.5f, 1, 0.25f}, model::DenseVector{1, 0, 0, 0}};
    query.top_k = 5;
    query.with_vectors = true;
    const auto found = good(own.driver->query(own.schema, query, soon()));
    REQUIRE(found.hits.size() == 2);
    for (size_t q = 0; q < 2; ++q) {
      REQUIRE(found.hits[q].size() == 5);
      const auto& a = std::get<model::DenseVector>(query.vectors[q]);
      double before = -1e9;
      for (const auto& hit : found.hits[q]) {
        const auto& b = std::get<model::DenseVector>(hit.record.vectors.at("vector"));
        double dot = 0, aa = 0, bb = 0, squares = 0;
        for (size_t i = 0; i < 4; ++i) {
          dot += double(a[i]) * b[i];
          aa += double(a[i]) * a[i];
          bb += double(b[i]) * b[i];
          squares += (double(a[i]) - b[i]) * (double(a[i]) - b[i]);
        }
        const double wanted = metric == model::Metric::l2       ? squares
                              : metric == model::Metric::cosine ? 1 - dot / std::sqrt(aa * bb)
                                                                : 1 - dot;
        CHECK(hit.distance == Approx(wanted).margin(1e-4));
        CHECK(hit.distance >= before - 1e-5);
        CHECK(hit.record.metadata.has_value());
        before = hit.distance;
      }
    }
    query.radius = found.hits[0][3].distance;
    query.vectors.resize(1);
    query.filter = Filter::make(Filter::Kind::greater, Filter::record_id(), Filter::literal_of(0));
    query.top_k = 10;
    if (metric == model::Metric::l2)
      CHECK(good(own.driver->query(own.schema, query, soon())).hits[0].size() <= 3);
  }
}

TEST_CASE("a vector without a name and ids of another system's schema find their place") {
  model::Schema foreign = simple(model::IdKind::string, model::Metric::cosine);
  foreign.vectors[0].name = "";
  foreign.id_name = "not a legal name";
  OwnCollection own(foreign);
  Record one = record(1, true);
  one.vectors[""] = one.vectors.at("vector");
  one.vectors.erase("vector");
  put(*own.driver, own.wanted, {one});
  check_same(good(own.driver->read(own.wanted, keys_of({one}), {}, soon())), {one});
  model::Query query;
  query.kind = model::Query::Kind::search;
  query.collection = own.wanted.name;
  query.vectors = {one.vectors.at("")};
  query.with_vectors = true;
  const auto found = good(own.driver->query(own.wanted, query, soon()));
  REQUIRE(found.hits.at(0).size() == 1);
  CHECK(found.hits[0][0].record.vectors.contains(""));
}

TEST_CASE("declared fields keep their types") {
  model::Schema schema = simple();
  using model::FieldKind;
  schema.fields = {{"flag", FieldKind::boolean, FieldKind::json, 0, false},
                   {"small", FieldKind::int16, FieldKind::json, 0, false},
                   {"real", FieldKind::float32, FieldKind::json, 0, false},
                   {"text", FieldKind::string, FieldKind::json, 100, false},
                   {"any", FieldKind::json, FieldKind::json, 0, false},
                   {"list", FieldKind::array, FieldKind::int64, 10, false}};
  OwnCollection own(schema);
  REQUIRE(own.schema.fields.size() == 6);
  CHECK(own.schema.fields[5].element == FieldKind::int64);
  Record one = record(1);
  one.metadata = Object{{"flag", true},
                        {"small", -5},
                        {"real", 0.5},
                        {"text", "t"},
                        {"any", Object{{"a", Array{1, nullptr}}}},
                        {"list", Array{1, 2, 3}},
                        {"dynamic", "too"}};
  put(*own.driver, own.schema, {one});
  check_same(good(own.driver->read(own.schema, keys_of({one}), {}, soon())), {one});
  Record list = one;
  list.key = record(2).key;
  (*list.metadata)["any"] = Array{1, 2};
  const auto applied =
      good(own.driver->upsert(own.schema, std::vector{one, list}, UpsertMode::replace, soon()));
  CHECK(applied.refused.size() == (own.driver->capabilities().declared_json_any ? 0 : 1));
  model::Query query;
  query.collection = own.schema.name;
  query.keys = keys_of({one});
  query.filter = Filter::all(
      {Filter::make(Filter::Kind::less, Filter::field_of("small"), Filter::literal_of(-4.5)),
       Filter::make(Filter::Kind::array_contains, Filter::field_of("list"), Filter::literal_of(2)),
       Filter::make(Filter::Kind::equal, Filter::field_of("text"), Filter::literal_of("t"))});
  CHECK(ids(good(own.driver->query(own.schema, query, soon()))) == std::vector<int64_t>{1});
}

TEST_CASE("collections are listed, described, created once, dropped once") {
  OwnCollection own(simple());
  CHECK(own.schema.id_kind == model::IdKind::i64);
  CHECK(own.schema.dynamic);
  CHECK(own.schema.vectors.at(0).dimension == 4);
  CHECK(own.schema.vectors.at(0).metric == model::Metric::l2);
  const auto again = own.driver->create(own.wanted, soon());
  REQUIRE(again.has_error());
  CHECK(again.error().code == Code::already_exists);
  const auto all = good(own.driver->list_collections(soon()));
  CHECK(std::any_of(all.begin(), all.end(), [&](const auto& s) { return s.name == own.schema.name; }));
  CHECK_FALSE(good(own.driver->describe({"", "no_such_collection"}, soon())).has_value());
  const auto absent = own.driver->drop({"", "no_such_collection"}, soon());
  REQUIRE(absent.has_error());
  CHECK(absent.error().code == Code::not_found);
  good(own.driver->build_indexes(own.schema, soon()));
}

TEST_CASE(
    "a collection whose dimension is not known yet is there, empty, and takes that of its first records") {
  model::Schema schema = simple(model::IdKind::string, model::Metric::cosine);
  schema.vectors[0].name = "";
  schema.vectors[0].dimension = 0;
  OwnCollection own(schema);
  CHECK(own.schema.vectors.at(0).dimension == 0);
  model::Query search;
  search.kind = model::Query::Kind::search;
  search.collection = own.wanted.name;
  search.vectors = {model::DenseVector{1, 2, 3, 4}};
  model::Query count;
  count.kind = model::Query::Kind::count;
  count.collection = own.wanted.name;
  CHECK(good(own.driver->query(own.wanted, search, soon())).hits.at(0).empty());
  CHECK(good(own.driver->query(own.wanted, count, soon())).count == 0);
  CHECK(own.driver->create(own.wanted, soon()).error().code == Code::already_exists);

  // Several first writes at once, and reads beside them: none fails, nothing is lost.
  std::vector<Record> all = records(0, 40, true);
  for (auto& one : all) {
    one.vectors[""] = one.vectors.at("vector");
    one.vectors.erase("vector");
  }
  CHECK(good(own.driver->read(own.wanted, keys_of(all), {}, soon())).empty());
  std::mutex mutex;
  std::vector<std::string> errors;
  const auto note = [&](const std::string& during, const Error& error) {
    std::lock_guard hold(mutex);
    errors.push_back(during + ": " + error.message);
  };
  std::atomic<bool> written{false};
  std::vector<std::thread> threads;
  for (size_t part = 0; part < 4; ++part) {
    threads.emplace_back([&, part] {
      const auto done =
          own.driver->upsert(own.wanted, std::span(all).subspan(part * 10, 10), UpsertMode::replace, soon());
      if (!done) note("a write", done.error());
      if (done && !done->refused.empty()) note("a write", done->refused[0].error);
    });
  }
  std::thread reader([&] {
    while (!written) {
      for (const auto* query : {&search, &count}) {
        const auto found = own.driver->query(own.wanted, *query, soon());
        if (!found) note("a read", found.error());
      }
    }
  });
  // What lanes of other keys do at that time.
  std::thread others([&] {
    const auto absent = keys_of(records(100, 102, true));
    while (!written) {
      if (const auto erased = own.driver->erase(own.wanted, absent, soon()); !erased)
        note("an erase", erased.error());
      const auto made = own.driver->create(own.wanted, soon());
      if (made || made.error().code != Code::already_exists)
        note("a create", made ? Error(Code::internal, "made twice") : made.error());
    }
  });
  for (auto& thread : threads) thread.join();
  written = true;
  reader.join();
  others.join();
  CHECK(errors == std::vector<std::string>());
  check_same(good(own.driver->read(own.wanted, keys_of(all), {}, soon())), all);
  const auto settled = *good(own.driver->describe(own.wanted.name, soon()));
  CHECK(settled.vectors.at(0).dimension == 4);
  CHECK(settled.vectors.at(0).metric == model::Metric::cosine);
  CHECK(good(own.driver->query(own.wanted, search, soon())).hits.at(0).size() == 10);
  // Another dimension is refused from now on, as where it was known from the beginning.
  Record other = all[0];
  other.vectors[""] = model::DenseVector{1, 2};
  const std::vector<Record> misfits{other};
  CHECK(good(own.driver->upsert(own.wanted, misfits, UpsertMode::replace, soon())).refused.size() == 1);
}

TEST_CASE(
    "a collection with an open dimension that is gone is the caller's to make: what it held may be gone, too") {
  model::Schema schema = simple();
  schema.vectors[0].dimension = 0;
  OwnCollection own(schema);
  good(own.driver->drop(own.wanted.name,
                        soon()));  // also what a crash leaves between the two steps of settling
  const auto all = records(0, 3);
  const auto refused = own.driver->upsert(own.wanted, all, UpsertMode::replace, soon());
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == Code::not_found);
  good(own.driver->create(own.wanted, soon()));
  put(*own.driver, own.wanted, all);
  check_same(good(own.driver->read(own.wanted, keys_of(all), {}, soon())), all);
}

TEST_CASE("names are legal, stable and distinct") {
  const auto driver = make_driver();
  CHECK(driver->name_for({"default_tenant/default_database", "books"}).name == "books");
  const auto odd = driver->name_for({"", "my-books 2"});
  CHECK(odd.name != driver->name_for({"", "my_books_2"}).name);
  CHECK(odd == driver->name_for({"", "my-books 2"}));
  CHECK(driver->name_for({"other/space", "books"}).name != "books");
  CHECK(driver->name_for({"", std::string(400, 'x')}).name.size() <= 255);
}

TEST_CASE("errors say what they prove") {
  OwnCollection own(simple());
  model::Schema unknown = own.schema;
  unknown.name.name = "no_such_collection";
  const auto one = records(1, 2);
  const auto lost = own.driver->upsert(unknown, one, UpsertMode::replace, soon());
  REQUIRE(lost.has_error());
  CHECK(lost.error().code == Code::not_found);
  CHECK(lost.error().surely_not_done());
  static SystemClock clock;
  auto nobody =
      good(milvus::system().make_driver({"test", "http://127.0.0.1:1", "", "", "", "", false}, clock));
  const auto refused = nobody->describe_server(SystemClock().in(std::chrono::seconds(5)));
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == Code::refused_connection);
}

TEST_CASE("a query too hard for the server's grammar is unsupported, with a code") {
  OwnCollection own(simple());
  model::Query query;
  query.collection = own.schema.name;
  query.filter = Filter::make(Filter::Kind::matches, Filter::field_of("name"), Filter::literal_of("a.*"));
  const auto refused = own.driver->query(own.schema, query, soon());
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == Code::unsupported);
  CHECK(refused.error().message.starts_with("filter.regex:"));
}

TEST_CASE("partitions keep the same key apart", "[partitions]") {
  if (is_lite()) return;  // Milvus Lite has no partitions
  model::Schema schema = simple();
  schema.partitions = {"old"};
  OwnCollection own(schema);
  CHECK(own.schema.partitions == std::vector<std::string>{"old"});
  Record here = record(1);
  Record there = record(2);
  there.key = {"old", {int64_t{1}}};
  put(*own.driver, own.schema, {here, there, record(3)});
  check_same(good(own.driver->read(own.schema, keys_of({here, there}), {}, soon())), {here, there});
  std::set<model::Key> seen;
  for (const auto& range : good(own.driver->plan_scan(own.schema, 2, soon()))) {
    std::string cursor;
    for (bool done = false; !done;) {
      auto page = good(own.driver->scan(own.schema, range, cursor, 50, {}, soon()));
      for (const auto& one : page.records) seen.insert(one.key);
      cursor = page.cursor;
      done = page.done;
    }
  }
  CHECK(seen == std::set<model::Key>{here.key, there.key, record(3).key});
  const std::vector<model::Key> gone{there.key};
  good(own.driver->erase(own.schema, gone, soon()));
  CHECK(good(own.driver->read(own.schema, keys_of({here, there}), {}, soon())).size() == 1);
}

TEST_CASE("a query says which partition each record is in, and orders by id over all of them",
          "[partitions]") {
  if (is_lite()) return;
  model::Schema schema = simple();
  schema.partitions = {"new", "old"};
  OwnCollection own(schema);
  std::vector<Record> all = records(1, 30);
  for (auto& one : all) {
    const auto n = std::get<int64_t>(one.key.id.value);
    one.key.partition = n % 3 == 0 ? "" : n % 3 == 1 ? "new" : "old";
  }
  all.push_back(record(5));  // the same id in two partitions
  put(*own.driver, own.schema, all);
  const auto by_id = [](const Record& a, const Record& b) {
    return std::tie(a.key.id, a.key.partition) < std::tie(b.key.id, b.key.partition);
  };
  std::sort(all.begin(), all.end(), by_id);
  const auto keys = keys_of(all);

  model::Query query;
  query.with_vectors = true;
  auto whole = good(own.driver->query(own.schema, query, soon()));
  CHECK(keys_of(whole.records) == keys);
  check_same(whole.records, all);

  query.with_vectors = false;
  for (const uint64_t limit : {1, 2, 7, 100}) {
    for (const uint64_t offset : {0, 4, 5, 29, 40}) {
      query.limit = limit;
      query.offset = offset;
      const auto from = keys.begin() + static_cast<std::ptrdiff_t>(std::min<uint64_t>(offset, keys.size()));
      const auto to = from + std::min<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(limit), keys.end() - from);
      INFO("limit " << limit << " offset " << offset);
      CHECK(keys_of(good(own.driver->query(own.schema, query, soon())).records) == std::vector(from, to));
    }
  }

  model::Query some;
  some.filter = Filter::make(Filter::Kind::greater, Filter::field_of("n"), Filter::literal_of(26));
  CHECK(keys_of(good(own.driver->query(own.schema, some, soon())).records) ==
        std::vector<model::Key>{{"", {int64_t{27}}}, {"new", {int64_t{28}}}, {"old", {int64_t{29}}}});
  some.partitions = {"old", ""};
  CHECK(keys_of(good(own.driver->query(own.schema, some, soon())).records) ==
        std::vector<model::Key>{{"", {int64_t{27}}}, {"old", {int64_t{29}}}});

  model::Query keyed;
  keyed.keys = std::vector<model::Key>{{"old", {int64_t{5}}}, {"new", {int64_t{5}}}, {"old", {int64_t{4}}}};
  CHECK(keys_of(good(own.driver->query(own.schema, keyed, soon())).records) ==
        std::vector<model::Key>{{"old", {int64_t{5}}}});
  keyed.keys->push_back({"", {int64_t{5}}});
  auto both = good(own.driver->query(own.schema, keyed, soon()));
  CHECK(keys_of(both.records) == std::vector<model::Key>{{"", {int64_t{5}}}, {"old", {int64_t{5}}}});
  keyed.partitions = {"old"};
  keyed.kind = model::Query::Kind::count;
  CHECK(good(own.driver->query(own.schema, keyed, soon())).count == 1);
}

TEST_CASE("a partition that the schema does not know yet hides no record", "[partitions]") {
  if (is_lite()) return;
  model::Schema schema = simple();
  schema.partitions = {"old"};
  OwnCollection own(schema);
  schema.name = own.schema.name;
  schema.partitions = {"old", "late"};
  good(own.driver->alter(schema.name, schema, soon()));
  Record late = record(5), old = record(6);
  late.key.partition = "late";
  old.key.partition = "old";
  put(*own.driver, own.schema, {late, old, record(7)});
  CHECK(keys_of(good(own.driver->query(own.schema, {}, soon())).records) ==
        std::vector<model::Key>{late.key, old.key, record(7).key});
  auto none = own.schema;  // as it was when there was no partition at all
  none.partitions.clear();
  const std::vector<model::Key> wanted{late.key, {"", late.key.id}};
  CHECK(keys_of(good(own.driver->read(own.schema, wanted, {}, soon()))) == std::vector<model::Key>{late.key});
  good(own.driver->erase(none, std::vector<model::Key>{{"old", late.key.id}}, soon()));
  check_same(good(own.driver->read(none, std::vector<model::Key>{late.key}, {}, soon())), {late});
}

TEST_CASE("of a read over several partitions only what is in a released one is refused", "[partitions]") {
  if (is_lite()) return;
  model::Schema schema = simple();
  schema.partitions = {"cold"};
  OwnCollection own(schema);
  std::vector<Record> all{record(1), record(2), record(3)};
  all[1].key.partition = "cold";
  put(*own.driver, own.schema, all);
  const auto on_cold = [&](const char* rpc) {
    milvus::ProtoWriter request = milvus::on_collection(own.schema.name);
    request.always_bytes(4, "cold");
    command(rpc, request);
  };
  on_cold("ReleasePartitions");
  const auto found = good(own.driver->read_each(own.schema, keys_of(all), {}, soon()));
  check_same(found.records, {all[0], all[2]});
  REQUIRE(found.refused.size() == 1);
  CHECK(found.refused[0].index == 1);
  CHECK(found.refused[0].error.message.find("partition 'cold'") != std::string::npos);
  CHECK(own.driver->read(own.schema, keys_of(all), {}, soon()).has_error());
  on_cold("LoadPartitions");
  // Until it is loaded a read says so, or refuses the key; it never says that the record is not there.
  for (bool whole = false; !whole;) {
    const auto again = own.driver->read_each(own.schema, keys_of(all), {}, soon());
    whole = again && again->refused.empty();
    if (whole) check_same(again->records, all);
  }
}

TEST_CASE("a partition that was dropped at the server is no obstacle", "[partitions]") {
  if (is_lite()) return;
  model::Schema schema = simple();
  schema.partitions = {"gone", "cold", "colder"};
  OwnCollection own(schema);
  std::vector<Record> all{record(5), record(6), record(7), record(8)};
  all[0].key.partition = "gone";
  all[2].key.partition = "cold";
  all[3].key.partition = "colder";
  put(*own.driver, own.schema, all);
  const auto ranges = good(own.driver->plan_scan(own.schema, 1, soon()));
  const auto scanned = [&](const std::vector<ScanRange>& some) {
    std::set<model::Key> seen;
    for (const auto& range : some) {
      std::string cursor;
      for (bool done = false; !done;) {
        auto page = good(own.driver->scan(own.schema, range, cursor, 50, {}, soon()));
        for (const auto& one : page.records) seen.insert(one.key);
        cursor = page.cursor;
        done = page.done;
      }
    }
    return seen;
  };
  CHECK(scanned(ranges).size() == 4);
  const auto on_partitions = [&](const char* rpc, std::initializer_list<const char*> names) {
    milvus::ProtoWriter request = milvus::on_collection(own.schema.name);
    for (const char* name : names) request.always_bytes(4, name);
    command(rpc, request);
  };

  on_partitions("ReleasePartitions", {"gone"});
  on_partitions("DropPartition", {"gone"});
  const std::vector<model::Key> wanted = keys_of({all[0], all[1], all[2]});
  check_same(good(own.driver->read(own.schema, wanted, {}, soon())), {all[1], all[2]});
  auto none = own.schema;  // as it was when there was no partition at all
  none.partitions.clear();
  check_same(good(own.driver->read(none, wanted, {}, soon())), {all[1], all[2]});
  CHECK(scanned(ranges) == std::set<model::Key>{all[1].key, all[2].key, all[3].key});
  CHECK(good(own.driver->plan_scan(own.schema, 2, soon())).size() == ranges.size() - 1);
  model::Query above;
  above.filter = Filter::make(Filter::Kind::greater, Filter::field_of("n"), Filter::literal_of(5));
  CHECK(keys_of(good(own.driver->query(own.schema, above, soon())).records) ==
        keys_of({all[1], all[2], all[3]}));
  good(own.driver->erase(own.schema, wanted, soon()));
  check_same(good(own.driver->read(own.schema, keys_of(all), {}, soon())), {all[3]});
  // It comes back with the next batch's alter; nothing of that batch is done before.
  const std::vector<Record> late{record(5), all[0]};
  const auto refused = own.driver->upsert(own.schema, late, UpsertMode::replace, soon());
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == Code::not_found);
  good(own.driver->alter(own.schema.name, own.schema, soon()));
  put(*own.driver, own.schema, late);
  check_same(good(own.driver->read(own.schema, keys_of(late), {}, soon())), late);
}
