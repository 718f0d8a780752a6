// Answers and requests that no honest server or SDK sends. Found by tests/fuzz.
#include <catch2/catch.hpp>

#include "base/clock.h"
#include "memory_backend.h"
#include "model/codec.h"
#include "protocols/milvus/dialect.h"
#include "protocols/milvus/driver.h"
#include "protocols/milvus/requests.h"
#include "protocols/milvus/rows.h"
#include "protocols/milvus/search.h"
#include "protocols/wire/grpc.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using namespace vmproxy::protocols::milvus;

namespace {

// A collection of keys and vectors, and the driver of a server that answers searches with given lists.
struct Things {
  Things() {
    described.name = "things";
    described.schema.name = "things";
    described.schema.fields.resize(2);
    described.schema.fields[0].name = "id";
    described.schema.fields[0].type = DataType::int64;
    described.schema.fields[0].primary = true;
    described.schema.fields[1].name = "vector";
    described.schema.fields[1].type = DataType::float_vector;
    described.schema.fields[1].type_params = {{"dim", "2"}};
    schema.name = {"", "things"};
    schema.vectors.push_back({"vector", model::VectorKind::dense_f32, 2, model::Metric::l2, {}});
  }

  Result<model::QueryResult> search(const SearchAnswer& lists) {
    ProtoWriter results;
    for (const float score : lists.scores) results.always_f32(4, score);
    ProtoWriter longs, texts, ids;
    longs.packed(1, lists.ids.longs);
    for (const auto& text : lists.ids.texts) texts.always_bytes(1, text);
    ids.bytes(1, longs.view());
    ids.bytes(2, texts.view());
    results.bytes(5, ids.view());
    results.packed(6, lists.top_ks);
    ProtoWriter answer;
    answer.always_bytes(1, encode(Status()));
    answer.always_bytes(2, results.view());
    MilvusDriver driver(Client({},
                               [&](const std::string& path, const net::Headers&, const std::string&,
                                   Deadline) -> Result<std::string> {
                                 return path.ends_with("/DescribeCollection") ? encode(described)
                                                                              : answer.view();
                               }),
                        "default", clock);
    model::Query query;
    query.kind = model::Query::Kind::search;
    query.collection = schema.name;
    query.vector_name = "vector";
    query.vectors = {model::DenseVector{1, 2}};
    return driver.query(schema, query, clock.in(std::chrono::seconds(5)));
  }

  Described described;
  model::Schema schema;
  SystemClock clock;
};

// Records 1, 2, ... with a JSON field each, shown as Milvus holds them.
struct Documents : Things {
  explicit Documents(std::vector<std::string> texts) {
    described.schema.fields.resize(3);
    described.schema.fields[2].name = "info";
    described.schema.fields[2].type = DataType::json;
    for (size_t i = 0; i < texts.size(); ++i) {
      ids.longs.push_back(static_cast<int64_t>(i) + 1);
      vectors.floats.insert(vectors.floats.end(), {1, 2});
    }
    ids.name = "id";
    ids.type = DataType::int64;
    vectors.name = "vector";
    vectors.type = DataType::float_vector;
    vectors.dimension = 2;
    infos.name = "info";
    infos.type = DataType::json;
    infos.texts = std::move(texts);
  }

  std::string answer(const std::string& path, const std::string& message) const {
    if (path.ends_with("/DescribeCollection")) return encode(described);
    ProtoWriter out;
    out.always_bytes(1, encode(Status()));
    if (!path.ends_with("/Query")) return out.take();
    Column count;
    count.type = DataType::int64;
    count.name = "count(*)";
    count.longs = {0};
    const bool counts = message.find(count.name) != std::string::npos;
    const bool behind = message.find("id > " + std::to_string(ids.longs.size())) != std::string::npos;
    if (counts) out.always_bytes(2, encode(count));
    if (counts || behind) return out.take();
    for (const auto* column : {&infos, &ids, &vectors}) out.always_bytes(2, encode(*column));
    return out.take();
  }
  ReadResult read() {
    std::vector<model::Key> keys;
    for (const auto id : ids.longs) keys.push_back(key_of(id));
    return driver.read_each(schema, keys, {}, soon).value();
  }

  Column ids, vectors, infos;
  MilvusDriver driver{Client({},
                             [this](const std::string& path, const net::Headers&, const std::string& message,
                                    Deadline) -> Result<std::string> { return answer(path, message); }),
                      "default", clock};
  Deadline soon = clock.in(std::chrono::seconds(5));
};

std::string nested(size_t levels) {
  return std::string(levels, '[') + std::string(levels, ']');
}

// Of the answer to a call, where it is the message's first field.
Status status_of(const MilvusDialect& dialect, Backend& backend, const std::string& call,
                 const ProtoWriter& message) {
  const std::string path = "/milvus.proto.milvus.MilvusService/" + call;
  net::RequestHead head;
  head.method = "POST";
  head.target = path;
  const net::Request request{"POST", path, {}, wire::grpc_frame(message.view())};
  const auto answer = dialect.serve(*dialect.classify(head), request, backend);
  const std::string answered = wire::grpc_message(answer.value().body, "", 1 << 20).value();
  ProtoReader reader(answered);
  REQUIRE(reader.next());
  REQUIRE(reader.field() == 1);
  return read_status(reader.bytes()).value();
}

}  // namespace

TEST_CASE("lists of hits whose lengths do not add up are refused, also when their sum wraps around") {
  Things things;
  SearchAnswer lists;
  lists.scores = {0.5, 1};
  lists.ids.longs = {1, 2};
  lists.top_ks = {2};
  CHECK(things.search(lists).value().hits[0].size() == 2);
  const std::vector<std::vector<int64_t>> wrong{
      {3}, {1}, {3, -1}, {INT64_MAX, INT64_MAX, 4}, {2, INT64_MIN, INT64_MIN}};
  for (const auto& lengths : wrong) {
    lists.top_ks = lengths;
    const auto found = things.search(lists);
    REQUIRE_FALSE(found.has_value());
    CHECK(found.error().code == Code::corrupt);
  }
}

TEST_CASE("ids of both kinds in one answer are refused when those that count are too few") {
  Things things;
  SearchAnswer lists;
  lists.scores = {0.5, 1};
  lists.ids.longs = {1};
  lists.ids.texts = {"a", "b"};
  lists.top_ks = {2};
  const auto found = things.search(lists);
  REQUIRE_FALSE(found.has_value());
  CHECK(found.error().code == Code::corrupt);
}

TEST_CASE("rows that are announced and do not come take no memory") {
  Things things;
  Column ids;
  ids.type = DataType::int64;
  ids.name = "id";
  ids.longs = {1};
  const auto rows = read_rows(things.described.schema, {ids}, 0xffffffff, {});
  REQUIRE_FALSE(rows.has_value());
  CHECK(rows.error().message == "field 'id': it has 1 rows, 4294967295 were announced");
}

TEST_CASE("a window that wraps around is refused") {
  const MilvusDialect dialect;
  Things things;
  test::MemoryBackend backend;
  Collection shown;
  shown.described = things.described;
  backend.catalog_.collections.push_back(to_schema(shown));
  const auto asked = [&](const std::string& call, ProtoWriter message, const char* limit) {
    write_pairs(message, 9, {{limit, "9223372036854775808"}, {"offset", "9223372036854775808"}});
    return status_of(dialect, backend, call, message).reason;
  };
  ProtoWriter query;
  query.bytes(3, "things");
  query.bytes(4, "id < 5");
  CHECK(asked("Query", std::move(query), "limit") == "limit [9223372036854775808] is invalid");
  SearchRequest search;
  search.collection = "things";
  search.field = "vector";
  search.vectors = {model::DenseVector{1, 2}};
  ProtoWriter raw;
  raw.raw(encode(search));
  CHECK(asked("Search", std::move(raw), "topk") == "topk [9223372036854775808] is invalid");
}

TEST_CASE("a declared field is in every row, as a column of its own: filters rely on it") {
  const MilvusDialect dialect;
  Things things;
  things.described.schema.dynamic = true;
  FieldSchema year;
  year.name = "year";
  year.type = DataType::int32;
  things.described.schema.fields.push_back(year);
  test::MemoryBackend backend;
  Collection shown;
  shown.described = things.described;
  backend.catalog_.collections.push_back(to_schema(shown));
  const auto inserted = [&](std::vector<uint8_t> valid, const char* meta) {
    Column ids, vectors, years, members;
    ids.name = "id";
    ids.type = DataType::int64;
    ids.longs = {1};
    vectors.name = "vector";
    vectors.type = DataType::float_vector;
    vectors.dimension = 2;
    vectors.floats = {1, 2};
    years.name = "year";
    years.type = DataType::int32;
    years.ints = {5};
    years.valid = std::move(valid);
    members.type = DataType::json;
    members.dynamic = true;
    members.texts = {meta};
    ProtoWriter message;
    message.bytes(3, "things");
    for (const auto* column : {&ids, &vectors, &years, &members}) message.always_bytes(5, encode(*column));
    message.u64(7, 1);
    return status_of(dialect, backend, "Insert", message);
  };
  CHECK(inserted({0}, R"({"other": 1})").code == 1100);
  CHECK(inserted({}, R"({"year": "x"})").code == 1100);
  CHECK(inserted({}, R"({"\u0079ear": {"a": 1}})").reason.find("'year'") != std::string::npos);
  CHECK(inserted({1}, R"({"other": 1})").code == 0);
  const std::string deep = R"({"year": "x", "deep": )" + nested(200) + "}";
  CHECK(inserted({1}, deep.c_str()).reason.find("'year'") != std::string::npos);
  // What cannot be carried is refused for the field that holds it.
  const auto half = inserted({1}, R"({"other": "\ud83d"})");
  CHECK(half.code != 0);
  CHECK(half.reason.starts_with("field '$meta': holds JSON that cannot be carried exactly: "));
}

TEST_CASE("a record with JSON that cannot be carried is refused by its key, and the others are read") {
  Documents milvus({R"({"a": 1})", R"({"a": "\ud83d"})"});
  const auto read = milvus.read();
  REQUIRE(read.records.size() == 1);
  CHECK(read.records[0].key == key_of(1));
  CHECK(read.records[0].metadata->at("info") == model::Value(model::Object{{"a", int64_t{1}}}));
  REQUIRE(read.refused.size() == 1);
  CHECK(read.refused[0].index == 1);
  CHECK(
      read.refused[0].error.message.starts_with("field 'info': holds JSON that cannot be carried exactly: "));
  CHECK_FALSE(read.refused[0].error.retryable());

  // It is the last of its page: the next one begins behind it.
  const auto ranges = milvus.driver.plan_scan(milvus.schema, 1, milvus.soon).value();
  const auto page = milvus.driver.scan(milvus.schema, ranges.at(0), "", 10, {}, milvus.soon).value();
  CHECK(page.records.size() == 1);
  REQUIRE(page.unread.size() == 1);
  CHECK(page.unread[0].key == key_of(2));
  CHECK_FALSE(page.done);
  const auto end = milvus.driver.scan(milvus.schema, ranges.at(0), page.cursor, 10, {}, milvus.soon).value();
  CHECK(end.done);
  CHECK(end.unread.empty());

  // A query cannot be answered without it.
  model::Query query;
  query.kind = model::Query::Kind::get;
  const auto found = milvus.driver.query(milvus.schema, query, milvus.soon);
  REQUIRE_FALSE(found.has_value());
  CHECK(found.error().message.find("record '2': field 'info'") != std::string::npos);
}

TEST_CASE("a page of which no record can be read does not end a scan") {
  Documents milvus({R"({"a": NaN})", R"({"a": 1e400})", "\xff"});
  const auto ranges = milvus.driver.plan_scan(milvus.schema, 1, milvus.soon).value();
  const auto page = milvus.driver.scan(milvus.schema, ranges.at(0), "", 10, {}, milvus.soon).value();
  CHECK(page.records.empty());
  CHECK(page.unread.size() == 3);
  CHECK_FALSE(page.done);
  CHECK(milvus.driver.scan(milvus.schema, ranges.at(0), page.cursor, 10, {}, milvus.soon).value().done);
}

TEST_CASE("JSON is read as deep as other systems' documents are, and can be kept") {
  Documents milvus({nested(127), nested(1011), nested(2000)});
  const auto read = milvus.read();
  REQUIRE(read.records.size() == 2);
  for (const auto& record : read.records) {
    const auto kept = model::decode_record(model::encode_record(record));
    REQUIRE(kept.has_value());
    CHECK(kept->metadata == record.metadata);
  }
  REQUIRE(read.refused.size() == 1);
  CHECK(read.refused[0].index == 2);
}
