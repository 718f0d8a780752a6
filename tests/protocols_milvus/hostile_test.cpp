// Answers and requests that no honest server or SDK sends. Found by tests/fuzz.
#include <catch2/catch.hpp>

#include "base/clock.h"
#include "memory_backend.h"
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
}
