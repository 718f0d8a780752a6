// What the driver makes of answers that a real Chroma gives while records are written and deleted under it. The answers
// are those of Chroma 1.5.9, as it gave them.
#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "protocols/chroma/chroma.h"
#include "tests/net/support.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using net::test::FakeUpstream;
using net::test::ok;
using net::test::read_request;
using net::test::Socket;

namespace {

const std::string whole_hit =
    R"({"ids":[["b"]],"distances":[[0.5]],"documents":[["text"]],"metadatas":[[{"n":1}]],"embeddings":null})";
const std::string torn_hit =
    R"({"ids":[["a","b"]],"distances":[[0.25,0.5]],"documents":[[null,"text"]],"metadatas":[[null,{"n":1}]],"embeddings":null})";

// A Chroma whose answers to a search and to a get come from lists; the last of a list is repeated.
struct RacingChroma {
  RacingChroma(std::vector<std::string> searches, std::vector<std::string> gets)
      : upstream([=, this](Socket& socket, int) {
          for (;;) {
            const auto request = read_request(socket);
            if (request.empty()) return;
            const auto target = request.substr(0, request.find("\r\n"));
            const auto turn = [](const std::vector<std::string>& list, std::atomic<size_t>& count) {
              return list[std::min(count++, list.size() - 1)];
            };
            if (target.find("/query") != std::string::npos) {
              socket.send(ok(turn(searches, searched)));
            } else if (target.find("/get ") != std::string::npos) {
              socket.send(ok(turn(gets, got)));
            } else {
              socket.send(ok(
                  R"({"name":"things","id":"11111111-1111-1111-1111-111111111111","max_batch_size":1000})"));
            }
          }
        }) {
    Endpoint endpoint;
    endpoint.name = "test";
    endpoint.url = "http://127.0.0.1:" + std::to_string(upstream.port());
    driver = *chroma::system().make_driver(endpoint, clock);
  }

  Result<model::QueryResult> ask() {
    model::Schema schema;
    schema.name = {"default_tenant/default_database", "things"};
    schema.vectors.emplace_back();
    model::Query query;
    query.kind = model::Query::Kind::search;
    query.collection = schema.name;
    query.vectors = {model::DenseVector{1, 0}};
    return driver->query(schema, query, clock.in(std::chrono::seconds(20)));
  }

  std::vector<std::string> search() {
    const auto found = ask();
    if (!found) FAIL(found.error().message);
    std::vector<std::string> ids;
    for (const auto& hit : found->hits.at(0)) ids.push_back(std::get<std::string>(hit.record.key.id.value));
    return ids;
  }

  SystemClock clock;
  std::atomic<size_t> searched{0}, got{0};
  FakeUpstream upstream;
  std::unique_ptr<Driver> driver;  // before the upstream: its connections end first
};

using Ids = std::vector<std::string>;
const std::string no_records = R"({"ids":[],"documents":[],"metadatas":[]})";
const std::string a_bare = R"({"ids":["a"],"documents":[null],"metadatas":[null]})";
const std::string a_whole = R"({"ids":["a"],"documents":["new"],"metadatas":[{"n":2}]})";

}  // namespace

TEST_CASE("a search that is answered for fewer or more vectors than were asked for is no answer") {
  const std::string answer = GENERATE(R"({"ids":[],"distances":[]})", R"({"distances":null})",
                                      R"({"ids":[["a"],["b"]],"distances":[[0.5],[0.5]]})");
  RacingChroma chroma({answer}, {no_records});
  const auto found = chroma.ask();
  REQUIRE(found.has_error());
  CHECK(found.error().code == Code::corrupt);
  CHECK(found.error().message.find("1 vector") != std::string::npos);
}

TEST_CASE("a search that names a record deleted meanwhile is asked again") {
  RacingChroma chroma({torn_hit, whole_hit}, {no_records});
  CHECK(chroma.search() == Ids{"b"});
  CHECK(chroma.searched == 2);
}

TEST_CASE("a search that names a record written anew meanwhile is asked again") {
  RacingChroma chroma({torn_hit, whole_hit}, {a_whole});
  CHECK(chroma.search() == Ids{"b"});
  CHECK(chroma.searched == 2);
}

TEST_CASE("a record that has neither document nor metadata is a hit like any other") {
  RacingChroma chroma({torn_hit}, {a_bare});
  CHECK(chroma.search() == Ids{"a", "b"});
  CHECK(chroma.searched == 1);
}

TEST_CASE("where records go away under every search, what is not there is left out, and it ends") {
  RacingChroma chroma({torn_hit}, {no_records});
  CHECK(chroma.search() == Ids{"b"});
  CHECK(chroma.searched == 5);
}

// A Chroma of 50,001 records. Of three that a filter is about, "a" comes to match it only after the first request for them, by an
// update, which leaves it at its place in the order: before the others.
TEST_CASE("a record that begins to match a filter hides no other from a list of those that do") {
  std::atomic<int> listed{0};
  const auto member = [](const std::string& request, const std::string& name) {
    const auto at = request.find("\"" + name + "\":");
    return at == std::string::npos ? size_t{0} : std::stoul(request.substr(at + name.size() + 3));
  };
  FakeUpstream upstream([&](Socket& socket, int) {
    for (;;) {
      const auto request = read_request(socket);
      if (request.empty()) return;
      const auto target = request.substr(0, request.find("\r\n"));
      if (target.find("/count ") != std::string::npos) {
        socket.send(ok("50001"));
      } else if (target.find("/get ") == std::string::npos) {
        socket.send(
            ok(R"({"name":"things","id":"11111111-1111-1111-1111-111111111111","max_batch_size":1000})"));
      } else if (request.find("\"ids\":null") == std::string::npos) {  // the records themselves
        std::string ids;
        for (const char* id : {"a", "b", "c"}) {
          const std::string text = "\"" + std::string(id) + "\"";
          if (request.find(text) != std::string::npos) ids += (ids.empty() ? "" : ",") + text;
        }
        socket.send(ok("{\"ids\":[" + ids + "]}"));
      } else {
        const Ids matching = listed++ == 0 ? Ids{"b", "c"} : Ids{"a", "b", "c"};
        const size_t from = std::min(member(request, "offset"), matching.size());
        const size_t to = std::min(from + member(request, "limit"), matching.size());
        std::string ids;
        for (size_t i = from; i < to; ++i) ids += (ids.empty() ? "\"" : ",\"") + matching[i] + "\"";
        socket.send(ok("{\"ids\":[" + ids + "]}"));
      }
    }
  });
  SystemClock clock;
  Endpoint endpoint;
  endpoint.name = "test";
  endpoint.url = "http://127.0.0.1:" + std::to_string(upstream.port());
  auto driver = *chroma::system().make_driver(endpoint, clock);
  model::Schema schema;
  schema.name = {"default_tenant/default_database", "things"};
  schema.vectors.emplace_back();
  // As a delete by filter is listed before it is passed on.
  model::Query query;
  query.collection = schema.name;
  query.filter = model::Filter::make(model::Filter::Kind::equal, model::Filter::field_of("n"),
                                     model::Filter::literal_of("x"));
  query.limit = 100'001;
  query.with_document = query.with_metadata = false;
  const auto found = driver->query(schema, query, clock.in(std::chrono::seconds(20)));
  if (!found) FAIL(found.error().message);
  std::set<std::string> ids;
  for (const auto& record : found->records) ids.insert(std::get<std::string>(record.key.id.value));
  CHECK(ids.contains("b"));
  CHECK(ids.contains("c"));
  driver.reset();  // its connections end first
}
