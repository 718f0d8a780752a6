// Who gets in: with and without a token, on every route.
#include "admin/auth.h"

#include <catch2/catch.hpp>

#include "admin/routes.h"
#include "tests/admin/fixture.h"

using namespace vmproxy;
using vmproxy::testing::AdminFixture;

namespace {

std::string example_of(std::string_view pattern) {
  std::string path(pattern);
  if (const auto at = path.find("{m}"); at != std::string::npos) path.replace(at, 3, "m");
  if (const auto at = path.find("{number}"); at != std::string::npos) path.replace(at, 8, "7");
  return path;
}

}  // namespace

TEST_CASE_METHOD(AdminFixture, "with a token every route but the two health checks needs it") {
  token = "s3cret-token";
  const std::vector<std::pair<net::Headers, bool>> credentials{
      {{}, false},
      {{{"authorization", "Bearer s3cret-token"}}, true},
      {{{"Authorization", "bearer s3cret-token"}}, true},
      {{{"authorization", "Bearer wrong"}}, false},
      {{{"authorization", "Bearer s3cret-toke"}}, false},
      {{{"authorization", "Bearer s3cret-tokenn"}}, false},
      {{{"authorization", "Bearer s3cret-tokens3cret-token"}}, false},
      {{{"authorization", "Bearer "}}, false},
      {{{"authorization", "Bearer"}}, false},
      {{{"authorization", "Basic s3cret-token"}}, false},
      {{{"authorization", "s3cret-token"}}, false},
      {{{"x-token", "s3cret-token"}}, false},
  };
  for (const auto& route : admin::routes()) {
    for (const auto& [headers, good] : credentials) {
      const auto response = send(std::string(route.method), example_of(route.pattern), "", headers);
      INFO(route.method << ' ' << route.pattern << ' '
                        << (headers.all().empty() ? "nothing" : headers.all()[0].second));
      const bool open = route.operation == "healthz" || route.operation == "readyz";
      CHECK((response.status != 401) == (good || open));
      if (response.status == 401) {
        CHECK(response.headers.find("www-authenticate") == "Bearer");
        CHECK(object(response)["code"] == "unauthenticated");
        CHECK(response.body.find("s3cret") == std::string::npos);
      }
    }
  }
}

TEST_CASE_METHOD(AdminFixture, "without the token a path does not even show whether it exists") {
  token = "t";
  CHECK(send("GET", "/api/v1/nothing").status == 401);
  CHECK(send("GET", "/api/v1/migrations/nothing").status == 401);
}

TEST_CASE_METHOD(AdminFixture, "without a token a name that resolves here by foreign DNS is refused") {
  for (const char* host : {"127.0.0.1:7070", "localhost:7070", "[::1]:7070", "localhost"}) {
    INFO(host);
    CHECK(send("GET", "/api/v1/status", "", {{"host", host}}).status == 200);
  }
  for (const char* host : {"evil.example:7070", "127.0.0.1.evil.example", "192.168.1.5:7070", ""}) {
    INFO(host);
    CHECK(send("GET", "/api/v1/status", "", {{"host", host}}).status == 403);
  }
  token = "t";
  CHECK(
      send("GET", "/api/v1/status", "", {{"host", "proxy.example"}, {"authorization", "Bearer t"}}).status ==
      200);
}

TEST_CASE_METHOD(AdminFixture, "a page of another web site cannot promote") {
  const net::Headers foreign{{"host", "127.0.0.1:7070"}, {"origin", "http://evil.example"}};
  CHECK(send("POST", "/api/v1/migrations/m/promote", "", foreign).status == 403);
  CHECK(send("POST", "/api/v1/migrations/m/promote", "", {{"host", "127.0.0.1:7070"}, {"origin", "null"}})
            .status == 403);
  CHECK(control.calls().empty());
  const net::Headers own{{"host", "127.0.0.1:7070"}, {"origin", "http://127.0.0.1:7070"}};
  CHECK(send("POST", "/api/v1/migrations/m/promote", "", own).status == 200);
}

TEST_CASE("tokens compare as a whole") {
  using admin::equal_in_constant_time;
  CHECK(equal_in_constant_time("abc", "abc"));
  CHECK_FALSE(equal_in_constant_time("abd", "abc"));
  CHECK_FALSE(equal_in_constant_time("ab", "abc"));
  CHECK_FALSE(equal_in_constant_time("abcabc", "abc"));
  CHECK_FALSE(equal_in_constant_time("", "abc"));
  CHECK_FALSE(equal_in_constant_time("", ""));
  CHECK_FALSE(equal_in_constant_time("a", ""));
}
