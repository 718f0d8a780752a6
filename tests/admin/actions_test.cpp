// What each action makes of its body, and how refusals look.
#include <catch2/catch.hpp>

#include "tests/admin/fixture.h"

using namespace vmproxy;
using Catch::Matchers::Contains;
using vmproxy::testing::AdminFixture;

namespace {

const std::string base = "/api/v1/migrations/m/";
const std::string by_operator = " who=operator reason= force=";

}  // namespace

TEST_CASE_METHOD(AdminFixture, "each action reaches the migration with its parameters") {
  const std::vector<std::tuple<std::string, std::string, std::string>> cases{
      {"start", "", "start until=ready"},
      {"start", R"({"until":"mirroring"})", "start until=mirroring"},
      {"backfill", R"({"order":"pause"})", "pause"},
      {"backfill", R"({"order":"resume"})", "resume"},
      {"backfill", R"({"order":"throttle","rate":2500})", "throttle 2500.000000"},
      {"validate", "{}", "validate full=1 sample=100.000000 repair=0"},
      {"validate", R"({"sample":2.5,"repair":true})", "validate full=0 sample=2.500000 repair=1"},
      {"cutover", R"({"percent":0})", "cutover 0.000000"},
      {"cutover", R"({"percent":12.5})", "cutover 12.500000"},
      {"promote", "", "promote"},
      {"rollback", " \n", "rollback"},
      {"finalize", "{}", "finalize"},
      {"abandon", "{}", "abandon"},
      {"quarantine", R"({"order":"retry"})", "retry all"},
      {"quarantine", R"({"order":"retry","number":0})", "retry 0"},
      {"quarantine", R"({"order":"drop","number":7})", "drop 7"},
  };
  for (const auto& [action, body, call] : cases) {
    INFO(action << ' ' << body);
    const auto response = send("POST", base + action, body);
    CHECK(response.status == (action == "start" || action == "validate" ? 202 : 200));
    CHECK(object(response)["name"] == "m");
    REQUIRE_FALSE(control.calls().empty());
    CHECK(control.calls().back() == call + by_operator);
  }
  CHECK(control.calls().size() == cases.size());
}

TEST_CASE_METHOD(AdminFixture, "POST on the migration takes any action by name") {
  CHECK(send("POST", "/api/v1/migrations/m", R"({"action":"cutover","percent":10})").status == 200);
  CHECK(control.calls().back() == "cutover 10.000000" + by_operator);
  const auto unknown = send("POST", "/api/v1/migrations/m", R"({"action":"promot"})");
  CHECK(unknown.status == 400);
  CHECK(object(unknown)["detail"] == "unknown action 'promot'; did you mean 'promote'?");
  CHECK(send("POST", "/api/v1/migrations/m", "{}").status == 400);
}

TEST_CASE_METHOD(AdminFixture, "who, why and the skipped gates go to the migration") {
  CHECK(send("POST", base + "promote", R"({"who":"ann","reason":"planned","force":["lag","gaps"]})").status ==
        200);
  CHECK(control.calls().back() == "promote who=ann reason=planned force=lag,gaps,");
}

TEST_CASE_METHOD(AdminFixture, "a body that makes no sense never reaches the migration") {
  const std::vector<std::tuple<std::string, std::string, std::string>> cases{
      {"promote", "{", "not valid JSON"},
      {"promote", "[]", "must be a JSON object"},
      {"promote", "3", "must be a JSON object"},
      {"promote", R"({"reson":"x"})", "unknown member 'reson'; did you mean 'reason'?"},
      {"promote", R"({"percent":10})", "unknown member 'percent'; known are reason, force or who"},
      {"promote", R"({"reason":7})", "'reason' must be a text"},
      {"promote", R"({"force":"lag"})", "'force' must be a list"},
      {"promote", R"({"force":[1]})", "'force' must be a list"},
      {"start", R"({"until":"done"})", "'until' must be mirroring, backfilling or ready"},
      {"cutover", "", "'percent' is missing"},
      {"cutover", R"({"percent":101})", "'percent' must be a number from 0 to 100"},
      {"cutover", R"({"percent":-0.1})", "'percent' must be a number from 0 to 100"},
      {"cutover", R"({"percent":"10"})", "'percent' must be a number from 0 to 100"},
      {"cutover", R"({"percent":1e999})", "'percent' must be a number from 0 to 100"},
      {"validate", R"({"sample":0})", "'sample' must be a percentage"},
      {"validate", R"({"full":true,"sample":5})", "contradict"},
      {"validate", R"({"repair":"yes"})", "'repair' must be true or false"},
      {"backfill", "{}", "'order' must be pause, resume or throttle"},
      {"backfill", R"({"order":"throttle"})", "'rate' is missing"},
      {"backfill", R"({"order":"throttle","rate":-5})", "'rate' must be records per second"},
      {"quarantine", R"({"order":"drop"})", "'number' is missing"},
      {"quarantine", R"({"order":"drop","number":1.5})", "'number' must be a whole number"},
      {"quarantine", R"({"order":"eat"})", "'order' must be retry or drop"},
      {"promote", std::string(R"({"reason":")") + std::string(1001, 'x') + "\"}",
       "'reason' must be a text of at most 1000 bytes"},
  };
  for (const auto& [action, body, expected] : cases) {
    INFO(action << ' ' << body.substr(0, 80));
    const auto response = send("POST", base + action, body);
    CHECK(response.status == 400);
    CHECK(response.headers.find("content-type") == "application/problem+json");
    CHECK_THAT(std::string(object(response)["detail"].as_string()), Contains(expected));
    CHECK(object(response)["code"] == "invalid");
  }
  CHECK(control.calls().empty());
}

TEST_CASE_METHOD(AdminFixture, "a refused promotion carries the closed gates") {
  control.answer.gates = {{"lag", true, "0 s", "at most 5 s", ""},
                          {"gaps", false, "2", "0", "vmproxy validate --full"}};
  control.fail_with(Error(Code::precondition, "2 capture gaps"));
  const auto response = send("POST", base + "promote");
  CHECK(response.status == 409);
  auto body = object(response);
  CHECK(body["type"] == "urn:vmproxy:problem:precondition");
  CHECK(body["title"] == "A gate or the state does not allow it");
  CHECK(body["status"] == 409);
  CHECK(body["detail"] == "2 capture gaps");
  CHECK(body["code"] == "precondition");
  REQUIRE(body["gates"].as_array().size() == 1);
  CHECK(body["gates"].as_array()[0].as_object()["name"] == "gaps");
  CHECK(body["gates"].as_array()[0].as_object()["clear_with"] == "vmproxy validate --full");
}

TEST_CASE_METHOD(AdminFixture, "each kind of failure has its status") {
  const std::vector<std::pair<Code, int>> cases{{Code::invalid, 400},         {Code::not_found, 404},
                                                {Code::already_exists, 409},  {Code::permission_denied, 403},
                                                {Code::precondition, 409},    {Code::unsupported, 422},
                                                {Code::unavailable, 503},     {Code::refused_connection, 502},
                                                {Code::timeout, 504},         {Code::overloaded, 503},
                                                {Code::corrupt, 500},         {Code::io, 500},
                                                {Code::quota, 429},           {Code::internal, 500},
                                                {Code::connection_lost, 502}, {Code::cancelled, 503}};
  for (const auto& [code, status] : cases) {
    control.fail_with(Error(code, "why"));
    const auto response = send("POST", base + "rollback");
    INFO(name_of(code));
    CHECK(response.status == status);
    CHECK(std::string_view(object(response)["code"].as_string()) == name_of(code));
    CHECK_FALSE(object(response).contains("gates"));
  }
}

TEST_CASE_METHOD(AdminFixture, "an exception inside becomes an answer") {
  control.throws = true;
  const auto response = send("GET", "/api/v1/migrations/m");
  CHECK(response.status == 500);
  CHECK(object(response)["code"] == "internal");
  CHECK_THAT(response.body, !Contains("boom"));
}
