// Who is served by the target: whom the source has let in, by what a request says of who asks.
#include "journal/rows.h"
#include "tests/hazards/fake_proxy.h"

using namespace vmproxy::support;
namespace net = vmproxy::net;
namespace proxy = vmproxy::proxy;
namespace rows = vmproxy::journal::rows;

namespace {

// Status of a read's answer. `source`: whether the source was asked.
int read_by(Proxy& proxy, net::Headers headers, bool* source = nullptr) {
  auto request = proxy.exchange(
      {"POST", "/read", std::move(headers), proxy::encode_images({{key_of("a"), std::nullopt}})});
  proxy.handle(request);
  REQUIRE(request.answer);
  if (source != nullptr) *source = request.asked_source > 0;
  return request.answer->status;
}

}  // namespace

TEST_CASE("who gets another cookie with each answer is the same caller, before and after the promotion") {
  Proxy proxy;
  proxy.ready();
  bool source = false;
  CHECK(read_by(proxy, {{"cookie", "node=1"}}, &source) == 200);
  proxy.reads(100);
  CHECK(read_by(proxy, {{"cookie", "node=2"}}, &source) == 200);
  CHECK_FALSE(source);
  REQUIRE(proxy.move.promote());
  CHECK(read_by(proxy, {{"cookie", "node=3"}}) == 200);
  CHECK(read_by(proxy, {{"who", "mallory"}, {"cookie", "node=3"}}) == 401);
}

TEST_CASE("a cookie that the configuration names tells callers apart") {
  Proxy proxy;
  proxy.move.dialect.auth_header = "Cookie";
  proxy.ready();
  CHECK(read_by(proxy, {{"cookie", "session=alice"}}) == 200);
  REQUIRE(proxy.move.promote());
  CHECK(read_by(proxy, {{"cookie", "session=alice"}}) == 200);
  CHECK(read_by(proxy, {{"cookie", "session=mallory"}}) == 401);
}

TEST_CASE("whom the source had let in is served after an update that tells callers apart by more headers") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  // The state as a version wrote it that kept no form: the salt "pepper", and SHA-256 of that and "alice".
  const std::string hex = "b1b68da447843a6519d8dd7a9c13c90aa1148805cbe55810f86712e6c294ff36";
  std::string alice;
  for (size_t i = 0; i < hex.size(); i += 2)
    alice += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  const std::string table(rows::credentials);
  REQUIRE(proxy.move.journal->erase_rows(table, ""));
  REQUIRE(proxy.move.journal->commit_rows({{table, "salt", "pepper"}, {table, alice, ""}}));
  proxy.restart(proxy.move.disk());
  CHECK(read_by(proxy, {{"who", "alice"}, {"x-api-key", "k"}}) == 200);
  CHECK(read_by(proxy, {{"who", "alice"}}) == 200);
  CHECK(read_by(proxy, {{"who", "bob"}, {"x-api-key", "k"}}) == 401);
  CHECK(read_by(proxy, {}) == 401);
}

TEST_CASE("another header in the configuration shuts nobody out while the target is the primary") {
  Proxy proxy;
  proxy.move.dialect.auth_header = "x-one";
  proxy.ready();
  CHECK(read_by(proxy, {{"x-one", "alice"}}) == 200);
  REQUIRE(proxy.move.promote());
  proxy.move.dialect.auth_header = "x-two";
  proxy.restart(proxy.move.disk());
  CHECK(read_by(proxy, {{"x-one", "alice"}, {"x-two", "any"}}) == 200);
  CHECK(read_by(proxy, {{"x-one", "mallory"}}) == 401);
}
