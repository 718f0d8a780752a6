// Requests from anywhere: always an answer of the right shape.
#include <rapidcheck/catch.h>

#include <catch2/catch.hpp>

#include "tests/admin/fixture.h"

using namespace vmproxy;
using vmproxy::testing::AdminFixture;
namespace json = boost::json;

namespace {

void must_be_problem_or_json(const net::Response& response) {
  RC_ASSERT(response.status >= 200);
  RC_ASSERT(response.status < 500);
  json::error_code failed;
  const json::value body = json::parse(response.body, failed);
  RC_ASSERT(!failed);
  if (response.status >= 400) RC_ASSERT(body.as_object().at("status") == response.status);
}

}  // namespace

TEST_CASE_METHOD(AdminFixture, "any path and method is answered") {
  rc::prop("paths", [this](const std::string& path, const std::string& method) {
    must_be_problem_or_json(send(method, path));
    must_be_problem_or_json(send("GET", "/api/v1/migrations/" + path));
    must_be_problem_or_json(send("POST", "/api/v1/migrations/m/quarantine/" + path));
  });
}

TEST_CASE_METHOD(AdminFixture, "any body is answered") {
  const std::vector<std::string> actions{"start", "backfill", "validate", "cutover", "promote", "quarantine"};
  const std::vector<std::string> pieces{
      "{",         "}",           "[",    "]", ":",   ",",     "\"percent\"", "\"rate\"",  "\"order\"",
      "\"force\"", "\"reason\"",  "null", "1", "-1",  "1e9",   "1e400",       "\"\"",      "\"throttle\"",
      "true",      "\"\\ud800\"", "\xff", " ", "0x1", "\"a\"", "\\u0000",     "\"sample\""};
  rc::prop("bodies", [&]() {
    std::string body;
    for (const auto& piece : *rc::gen::container<std::vector<std::string>>(rc::gen::elementOf(pieces)))
      body += piece;
    must_be_problem_or_json(send("POST", "/api/v1/migrations/m/" + *rc::gen::elementOf(actions), body));
  });
}

TEST_CASE_METHOD(AdminFixture, "a deeply nested body is refused") {
  CHECK(send("POST", "/api/v1/migrations/m/promote", std::string(60000, '[')).status == 400);
  CHECK(send("POST", "/api/v1/migrations/m/promote",
             "{\"force\":" + std::string(30000, '[') + std::string(30000, ']') + "}")
            .status == 400);
}

TEST_CASE_METHOD(AdminFixture, "names of others come back only as text in JSON") {
  const auto response = send("GET", "/api/v1/migrations/%22%7D%0A%3Cscript%3E");
  CHECK(response.status == 404);
  CHECK(response.headers.find("content-type") == "application/problem+json");
  CHECK(response.headers.find("x-content-type-options") == "nosniff");
  CHECK(object(response)["status"] == 404);
}

TEST_CASE_METHOD(AdminFixture, "bytes that are no text are replaced, text stays") {
  control.answer.source = "a\xff\xc3\xa9\xed\xa0\x80\xf0\x9f\x98\x80\xc3";
  const std::string replaced = "\xef\xbf\xbd";
  CHECK(std::string_view(object(send("GET", "/api/v1/migrations/m"))["source"].as_string()) ==
        "a" + replaced + "\xc3\xa9" + replaced + replaced + replaced + "\xf0\x9f\x98\x80" + replaced);
}
