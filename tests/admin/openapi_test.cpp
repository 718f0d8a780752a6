// The OpenAPI document describes exactly the routes that exist and the answers they give.
#include "admin/openapi.h"

#include <catch2/catch.hpp>
#include <set>

#include "admin/routes.h"
#include "tests/admin/fixture.h"

using namespace vmproxy;
using vmproxy::testing::AdminFixture;
namespace json = boost::json;

namespace {

// What of JSON Schema our document uses. Empty: it conforms.
std::string mismatch(const json::value& value, const json::object& schema, const json::object& components,
                     const std::string& at) {
  if (const auto* reference = schema.if_contains("$ref")) {
    const std::string name(
        std::string_view(reference->as_string()).substr(std::string_view("#/components/schemas/").size()));
    return mismatch(value, components.at(name).as_object(), components, at);
  }
  const auto is = [&value](std::string_view type) {
    return (type == "object" && value.is_object()) || (type == "array" && value.is_array()) ||
           (type == "string" && value.is_string()) || (type == "boolean" && value.is_bool()) ||
           (type == "number" && value.is_number()) ||
           (type == "integer" && (value.is_int64() || value.is_uint64())) ||
           (type == "null" && value.is_null());
  };
  if (const auto* type = schema.if_contains("type")) {
    bool good = false;
    if (type->is_array()) {
      for (const auto& one : type->as_array()) good = good || is(one.as_string());
    } else {
      good = is(type->as_string());
    }
    if (!good) return at + " is " + json::serialize(value) + ", not " + json::serialize(*type);
  }
  if (const auto* allowed = schema.if_contains("enum")) {
    bool found = false;
    for (const auto& one : allowed->as_array()) found = found || one == value;
    if (!found) return at + " is not one of the enum";
  }
  if (const auto* required = schema.if_contains("required")) {
    for (const auto& name : required->as_array()) {
      if (!value.as_object().contains(name.as_string()))
        return at + " lacks " + std::string(name.as_string());
    }
  }
  if (const auto* properties = schema.if_contains("properties")) {
    for (const auto& member : value.as_object()) {
      // Stricter than the schema: a member that the document does not name would be undocumented.
      if (!properties->as_object().contains(member.key()))
        return at + "." + std::string(member.key()) + " is undocumented";
      auto inner = mismatch(member.value(), properties->as_object().at(member.key()).as_object(), components,
                            at + "." + std::string(member.key()));
      if (!inner.empty()) return inner;
    }
  }
  if (const auto* items = schema.if_contains("items"); items && value.is_array()) {
    for (const auto& item : value.as_array()) {
      auto inner = mismatch(item, items->as_object(), components, at + "[]");
      if (!inner.empty()) return inner;
    }
  }
  return "";
}

}  // namespace

TEST_CASE_METHOD(AdminFixture, "the document lists exactly the routes that answer") {
  auto document = object(send("GET", "/api/v1/openapi.json"));
  CHECK(document["openapi"] == "3.1.0");
  std::set<std::string> documented, routed;
  for (const auto& path : document["paths"].as_object()) {
    for (const auto& method : path.value().as_object())
      documented.insert(std::string(method.key()) + " " + std::string(path.key()));
  }
  for (const auto& route : admin::routes())
    routed.insert((route.method == "GET" ? "get " : "post ") + std::string(route.pattern));
  CHECK(documented == routed);
  // The contract's own list.
  for (const char* route :
       {"get /healthz", "get /readyz", "get /metrics", "get /api/v1/status", "get /api/v1/migrations/{m}",
        "post /api/v1/migrations/{m}", "post /api/v1/migrations/{m}/start",
        "post /api/v1/migrations/{m}/backfill", "post /api/v1/migrations/{m}/validate",
        "post /api/v1/migrations/{m}/cutover", "post /api/v1/migrations/{m}/promote",
        "post /api/v1/migrations/{m}/rollback", "post /api/v1/migrations/{m}/finalize",
        "post /api/v1/migrations/{m}/abandon", "get /api/v1/audit", "get /api/v1/openapi.json"}) {
    INFO(route);
    CHECK(documented.count(route) == 1);
  }
}

TEST_CASE("operation ids are unique and every reference resolves") {
  const auto document = admin::openapi_document("1");
  std::set<std::string> ids;
  for (const auto& route : admin::routes()) ids.insert(std::string(route.operation));
  CHECK(ids.size() == admin::routes().size());
  const std::string text = json::serialize(document);
  const auto& schemas = document.at("components").as_object().at("schemas").as_object();
  const std::string prefix = "\"#/components/schemas/";
  size_t references = 0;
  for (size_t at = text.find(prefix); at != std::string::npos; at = text.find(prefix, at + 1), ++references) {
    const size_t begin = at + prefix.size();
    CHECK(schemas.contains(text.substr(begin, text.find('"', begin) - begin)));
  }
  CHECK(references > 20);
}

TEST_CASE_METHOD(AdminFixture, "every answer has the shape that the document promises") {
  control.answer.gates = {{"lag", false, "1", "0", "wait"}};
  control.found_differences = {{"c", "1", "missing", ""}};
  control.entries = {{7, "c", "k", "r", "s"}};
  control.audit_lines = {model::Value(model::Object{{"who", "ann"}})};
  const auto document = admin::openapi_document("1");
  const auto& components = document.at("components").as_object().at("schemas").as_object();
  for (const auto& route : admin::routes()) {
    if (route.operation == "metrics") continue;
    std::string path(route.pattern), body;
    if (const auto at = path.find("{m}"); at != std::string::npos) path.replace(at, 3, "m");
    if (const auto at = path.find("{number}"); at != std::string::npos) path.replace(at, 8, "7");
    if (route.operation == "cutover") body = R"({"percent":1})";
    if (route.operation == "backfill") body = R"({"order":"pause"})";
    if (route.operation == "quarantineAct") body = R"({"order":"retry"})";
    if (route.operation == "act") body = R"({"action":"start"})";
    const auto response = send(std::string(route.method), path, body);
    INFO(route.method << ' ' << path << ' ' << response.body);
    const auto& operation = document.at("paths")
                                .as_object()
                                .at(route.pattern)
                                .as_object()
                                .at(route.method == "GET" ? "get" : "post")
                                .as_object();
    const auto* promised = operation.at("responses").as_object().if_contains(std::to_string(response.status));
    REQUIRE(promised);
    const auto& schema = promised->as_object()
                             .at("content")
                             .as_object()
                             .at("application/json")
                             .as_object()
                             .at("schema")
                             .as_object();
    CHECK(mismatch(json::parse(response.body), schema, components, "answer") == "");
  }
}

TEST_CASE_METHOD(AdminFixture, "every problem has the shape that the document promises") {
  control.answer.gates = {{"lag", false, "1", "0", "wait"}};
  control.fail_with(Error(Code::precondition, "no"));
  const auto document = admin::openapi_document("1");
  const auto& components = document.at("components").as_object().at("schemas").as_object();
  for (const auto& response : {send("POST", "/api/v1/migrations/m/promote"), send("GET", "/nothing"),
                               send("POST", "/api/v1/migrations/m/cutover", "{")}) {
    INFO(response.body);
    CHECK(response.status >= 400);
    CHECK(mismatch(json::parse(response.body), components.at("Problem").as_object(), components, "problem") ==
          "");
    CHECK(json::parse(response.body).as_object().at("status") == response.status);
  }
}
