// What the reading routes answer.
#include <catch2/catch.hpp>

#include "admin/migration_metrics.h"
#include "tests/admin/fixture.h"

using namespace vmproxy;
using Catch::Matchers::Contains;
using vmproxy::testing::AdminFixture;
namespace json = boost::json;

TEST_CASE_METHOD(AdminFixture, "health says alive, readiness says serving or why not") {
  CHECK(send("GET", "/healthz").body == "{\"alive\":true}\n");
  CHECK(send("GET", "/readyz").status == 200);
  readiness = {false, {"replaying the journal"}};
  const auto response = send("GET", "/readyz");
  CHECK(response.status == 503);
  CHECK(response.body == "{\"serving\":false,\"reasons\":[\"replaying the journal\"]}\n");
  CHECK(send("GET", "/healthz").status == 200);
}

TEST_CASE_METHOD(AdminFixture, "the status of a migration has every field of the contract") {
  auto& s = control.answer;
  s.state = "canary";
  s.generation = 7;
  s.reads_percent = 12.5;
  s.lag_changes = 12;
  s.lag_seconds = 0.25;
  s.lag_rates = {40, 46, 2};
  s.dirty = 1;
  s.suspect = 2;
  s.quarantined = 3;
  s.gaps = 4;
  s.unknown_requests = 5;
  s.backfill = {"copying", "", 50, 200, 1000.0, 0.15};
  s.validation = {"running", "", 10, 1, 2, 3, 4};
  s.lost_fields = {{"things.metadata.color: null", 15}};
  s.left_behind = {"old_things"};
  s.reads.returned = {{"lag", 9}};
  s.gates = {{"lag", false, "12 s", "at most 5 s", "wait"}};
  auto body = object(send("GET", "/api/v1/migrations/m"));
  CHECK(body["name"] == "m");
  CHECK(body["state"] == "canary");
  CHECK(body["primary"] == "source");
  CHECK(body["generation"] == 7);
  CHECK(body["reads_percent"] == 12.5);
  CHECK(body["source"] == "old (a)");
  CHECK(body["target"] == "new (b)");
  CHECK(body["lag"] == json::value({{"changes", 12},
                                    {"seconds", 0.25},
                                    {"written_per_second", 40},
                                    {"applied_per_second", 46},
                                    {"seconds_left", 2}}));
  s.lag_rates = {46, 40, std::nullopt};  // it grows
  body = object(send("GET", "/api/v1/migrations/m"));
  CHECK(body["lag"].at("written_per_second") == 46);
  CHECK(body["lag"].at("seconds_left").is_null());
  s.lag_rates.reset();  // not watched for long enough
  body = object(send("GET", "/api/v1/migrations/m"));
  CHECK(body["lag"].at("applied_per_second").is_null());
  CHECK(body["dirty"] == 1);
  CHECK(body["suspect"] == 2);
  CHECK(body["quarantined"] == 3);
  CHECK(body["gaps"] == 4);
  CHECK(body["unknown_requests"] == 5);
  CHECK(body["backfill"].as_object()["records"] == 50);
  CHECK(body["backfill"].as_object()["total"] == 200);
  CHECK(body["backfill"].as_object()["rate"] == 1000);
  CHECK(body["backfill"].as_object()["eta_seconds"] == 0.15);
  CHECK(body["validation"].as_object()["compared"] == 10);
  CHECK(body["validation"].as_object()["different"] == 1);
  CHECK(body["validation"].as_object()["missing"] == 2);
  CHECK(body["validation"].as_object()["extra"] == 3);
  CHECK(body["lost_fields"] == json::value({{"things.metadata.color: null", 15}}));
  CHECK(body["left_behind"] == json::value(json::array{"old_things"}));
  CHECK(body["validation"].as_object()["unsettled"] == 4);
  CHECK(body["reads"].as_object()["returned"] == json::value({{"lag", 9}}));
  CHECK(body["gates"] == json::value({{{"name", "lag"},
                                       {"ok", false},
                                       {"value", "12 s"},
                                       {"threshold", "at most 5 s"},
                                       {"clear_with", "wait"}}}));
  CHECK(body["work"] == json::value({{"problem", nullptr}, {"code", nullptr}, {"retrying", false}}));
  CHECK(body["next"] == "vmproxy start");
  CHECK(body["back"].is_null());
  CHECK(body["rolled_back_at"].is_null());
}

TEST_CASE_METHOD(AdminFixture, "what is not known or not finite is null, never NaN") {
  control.answer.backfill.eta_seconds = -1;
  control.answer.lag_seconds = std::numeric_limits<double>::infinity();
  control.answer.backfill.rate = std::numeric_limits<double>::quiet_NaN();
  auto body = object(send("GET", "/api/v1/migrations/m"));
  CHECK(body["backfill"].as_object()["eta_seconds"].is_null());
  CHECK(body["backfill"].as_object()["rate"].is_null());
  CHECK(body["lag"].as_object()["seconds"].is_null());
}

TEST_CASE_METHOD(AdminFixture, "the whole status lists all migrations") {
  two_migrations = true;
  other.answer.name = "orders";
  clock.advance(std::chrono::seconds(0));
  auto body = object(send("GET", "/api/v1/status"));
  CHECK(body["version"] == "0.1.0");
  CHECK(body["serving"] == true);
  CHECK(body["uptime_seconds"] == 0);
  REQUIRE(body["migrations"].as_array().size() == 2);
  CHECK(body["migrations"].as_array()[1].as_object()["name"] == "orders");
  CHECK(object(send("GET", "/api/v1/migrations"))["migrations"].as_array().size() == 2);
}

TEST_CASE_METHOD(AdminFixture, "an unknown migration is named with the nearest one") {
  two_migrations = true;
  auto response = send("GET", "/api/v1/migrations/ordrs");
  CHECK(response.status == 404);
  CHECK(object(response)["detail"] == "no migration 'ordrs'; did you mean 'orders'?");
  CHECK(object(send("GET", "/api/v1/migrations/zzzzzz"))["detail"] ==
        "no migration 'zzzzzz'; configured: m or orders");
  CHECK(send("GET", "/api/v1/migrations/%6d").status == 200);
}

TEST_CASE_METHOD(AdminFixture, "wrong paths and methods say what would be right") {
  CHECK(send("GET", "/").status == 404);
  CHECK(send("GET", "/api/v1/migrations/m/start/x").status == 404);
  CHECK(send("GET", "/api/v1/migrations//start").status == 404);
  const auto wrong = send("GET", "/api/v1/migrations/m/promote");
  CHECK(wrong.status == 405);
  CHECK(wrong.headers.find("allow") == "POST");
  CHECK(send("DELETE", "/api/v1/migrations/m").headers.find("allow") == "GET, POST");
  CHECK(control.calls().empty());
}

TEST_CASE_METHOD(AdminFixture, "metrics come as Prometheus text") {
  metrics.counter("requests_total", "Requests").add(3);
  const auto response = send("GET", "/metrics");
  CHECK(response.status == 200);
  CHECK_THAT(response.body, Contains("vmproxy_requests_total 3"));
  CHECK_THAT(std::string(*response.headers.find("content-type")), Contains("text/plain; version=0.0.4"));
}

TEST_CASE_METHOD(AdminFixture, "the facts of a migration are metrics, as of now") {
  admin::export_migrations(metrics, {{"m", &control}});
  auto& s = control.answer;
  s.lag_seconds = 0.5;
  s.lag_changes = 1;
  s.dirty = 2;
  s.suspect = 3;
  s.quarantined = 4;
  s.gaps = 5;
  s.reads_percent = 12.5;
  s.lost_fields = {{"things.metadata.color: null", 15}, {"others", 6}};
  const auto text = send("GET", "/metrics").body;
  for (const char* line : {"mirror_lag_seconds{migration=\"m\"} 0.5", "mirror_lag_changes{migration=\"m\"} 1",
                           "dirty_keys{migration=\"m\"} 2", "suspect_keys{migration=\"m\"} 3",
                           "quarantined_changes{migration=\"m\"} 4", "capture_gaps{migration=\"m\"} 5",
                           "reads_percent{migration=\"m\"} 12.5", "lost_fields{migration=\"m\"} 21"}) {
    CHECK_THAT(text, Contains(std::string("vmproxy_") + line + "\n"));
  }
  s.dirty = 0;
  CHECK_THAT(send("GET", "/metrics").body, Contains("vmproxy_dirty_keys{migration=\"m\"} 0\n"));
}

TEST_CASE_METHOD(AdminFixture, "differences are limited by the caller") {
  control.found_differences = {
      {"c", "1", "missing", ""}, {"c", "2", "extra", ""}, {"c", "3", "different", "vector"}};
  CHECK(object(send("GET", "/api/v1/migrations/m/differences"))["differences"].as_array().size() == 3);
  CHECK(object(send("GET", "/api/v1/migrations/m/differences?limit=2"))["differences"].as_array().size() ==
        2);
  for (const char* bad : {"0", "-1", "x", "1x", "99999999", ""}) {
    INFO(bad);
    CHECK(send("GET", std::string("/api/v1/migrations/m/differences?limit=") + bad).status == 400);
  }
}

TEST_CASE_METHOD(AdminFixture, "quarantine, journal and audit are shown") {
  control.entries = {{7, "c", "k", "too long", "2026-01-01T00:00:00Z"}};
  control.audit_lines = {model::Value(model::Object{{"action", "promote"}, {"who", "ann"}})};
  CHECK(object(send("GET", "/api/v1/migrations/m/quarantine"))["quarantine"]
            .as_array()[0]
            .as_object()["number"] == 7);
  // The list is bounded, the count is not.
  control.answer.quarantined = 1234;
  CHECK(object(send("GET", "/api/v1/migrations/m/quarantine"))["total"] == 1234);
  CHECK(object(send("GET", "/api/v1/migrations/m/quarantine/7"))["reason"] == "too long");
  CHECK(send("GET", "/api/v1/migrations/m/quarantine/8").status == 404);
  CHECK(send("GET", "/api/v1/migrations/m/quarantine/seven").status == 400);
  CHECK(object(send("GET", "/api/v1/migrations/m/journal"))["intents"] == 3);
  CHECK(object(send("POST", "/api/v1/migrations/m/journal/verify"))["problems"].as_array().empty());
  auto line = object(send("GET", "/api/v1/audit"))["audit"].as_array()[0].as_object();
  CHECK(line["who"] == "ann");
  CHECK(line["migration"] == "m");
}
