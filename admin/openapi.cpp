#include "admin/openapi.h"

#include "admin/routes.h"

namespace vmproxy::admin {
namespace json = boost::json;
namespace {

json::object type(const char* name) {
  return {{"type", name}};
}
json::object nullable(const char* name) {
  return {{"type", json::array{name, "null"}}};
}
json::object array_of(json::object items) {
  return {{"type", "array"}, {"items", std::move(items)}};
}
json::object reference(std::string_view schema) {
  return {{"$ref", "#/components/schemas/" + std::string(schema)}};
}

// An object of which all listed members are always there; others may be added by later versions.
json::object object_of(json::object properties) {
  json::array required;
  for (const auto& member : properties) required.emplace_back(member.key());
  return {{"type", "object"}, {"properties", std::move(properties)}, {"required", std::move(required)}};
}

json::object counts(std::initializer_list<const char*> names) {
  json::object out;
  for (const char* name : names) out[name] = type("integer");
  return out;
}

json::object status_schema() {
  json::object p{{"name", type("string")},
                 {"state",
                  {{"type", "string"},
                   {"enum",
                    {"created", "mirroring", "backfilling", "validating", "ready", "canary", "reads_moved",
                     "promoted", "finalized", "abandoned"}}}},
                 {"verdict", type("string")},
                 {"primary", {{"type", "string"}, {"enum", {"source", "target"}}}},
                 {"generation", type("integer")},
                 {"reads_percent", type("number")},
                 {"source", type("string")},
                 {"target", type("string")},
                 {"lag", object_of({{"changes", type("integer")},
                                    {"seconds", type("number")},
                                    {"written_per_second", nullable("number")},
                                    {"applied_per_second", nullable("number")},
                                    {"seconds_left", nullable("number")}})}};
  for (const char* name : {"dirty", "suspect", "quarantined", "gaps", "unknown_requests", "at_risk"})
    p[name] = type("integer");
  json::object backfill = counts({"records", "total"});
  backfill["phase"] = type("string");
  backfill["reason"] = nullable("string");
  backfill["rate"] = type("number");
  backfill["eta_seconds"] = nullable("number");
  p["backfill"] = object_of(std::move(backfill));
  json::object validation = counts({"compared", "different", "missing", "extra", "unsettled", "request"});
  validation["phase"] = type("string");
  validation["reason"] = nullable("string");
  p["validation"] = object_of(std::move(validation));
  p["lost_fields"] = json::object{{"type", "object"}, {"additionalProperties", type("integer")}};
  p["left_behind"] = array_of(type("string"));
  json::object reads = counts({"to_target", "to_source"});
  reads["returned"] = json::object{{"type", "object"}, {"additionalProperties", type("integer")}};
  p["reads"] = object_of(std::move(reads));
  json::object mirror = counts({"writes", "applied", "failed"});
  mirror["health"] = type("string");
  p["mirror"] = object_of(std::move(mirror));
  p["work"] = object_of(
      {{"problem", nullable("string")}, {"code", nullable("string")}, {"retrying", type("boolean")}});
  p["gates"] = array_of(reference("Gate"));
  for (const char* name : {"next", "back", "rolled_back_at", "rolled_back_reason"})
    p[name] = nullable("string");
  p["last_pause_seconds"] = type("number");
  return object_of(std::move(p));
}

json::object strings(std::initializer_list<const char*> names) {
  json::object out;
  for (const char* name : names) out[name] = type("string");
  return out;
}

json::object schemas() {
  json::object gate = strings({"name", "value", "threshold", "clear_with"});
  gate["ok"] = type("boolean");
  json::object entry = strings({"collection", "key", "reason", "since"});
  entry["number"] = type("integer");
  json::object problem = object_of(strings({"type", "title", "detail", "code"}));
  problem["properties"].get_object()["status"] = type("integer");
  problem["properties"].get_object()["gates"] = array_of(reference("Gate"));
  const json::object readiness{{"serving", type("boolean")}, {"reasons", array_of(type("string"))}};
  json::object server = readiness;
  server["version"] = type("string");
  server["uptime_seconds"] = type("number");
  server["migrations"] = array_of(reference("Status"));
  return {
      {"Alive", object_of({{"alive", type("boolean")}})},
      {"Any", json::object{}},
      {"Audit", object_of({{"audit", array_of(type("object"))}})},
      {"Differences",
       object_of({{"differences", array_of(object_of(strings({"collection", "key", "kind", "detail"})))}})},
      {"Gate", object_of(std::move(gate))},
      {"Migrations", object_of({{"migrations", array_of(reference("Status"))}})},
      {"Problem", std::move(problem)},
      {"Quarantine",
       object_of({{"quarantine", array_of(object_of(std::move(entry)))}, {"total", type("integer")}})},
      {"Readiness", object_of(readiness)},
      {"ServerStatus", object_of(std::move(server))},
      {"Status", status_schema()}};
}

json::object body_schema(const Route& route) {
  json::object properties;
  const auto add = [&properties](std::span<const Parameter> parameters) {
    for (const auto& parameter : parameters) {
      json::object schema =
          parameter.type == "strings" ? array_of(type("string")) : json::object{{"type", parameter.type}};
      schema["description"] = parameter.text;
      properties[parameter.name] = std::move(schema);
    }
  };
  add(route.parameters);
  add(common_parameters());
  return {{"type", "object"}, {"properties", std::move(properties)}, {"additionalProperties", false}};
}

json::object answers(const Route& route) {
  json::object content;
  if (route.answer.empty()) {
    content["text/plain"] = json::object{{"schema", type("string")}};
  } else {
    content["application/json"] = json::object{{"schema", reference(route.answer)}};
  }
  json::object good{{"description", route.summary}, {"content", std::move(content)}};
  json::object out;
  const bool later = route.operation == "start" || route.operation == "validate" || route.operation == "act";
  if (!later || route.operation == "act") out["200"] = good;
  if (later) out["202"] = good;
  if (route.operation == "readyz") out["503"] = good;
  out["default"] = {{"description", "What went wrong (RFC 9457)"},
                    {"content", {{"application/problem+json", {{"schema", reference("Problem")}}}}}};
  return out;
}

json::array path_parameters(const Route& route) {
  json::array out;
  for (const char* name : {"m", "number"}) {
    if (route.pattern.find("{" + std::string(name) + "}") == std::string_view::npos) continue;
    out.push_back({{"name", name},
                   {"in", "path"},
                   {"required", true},
                   {"schema", type(name[0] == 'm' ? "string" : "integer")}});
  }
  if (route.operation == "differences") {
    out.push_back({{"name", "limit"},
                   {"in", "query"},
                   {"schema", {{"type", "integer"}, {"minimum", 1}, {"maximum", 10000}, {"default", 100}}}});
  }
  return out;
}

}  // namespace

json::object openapi_document(const std::string& version) {
  json::object paths;
  for (const Route& route : routes()) {
    json::object operation{
        {"operationId", route.operation}, {"summary", route.summary}, {"responses", answers(route)}};
    if (auto parameters = path_parameters(route); !parameters.empty())
      operation["parameters"] = std::move(parameters);
    if (route.method == "POST")
      operation["requestBody"] = {{"content", {{"application/json", {{"schema", body_schema(route)}}}}}};
    if (route.operation == "healthz" || route.operation == "readyz") operation["security"] = json::array{};
    json::value& path = paths[route.pattern];
    if (!path.is_object()) path = json::object{};
    path.get_object()[route.method == "GET" ? "get" : "post"] = std::move(operation);
  }
  return {
      {"openapi", "3.1.0"},
      {"info",
       {{"title", "vmproxy admin API"},
        {"version", version},
        {"summary", "Control of live migrations between vector databases"}}},
      {"security", json::array{json::object{{"token", json::array{}}}}},
      {"paths", std::move(paths)},
      {"components",
       {{"schemas", schemas()}, {"securitySchemes", {{"token", {{"type", "http"}, {"scheme", "bearer"}}}}}}}};
}

}  // namespace vmproxy::admin
