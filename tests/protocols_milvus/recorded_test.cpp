// Exchanges of the vendor's SDK with the real server: read, written again, decoded, judged.
#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>
#include <random>
#include <set>
#include <sstream>

#include "memory_backend.h"
#include "protocols/milvus/client.h"
#include "protocols/milvus/dialect.h"
#include "protocols/milvus/half.h"
#include "protocols/milvus/requests.h"
#include "protocols/milvus/rows.h"
#include "protocols/milvus/search.h"
#include "protocols/wire/grpc.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using namespace vmproxy::protocols::milvus;
using vmproxy::protocols::milvus::test::MemoryBackend;

namespace {

struct Exchange {
  std::string rpc, request, answer;
};

std::string from_hex(const std::string& text) {
  std::string out;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    out += static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16));
  return out;
}

const std::vector<Exchange>& recorded() {
  static const auto all = [] {
    std::vector<Exchange> out;
    std::ifstream file(VMPROXY_TEST_DATA "/recorded-2.3.5.txt");
    for (std::string line; std::getline(file, line);) {
      if (line.empty() || line[0] == '#') continue;
      std::istringstream words(line);
      std::string rpc, request, answer;
      words >> rpc >> request >> answer;
      out.push_back({rpc, request == "-" ? "" : from_hex(request), answer == "-" ? "" : from_hex(answer)});
    }
    return out;
  }();
  return all;
}

net::Request request_of(const Exchange& exchange) {
  return {"POST",
          "/milvus.proto.milvus.MilvusService/" + exchange.rpc,
          {{"content-type", "application/grpc"}, {"dbname", ""}},
          wire::grpc_frame(exchange.request)};
}

net::Response response_of(const Exchange& exchange) {
  net::Response response;
  response.headers = {{"content-type", "application/grpc"}};
  response.body = wire::grpc_frame(exchange.answer);
  response.trailers = {{"grpc-status", "0"}};
  return response;
}

const OperationRow* row_of(const MilvusDialect& dialect, const std::string& rpc) {
  net::RequestHead head;
  head.method = "POST";
  head.target = "/milvus.proto.milvus.MilvusService/" + rpc;
  return dialect.classify(head);
}

// What the source showed of its collections in the recording.
Catalog catalog() {
  Catalog out;
  out.server = model::Object{{"version", "v2.3.5-lite"}};
  for (const auto& one : recorded()) {
    if (one.rpc != "DescribeCollection") continue;
    Status status;
    auto described = read_described(one.answer, &status);
    if (!described || !status.ok() || out.find({"", described->name}) != nullptr) continue;
    Collection collection;
    collection.described = std::move(*described);
    out.collections.push_back(to_schema(collection));
  }
  return out;
}

}  // namespace

TEST_CASE("every recorded call is in the table and decodes") {
  const MilvusDialect dialect;
  const Catalog known = catalog();
  REQUIRE(known.collections.size() == 3);
  REQUIRE(recorded().size() > 100);
  for (const auto& one : recorded()) {
    INFO(one.rpc);
    const auto* row = row_of(dialect, one.rpc);
    REQUIRE(row != nullptr);
    CHECK(row->cls != OperationClass::unknown);
    if (row->cls != OperationClass::write && row->cls != OperationClass::read) continue;
    const auto operation = dialect.decode(*row, request_of(one), known);
    if (!operation) {
      CHECK(operation.error().code ==
            Code::not_found);  // a call on a collection that does not exist, or an alias
      continue;
    }
    CHECK_FALSE(operation->collection.name.empty());
    if (one.rpc == "Upsert") {
      CHECK(operation->write_class == WriteClass::image);
      const auto images = dialect.images(*row, request_of(one), known);
      REQUIRE(images.has_value());
      CHECK(images->size() == operation->keys.size());
      for (const auto& image : *images) CHECK(image.record->vectors.size() == 1);
    }
    if (one.rpc == "Insert") CHECK(operation->write_class == WriteClass::read_back);
    const auto outcome = dialect.outcome(*operation, response_of(one));
    Status status;
    ProtoReader reader(one.answer);
    while (reader.next()) {
      if (reader.field() == 1) status = *read_status(reader.bytes());
    }
    CHECK(outcome.whole == (status.ok() ? model::Outcome::applied : model::Outcome::rejected));
  }
}

TEST_CASE("a read that only Milvus itself can answer is decoded to its code") {
  const MilvusDialect dialect;
  const std::vector<std::pair<std::string, std::string>> calls{{"HybridSearch", "records.hybrid_search"},
                                                               {"CalcDistance", "records.calc_distance"}};
  for (const auto& [call, code] : calls) {
    const auto operation = dialect.decode(*row_of(dialect, call), request_of({call, "", ""}), catalog());
    REQUIRE_FALSE(operation.has_value());
    CHECK(operation.error().code == Code::unsupported);
    CHECK(operation.error().message.starts_with(code + ": "));
  }
}

TEST_CASE("deletes are by key where the expression is a list of keys, by predicate otherwise") {
  const MilvusDialect dialect;
  const Catalog known = catalog();
  const auto decoded = [&](const std::string& expression) {
    ProtoWriter message;
    message.bytes(3, "books");
    message.bytes(5, expression);
    return *dialect.decode(*row_of(dialect, "Delete"), request_of({"Delete", message.view(), ""}), known);
  };
  CHECK(decoded("id in [1, 2, 2]").keys.size() == 2);
  CHECK(decoded("id in [1, 2]").write_class == WriteClass::image);
  CHECK(decoded("id == 7").keys.size() == 1);
  CHECK(decoded("year > 2000").write_class == WriteClass::predicate);
  CHECK(decoded("year > 2000").predicate.has_value());
  CHECK(decoded("id in [1] and year > 3").write_class == WriteClass::predicate);
  CHECK(decoded("this is > no < expression").write_class == WriteClass::opaque);
}

// Milvus 2.6 has fields with which an Upsert changes a part of a record, or a write means another record of that key.
TEST_CASE(
    "a write with a field of the request that we do not know is no image, and is refused after a promotion") {
  const MilvusDialect dialect;
  const Catalog known = catalog();
  MemoryBackend backend;
  for (const auto& schema : known.collections) {
    model::SchemaChange change;
    change.kind = model::SchemaChange::Kind::create_collection;
    change.schema = schema;
    REQUIRE(backend.change(change).has_value());
  }
  const auto* row = row_of(dialect, "Upsert");
  const auto upsert = std::ranges::find_if(recorded(), [&](const Exchange& one) {
    if (one.rpc != "Upsert") return false;
    const auto operation = dialect.decode(*row, request_of(one), known);
    return operation && operation->write_class == WriteClass::image;
  });
  REQUIRE(upsert != recorded().end());
  const auto with = [](Exchange exchange, uint32_t field, std::string_view bytes) {
    ProtoWriter more;
    if (bytes.empty()) {
      more.always_u64(field, 1);
    } else {
      more.always_bytes(field, bytes);
    }
    exchange.request += more.view();
    return request_of(exchange);
  };
  const auto refused = [&](const std::string& rpc, const net::Request& request) {
    const auto answer = dialect.serve(*row_of(dialect, rpc), request, backend);
    REQUIRE_FALSE(answer.has_value());
    CHECK(answer.error().code == Code::unsupported);
    CHECK(answer.error().message.starts_with("records.request_field: "));
  };
  const auto keys = dialect.decode(*row, request_of(*upsert), known)->keys;
  const std::pair<uint32_t, std::string_view> fields[] = {
      {9, ""}, {10, "space"}, {11, "ops"}, {12, ""}, {77, "x"}};
  for (const auto& [field, bytes] : fields) {
    INFO(field);
    const auto request = with(*upsert, field, bytes);
    const auto operation = dialect.decode(*row, request, known);
    REQUIRE(operation.has_value());
    CHECK(operation->write_class == WriteClass::read_back);
    CHECK(operation->keys == keys);
    CHECK_FALSE(dialect.images(*row, request, known).has_value());
    refused("Upsert", request);
  }
  ProtoWriter removal;
  removal.bytes(3, "books");
  removal.bytes(5, "id in [1]");
  refused("Delete", with({"Delete", removal.view(), ""}, 9, "space"));

  // partial_update said to be false, as some SDKs do, and what every version knows.
  ProtoWriter harmless;
  harmless.always_u64(9, 0);
  harmless.always_u64(8, 5);
  Exchange whole = *upsert;
  whole.request += harmless.view();
  CHECK(dialect.decode(*row, request_of(whole), known)->write_class == WriteClass::image);
  CHECK(dialect.serve(*row, request_of(whole), backend).has_value());
}

// Milvus deletes the record of the key that an Upsert names, and stores it under a key of its own making.
TEST_CASE(
    "an Upsert into a collection with autoID touches the keys that it names and those that the answer names") {
  const MilvusDialect dialect;
  Collection collection;
  collection.described.name = "made";
  collection.described.schema.name = "made";
  FieldSchema key;
  key.name = "id";
  key.primary = key.auto_id = true;
  key.type = DataType::int64;
  FieldSchema vector;
  vector.name = "vector";
  vector.type = DataType::float_vector;
  vector.type_params = {{"dim", "2"}};
  collection.described.schema.fields = {key, vector};
  Catalog known;
  known.collections.push_back(to_schema(collection));

  Column ids;
  ids.type = DataType::int64;
  ids.name = "id";
  ids.longs = {7, 8};
  ProtoWriter message;
  message.bytes(3, "made");
  message.bytes(5, encode(ids));
  message.always_u64(7, 2);
  const auto decoded = [&](const std::string& rpc) {
    return dialect.decode(*row_of(dialect, rpc), request_of({rpc, std::string(message.view()), ""}), known)
        .value();
  };
  const auto upsert = decoded("Upsert");
  CHECK(upsert.write_class == WriteClass::read_back);
  CHECK(upsert.makes_keys);
  CHECK(upsert.keys == std::vector<model::Key>{key_of(7), key_of(8)});
  const auto insert = decoded("Insert");
  CHECK(insert.makes_keys);
  CHECK(insert.keys.empty());

  ProtoWriter answer;
  answer.always_bytes(1, encode(Status()));
  answer.bytes(2, encode(Ids{{101, 102}, {}}));
  for (const auto& operation : {upsert, insert}) {
    const auto outcome = dialect.outcome(operation, response_of({"", "", std::string(answer.view())}));
    CHECK(outcome.whole == model::Outcome::applied);
    CHECK(outcome.generated == std::vector<model::Key>{key_of(101), key_of(102)});
  }
}

TEST_CASE("what the server showed of collections, indexes and partitions is shown again byte for byte") {
  size_t shown = 0;
  for (const auto& one : recorded()) {
    INFO(one.rpc);
    Status status;
    if (one.rpc == "DescribeCollection") {
      const auto described = read_described(one.answer, &status);
      REQUIRE(described.has_value());
      if (!status.ok()) continue;
      CHECK(encode(*described) == one.answer);
    } else if (one.rpc == "DescribeIndex") {
      const auto indexes = read_indexes(one.answer, &status);
      REQUIRE(indexes.has_value());
      if (!status.ok()) continue;
      CHECK(encode(*indexes) == one.answer);
    } else if (one.rpc == "ShowPartitions") {
      CHECK(encode(*read_partitions(one.answer)) == one.answer);
    } else {
      continue;
    }
    ++shown;
  }
  CHECK(shown >= 6);
}

TEST_CASE("answers of queries and searches are read and written byte for byte") {
  size_t written = 0;
  for (const auto& one : recorded()) {
    if (one.rpc != "Query" && one.rpc != "Search") continue;
    ProtoReader reader(one.answer);
    std::string_view inside = one.answer;
    bool good = true;
    while (reader.next()) {
      if (reader.field() == 1) good = read_status(reader.bytes())->ok();
      if (one.rpc == "Search" && reader.field() == 2) inside = reader.bytes();
    }
    if (!good) continue;
    ProtoReader columns(inside);
    while (columns.next()) {
      const bool column = columns.field() == (one.rpc == "Query" ? 2u : 3u);
      if (!column) continue;
      const auto read = read_column(columns.bytes());
      REQUIRE(read.has_value());
      CHECK(encode(*read) == columns.bytes());
      ++written;
    }
    if (one.rpc == "Search") {
      const auto answer = read_search_answer(one.answer);
      REQUIRE(answer.has_value());
      if (!answer->scores.empty()) CHECK(encode(*answer) == one.answer);
    }
  }
  CHECK(written > 100);
}

TEST_CASE("a search request is read as it was meant, and ours reads back") {
  for (const auto& one : recorded()) {
    if (one.rpc != "Search") continue;
    const auto request = read_search_request(one.request);
    REQUIRE(request.has_value());
    CHECK(request->vectors.size() >= 1);
    const auto again = read_search_request(encode(*request));
    REQUIRE(again.has_value());
    CHECK(again->vectors == request->vectors);
    CHECK(again->top_k == request->top_k);
    CHECK(again->radius == request->radius);
    CHECK(again->range_filter == request->range_filter);
    CHECK(again->expression == request->expression);
  }
}

TEST_CASE("outcomes tell refusals from doubts") {
  const MilvusDialect dialect;
  Operation operation;
  operation.row = row_of(dialect, "Upsert");
  const auto judged = [&](int grpc, const std::optional<Status>& status) {
    net::Response response;
    response.trailers = {{"grpc-status", std::to_string(grpc)}};
    if (status) {
      ProtoWriter message;
      message.always_bytes(1, encode(*status));
      response.body = wire::grpc_frame(message.view());
    }
    return dialect.outcome(operation, response).whole;
  };
  const auto status = [](int32_t code, const char* reason) {
    Status out;
    out.code = code;
    out.reason = reason;
    return out;
  };
  CHECK(judged(0, Status()) == model::Outcome::applied);
  CHECK(judged(0, status(100, "collection not found")) == model::Outcome::rejected);
  CHECK(judged(0, status(1100, "invalid parameter")) == model::Outcome::rejected);
  CHECK(judged(0, status(8, "rate limit")) == model::Outcome::rejected);
  CHECK(judged(0, status(65535, "cannot parse expression: x, error: y")) == model::Outcome::rejected);
  CHECK(judged(0, status(65535, "cannot drop the collection via alias = x")) == model::Outcome::rejected);
  CHECK(judged(0, status(65535, "context deadline exceeded")) == model::Outcome::uncertain);
  CHECK(judged(0, status(1, "service not ready")) == model::Outcome::uncertain);
  CHECK(judged(0, std::nullopt) == model::Outcome::uncertain);
  CHECK(judged(14, std::nullopt) == model::Outcome::uncertain);
  CHECK(judged(4, std::nullopt) == model::Outcome::uncertain);
  CHECK(judged(16, std::nullopt) == model::Outcome::rejected);
  CHECK(judged(12, std::nullopt) == model::Outcome::rejected);
  CHECK(dialect.outcome(operation, net::Response{}).whole == model::Outcome::uncertain);
}

// Milvus 2.4 and later ask the limiter before each batch that a delete by filter has found (internal/proxy/task_delete.go).
TEST_CASE("a delete by filter that is stopped in the middle may have deleted a part") {
  const MilvusDialect dialect;
  const auto judged = [&](const char* rpc, WriteClass cls, int32_t code, const char* reason) {
    Operation operation;
    operation.row = row_of(dialect, rpc);
    operation.write_class = cls;
    Status status;
    status.code = code;
    status.reason = status.detail = reason;
    ProtoWriter message;
    message.always_bytes(1, encode(status));
    return dialect.outcome(operation, response_of({"", "", std::string(message.view())})).whole;
  };
  const char* stopped =
      "failed to search/query delegator 1 for channel by-dev-rootcoord-dml_0_1v0: rate limit exceeded[rate=1]";
  for (const auto cls : {WriteClass::predicate, WriteClass::opaque}) {
    CHECK(judged("Delete", cls, 8, stopped) == model::Outcome::uncertain);
    CHECK(judged("Delete", cls, 9, "quota exceeded[reason=disk quota exceeded]") ==
          model::Outcome::uncertain);
    CHECK(judged("Delete", cls, 101, "collection not loaded[collection=1]") == model::Outcome::uncertain);
    CHECK(judged("Delete", cls, 1100, "failed to search/query delegator 1 for channel c: no such segment") ==
          model::Outcome::uncertain);
    // Before anything was looked for.
    CHECK(judged("Delete", cls, 100, "collection not found") == model::Outcome::rejected);
    CHECK(judged("Delete", cls, 1100, "failed to create delete plan: x") == model::Outcome::rejected);
    CHECK(judged("Delete", cls, 65535, "failed to create expr plan, expr = x") == model::Outcome::rejected);
  }
  // One message, or none.
  for (const auto cls : {WriteClass::image, WriteClass::read_back}) {
    CHECK(judged("Delete", cls, 8, "rate limit exceeded[rate=1]") == model::Outcome::rejected);
    CHECK(judged("Upsert", cls, 8, "rate limit exceeded[rate=1]") == model::Outcome::rejected);
  }
}

TEST_CASE("a call has ended as its gRPC status and its message say, not as HTTP does") {
  const MilvusDialect dialect;
  const auto answer = [](std::string code, const std::optional<Status>& status, bool bare = false) {
    net::Response response;
    response.headers = {{"content-type", "application/grpc"}};
    (bare ? response.headers : response.trailers).add("grpc-status", code);
    ProtoWriter message;
    if (status) message.always_bytes(1, encode(*status));
    if (status) response.body = wire::grpc_frame(message.view());
    return response;
  };
  Status refusal;
  refusal.code = 100;
  Status doubt;
  doubt.code = 65535;
  doubt.reason = "context deadline exceeded";
  const auto* insert = row_of(dialect, "Insert");
  const auto* list = row_of(dialect, "ShowCollections");

  const auto done = dialect.ending(insert, answer("0", Status()));
  CHECK(done.outcome == model::Outcome::applied);
  CHECK(done.credential_accepted);
  CHECK_FALSE(done.failed);

  const auto refused = dialect.ending(insert, answer("0", refusal));
  CHECK(refused.outcome == model::Outcome::rejected);
  CHECK(refused.credential_accepted);  // let in, and told that the collection does not exist
  CHECK_FALSE(refused.failed);

  const auto doubtful = dialect.ending(insert, answer("0", doubt));
  CHECK(doubtful.outcome == model::Outcome::uncertain);
  CHECK(doubtful.failed);

  for (const bool bare : {false, true}) {
    const auto stranger = dialect.ending(list, answer("16", std::nullopt, bare));
    CHECK(stranger.outcome == model::Outcome::rejected);
    CHECK_FALSE(stranger.credential_accepted);
  }
  const auto away = dialect.ending(insert, answer("14", std::nullopt));
  CHECK(away.outcome == model::Outcome::uncertain);
  CHECK(away.failed);
  CHECK_FALSE(away.credential_accepted);

  auto unread = answer("13", std::nullopt);
  CHECK(dialect.ending(insert, unread).outcome == model::Outcome::uncertain);
  unread.trailers.add("grpc-message",
                      "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data");
  CHECK(dialect.ending(insert, unread).outcome == model::Outcome::rejected);

  // The same code is said of a call that was refused and of an answer that could not be sent.
  auto exhausted = answer("8", std::nullopt);
  exhausted.trailers.add("grpc-message", "grpc: received message larger than max (70000000 vs. 67108864)");
  CHECK(dialect.ending(insert, exhausted).outcome == model::Outcome::rejected);
  auto unsent = answer("8", std::nullopt);
  unsent.trailers.add("grpc-message", "grpc: trying to send message larger than max (70000000 vs. 67108864)");
  CHECK(dialect.ending(insert, unsent).outcome == model::Outcome::uncertain);
  CHECK(dialect.ending(insert, unsent).failed);
  CHECK(grpc_error(8, "request is rejected by limiter").surely_not_done());
  CHECK_FALSE(grpc_error(8, "grpc: trying to send message larger than max (2 vs. 1)").surely_not_done());

  // Streamed: only the trailers are there.
  const auto streamed = dialect.ending(list, answer("0", std::nullopt));
  CHECK(streamed.credential_accepted);
  // Everybody may ask; and nobody knows what a call that is not in the table did.
  CHECK_FALSE(dialect.ending(row_of(dialect, "Connect"), answer("0", Status())).credential_accepted);
  CHECK_FALSE(dialect.ending(nullptr, answer("0", Status())).credential_accepted);
  CHECK(dialect.ending(nullptr, answer("0", Status())).outcome == model::Outcome::uncertain);
  CHECK(dialect.ending(nullptr, answer("12", std::nullopt)).outcome == model::Outcome::rejected);
  // The end of the answer is missing.
  net::Response cut;
  cut.headers = {{"content-type", "application/grpc"}};
  CHECK(dialect.ending(insert, cut).outcome == model::Outcome::uncertain);
  CHECK_FALSE(dialect.ending(list, cut).credential_accepted);
}

TEST_CASE("REST v1 says how a call ended in its body") {
  const MilvusDialect dialect;
  net::RequestHead head;
  head.method = "POST";
  head.target = "/v1/vector/insert";
  const auto* row = dialect.classify(head);
  const auto ending = [&](int status, const char* body) {
    return dialect.ending(row, {status, {{"content-type", "application/json; charset=utf-8"}}, body, {}});
  };
  CHECK(ending(200, R"({"code":200,"data":{"insertCount":1}})").outcome == model::Outcome::applied);
  CHECK(ending(200, R"({"code":200,"data":{"insertCount":1}})").credential_accepted);
  CHECK(ending(200, R"({"code":1800,"message":"user hasn't authenticate"})").outcome ==
        model::Outcome::rejected);
  CHECK_FALSE(ending(200, R"({"code":1800,"message":"user hasn't authenticate"})").credential_accepted);
  CHECK(ending(200, R"({"code":100,"message":"collection not found"})").outcome == model::Outcome::rejected);
  CHECK(ending(200, R"({"code":65535,"message":"context canceled"})").outcome == model::Outcome::uncertain);
  CHECK(ending(404, "404 page not found").outcome == model::Outcome::rejected);
  // What 2.4 and later answer after Request-Timeout, while the call goes on.
  for (const int status : {408, 409, 425, 499})
    CHECK(ending(status, R"({"code":10001,"message":"request timeout"})").outcome ==
          model::Outcome::uncertain);
  // A delete by filter may be stopped in the middle. What a path does that we do not know nobody knows.
  const char* limited = R"({"code":8,"message":"rate limit exceeded[rate=1]"})";
  CHECK(ending(200, limited).outcome == model::Outcome::rejected);
  head.target = "/v1/vector/delete";
  const net::Response stopped{200, {{"content-type", "application/json"}}, limited, {}};
  CHECK(dialect.ending(dialect.classify(head), stopped).outcome == model::Outcome::uncertain);
  CHECK(dialect.ending(nullptr, stopped).outcome == model::Outcome::uncertain);
  CHECK(ending(503, "").failed);
  CHECK(ending(200, "no json").outcome == model::Outcome::uncertain);
}

// The Status of an answer that gRPC calls a success. whole: the answer is nothing else; else it is the first field.
static std::optional<Status> status_said(const net::Response& answer, bool whole) {
  CHECK(answer.trailers.find("grpc-status").value() == "0");
  const std::string message = answer.body.substr(5);  // behind the frame's head
  ProtoReader first(message);
  if (whole) return read_status(message);
  if (!first.next()) return std::nullopt;
  return read_status(first.bytes());
}

TEST_CASE("what there is no room for is refused as the server does, so that the SDK waits and tries again") {
  net::RequestHead head;
  head.method = "POST";
  head.http2 = true;
  for (const auto* call : {"Insert", "Search", "CreatePartition"}) {
    head.target = "/milvus.proto.milvus.MilvusService/" + std::string(call);
    const auto refused = MilvusDialect().error(Error(Code::overloaded, "why"), head);
    const auto said = status_said(refused, call == std::string("CreatePartition"));
    REQUIRE(said);
    CHECK(said->code == 8);
    CHECK(said->error_code == 49);
    CHECK(said->retriable);
    CHECK(said->reason == "why");
  }
}

TEST_CASE("errors of ours are gRPC errors") {
  const MilvusDialect dialect;
  net::RequestHead head;
  head.method = "POST";
  head.http2 = true;
  head.target = "/milvus.proto.milvus.MilvusService/Insert";
  const auto status = [&](Code code) {
    const auto response = dialect.error(Error(code, "why, 100 %"), head);
    CHECK(response.status == 200);
    CHECK(response.trailers.find("grpc-message").value() == "why, 100 %25");
    return std::string(response.trailers.find("grpc-status").value());
  };
  CHECK(status(Code::unavailable) == "14");
  CHECK(status(Code::connection_lost) == "14");
  CHECK(status(Code::timeout) == "4");
  CHECK(status(Code::unauthenticated) == "16");
  CHECK(status(Code::too_large) == "8");
  // What is not passed on is refused as the server refuses: the Node SDK takes UNIMPLEMENTED for an empty success.
  for (const auto* call : {"Insert", "CreatePartition", "HybridSearch"}) {
    head.target = "/milvus.proto.milvus.MilvusService/" + std::string(call);
    const auto refused = dialect.error(Error(Code::unsupported, "filter.like: why"), head);
    const auto said = status_said(refused, call == std::string("CreatePartition"));
    REQUIRE(said);
    CHECK(said->code == 65535);
    CHECK(said->reason == "filter.like: why");
  }
  head.target = "/milvus.proto.milvus.MilvusService/CreateRole";
  CHECK(status(Code::unsupported) == "3");
  CHECK(status(Code::overloaded) == "8");
  head.target = "/milvus.proto.milvus.MilvusService/Nothing";
  CHECK(dialect.error(Error(Code::unsupported, "x"), head).trailers.find("grpc-status").value() == "12");
  const auto unknown = dialect.error(Error(Code::not_found, "x"), head);
  CHECK(unknown.trailers.find("grpc-message").value() ==
        "unknown method Nothing for service milvus.proto.milvus.MilvusService");
  // After the promotion such a call is one that the server has not; before it, whoever refuses it says why.
  head.target = "/milvus.proto.milvus.MilvusService/Import";
  CHECK(dialect.classify(head)->cls == OperationClass::unknown);
  CHECK(dialect.error(Error(Code::not_found, "x"), head).trailers.find("grpc-message").value() ==
        "unknown method Import for service milvus.proto.milvus.MilvusService");
  const auto unfollowed = dialect.error(Error(Code::unsupported, "request.unfollowed: why"), head);
  CHECK(unfollowed.trailers.find("grpc-message").value() == "request.unfollowed: why");
  CHECK(unfollowed.trailers.find("grpc-status").value() == "3");
  head.http2 = false;
  head.target = "/v1/vector/insert";
  CHECK(dialect.classify(head)->cls == OperationClass::unknown);
  const auto rest = dialect.error(Error(Code::unavailable, "x"), head);
  CHECK(rest.status == 503);
  CHECK(rest.body.find("\"message\"") != std::string::npos);
}

TEST_CASE("hits whose scores look equal lie on the same side of a bound that came from one of them") {
  std::mt19937_64 random(7);
  for (const auto metric : {model::Metric::l2, model::Metric::cosine, model::Metric::inner_product}) {
    const auto shown = [&](double distance) { return static_cast<float>(score_of(metric, distance)); };
    for (int round = 0; round < 20'000; ++round) {
      const double size = std::pow(10, static_cast<double>(random() % 8) - 6);
      const double distance = std::uniform_real_distribution<double>(0, size)(random);
      const double bound = bound_of(metric, shown(distance));
      INFO(distance);
      REQUIRE(distance >= bound);
      for (const double other :
           {distance * (1 - 1e-9), distance * (1 + 1e-9), distance * (1 - 1e-6), distance * 1.5, distance / 2,
            static_cast<double>(static_cast<float>(distance))}) {
        const bool nearer =
            metric == model::Metric::l2 ? shown(other) < shown(distance) : shown(other) > shown(distance);
        REQUIRE((other < bound) == nearer);
      }
    }
  }
}

TEST_CASE("a filter that the server cannot take is unsupported, of a query and of a search") {
  for (const auto* reason :
       {"cannot parse expression: (x), error: unsupported pattern",
        "failed to create query plan: cannot parse expression: (x), error: unsupported pattern"}) {
    Status refused;
    refused.code = 65535;
    refused.reason = reason;
    const Error error = status_error(refused);
    CHECK(error.code == Code::unsupported);
    CHECK(error.message.starts_with("filter.refused: "));
  }
}

TEST_CASE("every metadata key that may carry a credential counts, and the one that the configuration names") {
  const auto asked = [](const MilvusDialect& dialect, const char* name, const char* value) {
    net::RequestHead head;
    head.headers.add(name, value);
    return dialect.credential(head, dialect.credential_form());
  };
  const MilvusDialect dialect, configured("x-gateway-key");
  CHECK(asked(dialect, "authorization", "cm9vdDpNaWx2dXM=") ==
        "authorization:cm9vdDpNaWx2dXM=");  // as states of earlier versions have it
  CHECK(asked(dialect, "authorization", "").empty());
  CHECK(asked(dialect, "dbname", "a").empty());
  CHECK(asked(dialect, "cookie", "a").empty());
  CHECK_FALSE(asked(MilvusDialect("Cookie"), "cookie", "a").empty());
  for (const char* name : {"authorization", "proxy-authorization", "x-api-key"}) {
    CAPTURE(name);
    CHECK_FALSE(asked(dialect, name, "a").empty());
    CHECK(asked(dialect, name, "a") != asked(dialect, name, "b"));
  }
  CHECK(asked(dialect, "x-gateway-key", "a").empty());
  CHECK(asked(configured, "x-gateway-key", "a") != asked(configured, "x-gateway-key", "b"));
}

TEST_CASE("a state without a form is read as the versions that kept none wrote it") {
  const MilvusDialect dialect("x-gateway-key");
  net::RequestHead head;
  head.headers.add("x-api-key", "k");
  head.headers.add("x-gateway-key", "g");
  CHECK(dialect.credential(head, "").empty());
  head.headers.add("authorization", "cm9vdDpNaWx2dXM=");
  CHECK(dialect.credential(head, "") == "authorization:cm9vdDpNaWx2dXM=");
}

TEST_CASE("names and paths of the table are unique") {
  const MilvusDialect dialect;
  std::set<std::string_view> names, patterns;
  for (const auto& row : dialect.table()) {
    CHECK(names.insert(row.name).second);
    CHECK(patterns.insert(row.pattern).second);
    net::RequestHead head;
    head.method = row.method;
    head.target = row.pattern;
    CHECK(dialect.classify(head) == &row);
  }
}

TEST_CASE("cut, flipped and random messages never break decode, images, outcome or serve") {
  const MilvusDialect dialect;
  std::mt19937 random(11);
  MemoryBackend backend;
  for (const auto& schema : catalog().collections) {
    model::SchemaChange change;
    change.kind = model::SchemaChange::Kind::create_collection;
    change.schema = schema;
    REQUIRE(backend.change(change).has_value());
  }
  for (int round = 0; round < 40; ++round) {
    for (const auto& one : recorded()) {
      Exchange broken = one;
      if (round % 3 == 0) broken.request.resize(random() % (broken.request.size() + 1));
      for (int flips = 0; flips < 1 + round % 4 && !broken.request.empty(); ++flips)
        broken.request[random() % broken.request.size()] ^= static_cast<char>(1 << (random() % 8));
      if (round % 5 == 0) {
        for (char& c : broken.request) c = static_cast<char>(random());
      }
      for (int flips = 0; flips < 2 && !broken.answer.empty(); ++flips)
        broken.answer[random() % broken.answer.size()] ^= static_cast<char>(1 << (random() % 8));
      const auto* row = row_of(dialect, one.rpc);
      auto request = request_of(broken);
      if (round % 7 == 0) request.body.resize(random() % (request.body.size() + 1));
      const auto operation = dialect.decode(*row, request, backend.catalog());
      (void)dialect.images(*row, request, backend.catalog());
      if (operation) (void)dialect.outcome(*operation, response_of(broken));
      (void)dialect.serve(*row, request, backend);
    }
  }
}

TEST_CASE("vectors of every kind come out as they came in, row by row") {
  struct Kind {
    DataType type;
    model::DenseVector first, second;
  };
  const Kind kinds[] = {
      {DataType::float_vector, {1.5f, -2, 0, 3, 4, 5, 6, 7}, {0, 0, 0, 0, 0, 0, 0, 1}},
      {DataType::float16_vector,
       {1.5f, -2, 65504, 6e-8f, 0.333251953125f, 0, 1, 2},
       {0, 1, 2, 3, 4, 5, 6, 7}},
      {DataType::bfloat16_vector, {1.5f, -2, 1e38f, 0.3339843750f, 0, 0, 1, 2}, {0, 1, 2, 3, 4, 5, 6, 7}},
      {DataType::binary_vector, {1, 0, 0, 0, 0, 0, 1, 1}, {0, 1, 0, 1, 0, 1, 0, 1}},
  };
  for (const auto& kind : kinds) {
    INFO(static_cast<int>(kind.type));
    CollectionSchema schema;
    FieldSchema key;
    key.name = "id";
    key.primary = true;
    key.type = DataType::int64;
    FieldSchema vector;
    vector.name = "vector";
    vector.type = kind.type;
    vector.type_params = {{"dim", "8"}};
    schema.fields = {key, vector};
    model::Record first{key_of(1), {{"vector", kind.first}}, {}, {}};
    model::Record second{key_of(2), {{"vector", kind.second}}, {}, {}};
    const auto columns = write_output(schema, {{"id", "vector"}, {}, false, false}, {&first, &second});
    REQUIRE(columns.has_value());
    std::vector<Column> again;
    for (const auto& column : *columns) again.push_back(*read_column(encode(column)));
    const auto rows = read_rows(schema, again, 2, "");
    REQUIRE(rows.has_value());
    const auto close = [](const model::Vector& left, const model::DenseVector& right, float within) {
      const auto& dense = std::get<model::DenseVector>(left);
      REQUIRE(dense.size() == right.size());
      for (size_t i = 0; i < right.size(); ++i)
        CHECK(std::fabs(dense[i] - right[i]) <= within * std::fabs(right[i]));
    };
    const float within = kind.type == DataType::bfloat16_vector  ? 0.004f
                         : kind.type == DataType::float16_vector ? 0.01f
                                                                 : 0;
    close((*rows)[0].vectors.at("vector"), kind.first, within);
    close((*rows)[1].vectors.at("vector"), kind.second, within);
    model::Record bare{key_of(3), {}, {}, {}};
    const auto refused = write_output(schema, {{"id", "vector"}, {}, false, false}, {&bare, &first});
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == Code::unsupported);
  }
}

TEST_CASE("every 16-bit number is read and written the same") {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    if (const float value = from_float16(half); !std::isnan(value)) CHECK(to_float16(value) == half);
    if (const float value = from_bfloat16(half); !std::isnan(value)) CHECK(to_bfloat16(value) == half);
  }
  CHECK(to_float16(2049.0f) == to_float16(2048.0f));  // a tie goes to the even one
  CHECK(to_float16(2051.0f) == to_float16(2052.0f));
  CHECK(to_float16(65519.0f) == to_float16(65504.0f));
  CHECK(std::isinf(from_float16(to_float16(65520.0f))));
  CHECK(std::isnan(from_bfloat16(to_bfloat16(NAN))));
}

TEST_CASE("arrays nested in arrays are refused beyond a bound") {
  std::string scalars;
  for (int i = 0; i < 10'000; ++i) {
    ProtoWriter list;
    list.always_bytes(1, scalars);
    ProtoWriter outer;
    outer.always_bytes(8, list.view());
    scalars = outer.take();
    if (scalars.size() > 200'000) break;
  }
  ProtoWriter column;
  column.i32(1, 22);
  column.bytes(2, "list");
  column.bytes(3, scalars);
  CHECK_FALSE(read_column(column.view()).has_value());
}
