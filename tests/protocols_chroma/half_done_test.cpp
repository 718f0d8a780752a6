// What the driver says of a call that takes several requests when one of them was done and a later one was
// refused.
#include <catch2/catch.hpp>

#include "protocols/chroma/chroma.h"
#include "tests/net/support.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using net::test::FakeUpstream;
using net::test::ok;
using net::test::read_request;
using net::test::Socket;

namespace {

std::string refused(int status, const std::string& message) {
  const std::string body = R"({"error":"E","message":")" + message + R"("})";
  return "HTTP/1.1 " + std::to_string(status) + " No\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

const std::string nothing = R"({"ids":[],"documents":[],"metadatas":[]})";
const std::string a_with_text = R"({"ids":["a"],"documents":["old"],"metadatas":[null]})";

// A Chroma that takes one record in a request, does the first `does` writes and answers the others with
// `refusal`.
struct TiredChroma {
  TiredChroma(int does, std::string refusal, std::string there = nothing)
      : left(does), upstream([=, this](Socket& socket, int) {
          for (;;) {
            const auto request = read_request(socket);
            if (request.empty()) return;
            const auto target = request.substr(0, request.find("\r\n"));
            const auto has = [&](const char* action) { return target.find(action) != std::string::npos; };
            if (has("/get ")) {
              socket.send(ok(there));
            } else if (has("/upsert ") || has("/add ") || has("/delete ")) {
              ++asked;
              socket.send(left-- > 0 ? ok("{}") : refusal);
            } else {
              socket.send(
                  ok(R"({"name":"things","id":"11111111-1111-1111-1111-111111111111","max_batch_size":1})"));
            }
          }
        }) {
    Endpoint endpoint;
    endpoint.name = "test";
    endpoint.url = "http://127.0.0.1:" + std::to_string(upstream.port());
    driver = *chroma::system().make_driver(endpoint, clock);
    schema.name = {"default_tenant/default_database", "things"};
    schema.vectors.emplace_back();
  }

  Result<ApplyResult> upsert(const std::vector<std::string>& ids, UpsertMode mode = UpsertMode::replace) {
    std::vector<model::Record> records;
    for (const auto& id : ids) {
      records.emplace_back().key.id.value = id;
      records.back().vectors[""] = model::DenseVector{1, 2};
    }
    return driver->upsert(schema, records, mode, clock.in(std::chrono::seconds(20)));
  }

  model::Schema schema;
  SystemClock clock;
  std::atomic<int> left, asked{0};
  FakeUpstream upstream;
  std::unique_ptr<Driver> driver;  // before the upstream: its connections end first
};

const std::string too_many = refused(429, "too many requests");

}  // namespace

TEST_CASE("an upsert of which one request was done is not surely not done") {
  TiredChroma at_once(0, too_many);
  const auto none = at_once.upsert({"a", "b"});
  REQUIRE_FALSE(none.has_value());
  CHECK(none.error().code == Code::quota);
  CHECK(none.error().surely_not_done());
  TiredChroma later(1, too_many);
  const auto half = later.upsert({"a", "b"});
  CHECK(later.asked == 2);
  REQUIRE_FALSE(half.has_value());
  CHECK_FALSE(half.error().surely_not_done());
  CHECK(half.error().message.find("too many requests") != std::string::npos);
}

TEST_CASE("where all are wanted, a record that is refused beforehand keeps the others from being written") {
  TiredChroma chroma(9, too_many);
  const auto refused =
      chroma.upsert({"a", ""}, GENERATE(UpsertMode::replace_all, UpsertMode::insert_all));  // no id
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().surely_not_done());
  CHECK(chroma.asked == 0);
  const auto the_others = chroma.upsert({"a", ""});
  REQUIRE(the_others.has_value());
  CHECK(the_others->refused.size() == 1);
  CHECK(chroma.asked == 1);
}

TEST_CASE(
    "where all are wanted, a record that the server refuses first keeps the others from being written") {
  const std::string strict = refused(400, "not this one");
  TiredChroma all(0, strict);
  const auto none = all.upsert({"a", "b"}, GENERATE(UpsertMode::replace_all, UpsertMode::insert_all));
  CHECK(all.asked == 1);
  REQUIRE_FALSE(none.has_value());
  CHECK(none.error().surely_not_done());
  CHECK(none.error().message.find("not this one") != std::string::npos);
  TiredChroma each(0, strict);
  const auto both = each.upsert({"a", "b"});
  CHECK(each.asked == 2);
  REQUIRE(both.has_value());
  CHECK(both->refused.size() == 2);
  TiredChroma begun(1, strict);
  const auto half = begun.upsert({"a", "b"}, UpsertMode::replace_all);  // it is not taken back
  CHECK(begun.asked == 2);
  REQUIRE(half.has_value());
  REQUIRE(half->refused.size() == 1);
  CHECK(half->refused[0].index == 1);
}

TEST_CASE("an erase of which one request was done is not surely not done") {
  const std::vector<model::Key> keys{{"", {"a"}}, {"", {"b"}}};
  TiredChroma at_once(0, too_many);
  const auto none = at_once.driver->erase(at_once.schema, keys, at_once.clock.in(std::chrono::seconds(20)));
  REQUIRE_FALSE(none.has_value());
  CHECK(none.error().surely_not_done());
  TiredChroma later(1, too_many);
  const auto half = later.driver->erase(later.schema, keys, later.clock.in(std::chrono::seconds(20)));
  CHECK(later.asked == 2);
  REQUIRE_FALSE(half.has_value());
  CHECK_FALSE(half.error().surely_not_done());
}

TEST_CASE("a record whose former version was deleted first was touched, however its upsert is refused") {
  TiredChroma busy(1, too_many, a_with_text);
  const auto stopped = busy.upsert({"a"});
  CHECK(busy.asked == 2);  // delete, upsert
  REQUIRE_FALSE(stopped.has_value());
  CHECK_FALSE(stopped.error().surely_not_done());
  TiredChroma strict(1, refused(400, "not this one"), a_with_text);
  const auto named = strict.upsert({"a"});
  REQUIRE(named.has_value());
  REQUIRE(named->refused.size() == 1);
  CHECK_FALSE(named->refused[0].error.surely_not_done());
  // Also where all are wanted: something is done by then, so that nothing was cannot be said of the call.
  TiredChroma begun(1, refused(400, "not this one"), a_with_text);
  const auto each = begun.upsert({"a", "b"}, UpsertMode::replace_all);
  CHECK(begun.asked == 3);  // delete a, upsert a, upsert b
  REQUIRE(each.has_value());
  REQUIRE(each->refused.size() == 2);
  CHECK(each->refused[0].index == 0);
  CHECK_FALSE(each->refused[0].error.surely_not_done());
  CHECK(each->refused[1].error.surely_not_done());
}
