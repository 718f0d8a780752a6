#include "admin/routes.h"

#include <algorithm>
#include <charconv>

#include "admin/actions.h"
#include "admin/faults.h"
#include "admin/json.h"
#include "admin/openapi.h"

namespace vmproxy::admin {
namespace json = boost::json;
namespace {

constexpr size_t differences_max = 10000;

net::Response healthz(Call&) {
  return json_response(200, json::object{{"alive", true}});
}

json::object readiness_json(const Readiness& readiness) {
  json::array reasons;
  for (const auto& reason : readiness.reasons) reasons.emplace_back(reason);
  return {{"serving", readiness.serving}, {"reasons", std::move(reasons)}};
}

net::Response readyz(Call& call) {
  const Readiness readiness = call.api.readiness();
  return json_response(readiness.serving ? 200 : 503, readiness_json(readiness));
}

net::Response metrics(Call& call) {
  net::Response response;
  response.headers = {{"content-type", "text/plain; version=0.0.4; charset=utf-8"}};
  response.body = call.api.metrics().render();
  return response;
}

net::Response openapi(Call& call) {
  return json_response(200, openapi_document(call.api.version()));
}

json::array all_migrations(Call& call) {
  json::array out;
  for (const auto& [name, control] : call.api.migrations()) out.push_back(to_json(control->status()));
  return out;
}

net::Response status(Call& call) {
  json::object out{{"version", call.api.version()}, {"uptime_seconds", number(call.api.uptime_seconds())}};
  for (const auto& member : readiness_json(call.api.readiness())) out.insert(member);
  out["migrations"] = all_migrations(call);
  return json_response(200, out);
}

net::Response migrations(Call& call) {
  return json_response(200, json::object{{"migrations", all_migrations(call)}});
}

net::Response migration(Call& call) {
  return json_response(200, to_json(call.control->status()));
}

net::Response migration_act(Call& call) {
  const json::value* action = call.body.if_contains("action");
  if (!action || !action->is_string())
    return problem_response(Error(Code::invalid, "'action' is missing: start, cutover, promote, ..."));
  const std::string name(action->get_string());
  return act(call, name);
}

template <const char* const& name>
net::Response action(Call& call) {
  return act(call, name);
}
constexpr const char* start_name = "start";
constexpr const char* backfill_name = "backfill";
constexpr const char* validate_name = "validate";
constexpr const char* cutover_name = "cutover";
constexpr const char* promote_name = "promote";
constexpr const char* rollback_name = "rollback";
constexpr const char* finalize_name = "finalize";
constexpr const char* abandon_name = "abandon";
constexpr const char* quarantine_name = "quarantine";

Result<size_t> limit_of(Call& call) {
  const auto text = net::query_parameter(call.request.target, "limit");
  if (!text) return size_t{100};
  size_t limit = 0;
  const auto parsed = std::from_chars(text->data(), text->data() + text->size(), limit);
  if (parsed.ec != std::errc() || parsed.ptr != text->data() + text->size() || limit == 0 ||
      limit > differences_max) {
    return Error(Code::invalid,
                 "'limit' must be a whole number from 1 to " + std::to_string(differences_max));
  }
  return limit;
}

net::Response differences(Call& call) {
  const auto limit = limit_of(call);
  if (!limit) return problem_response(limit.error());
  const auto found = call.control->differences(*limit);
  if (!found) return problem_response(found.error());
  json::array out;
  for (const auto& difference : *found) out.push_back(to_json(difference));
  return json_response(200, json::object{{"differences", std::move(out)}});
}

net::Response quarantine(Call& call) {
  const auto found = call.control->quarantine();
  if (!found) return problem_response(found.error());
  json::array out;
  for (const auto& entry : *found) out.push_back(to_json(entry));
  // The list is bounded; the count is not.
  const uint64_t total = std::max<uint64_t>(call.control->status().quarantined, out.size());
  return json_response(200, json::object{{"quarantine", std::move(out)}, {"total", total}});
}

net::Response quarantine_show(Call& call) {
  uint64_t number = 0;
  const auto parsed = std::from_chars(call.number.data(), call.number.data() + call.number.size(), number);
  if (call.number.empty() || parsed.ec != std::errc() ||
      parsed.ptr != call.number.data() + call.number.size()) {
    return problem_response(Error(Code::invalid, "the number of a quarantined change is a whole number"));
  }
  const auto found = call.control->quarantine_show(number);
  return found ? json_response(200, to_json(*found)) : problem_response(found.error());
}

net::Response journal(Call& call) {
  const auto found = call.control->journal_stats();
  return found ? json_response(200, to_json(*found)) : problem_response(found.error());
}

net::Response journal_verify(Call& call) {
  const auto found = call.control->journal_verify();
  return found ? json_response(200, to_json(*found)) : problem_response(found.error());
}

net::Response audit(Call& call) {
  json::array out;
  for (const auto& [name, control] : call.api.migrations()) {
    const auto found = control->audit();
    if (!found) return problem_response(found.error().within("audit of migration '" + name + "'"));
    for (const auto& entry : *found) {
      json::value line = to_json(entry);
      if (line.is_object() && !line.get_object().contains("migration")) line.get_object()["migration"] = name;
      out.push_back(std::move(line));
    }
  }
  return json_response(200, json::object{{"audit", std::move(out)}});
}

constexpr Parameter common[] = {{"reason", "string", "why, for the audit log"},
                                {"force", "strings", "names of gates to skip"},
                                {"who", "string", "who asks, for the audit log"}};
constexpr Parameter start_parameters[] = {{"until", "string", "mirroring, backfilling or ready (default)"}};
constexpr Parameter backfill_parameters[] = {
    {"order", "string", "pause, resume or throttle"},
    {"rate", "number", "of throttle: records per second, 0 for no limit"}};
constexpr Parameter validate_parameters[] = {
    {"full", "boolean", "compare every record (default)"},
    {"sample", "number", "compare this percentage of the records"},
    {"repair", "boolean", "bring what differs to the primary's state"}};
constexpr Parameter cutover_parameters[] = {{"percent", "number", "share of reads for the target, 0 to 100"}};
constexpr Parameter quarantine_parameters[] = {
    {"order", "string", "retry or drop"}, {"number", "integer", "which entry; retry without it takes all"}};
constexpr Parameter migration_parameters[] = {
    {"action", "string",
     "start, backfill, validate, cutover, promote, rollback, finalize, abandon or quarantine"},
    {"until", "string", "of start"},
    {"order", "string", "of backfill and quarantine"},
    {"rate", "number", "of backfill"},
    {"full", "boolean", "of validate"},
    {"sample", "number", "of validate"},
    {"repair", "boolean", "of validate"},
    {"percent", "number", "of cutover"},
    {"number", "integer", "of quarantine"}};

#ifdef VMPROXY_FAULTS
constexpr Parameter faults_parameters[] = {{"set", "string", "what to arm, in the words of $VMPROXY_FAULTS"}};
#endif

constexpr Route table[] = {
    {"GET", "/healthz", "healthz", "The process is alive", {}, "Alive", healthz},
    {"GET", "/readyz", "readyz", "Whether applications are served, and why not", {}, "Readiness", readyz},
    {"GET", "/metrics", "metrics", "Metrics in Prometheus' text format", {}, "", metrics},
    {"GET", "/api/v1/openapi.json", "openapi", "This document", {}, "Any", openapi},
    {"GET", "/api/v1/status", "status", "The whole proxy with all migrations", {}, "ServerStatus", status},
    {"GET", "/api/v1/audit", "audit", "Who did what, when and why", {}, "Audit", audit},
    {"GET", "/api/v1/migrations", "migrations", "All migrations", {}, "Migrations", migrations},
    {"GET", "/api/v1/migrations/{m}", "migration", "One migration", {}, "Status", migration},
    {"POST", "/api/v1/migrations/{m}", "act", "Any action, named by 'action'", migration_parameters, "Status",
     migration_act},
    {"POST", "/api/v1/migrations/{m}/start", "start", "Arm the mirror, copy, validate", start_parameters,
     "Status", action<start_name>},
    {"POST", "/api/v1/migrations/{m}/backfill", "backfill", "Pause, resume or throttle the copy",
     backfill_parameters, "Status", action<backfill_name>},
    {"POST", "/api/v1/migrations/{m}/validate", "validate", "Compare both sides", validate_parameters,
     "Status", action<validate_name>},
    {"POST", "/api/v1/migrations/{m}/cutover", "cutover", "Move a share of the reads to the target",
     cutover_parameters, "Status", action<cutover_name>},
    {"POST",
     "/api/v1/migrations/{m}/promote",
     "promote",
     "Move the writes to the target",
     {},
     "Status",
     action<promote_name>},
    {"POST",
     "/api/v1/migrations/{m}/rollback",
     "rollback",
     "Move reads and writes back to the source",
     {},
     "Status",
     action<rollback_name>},
    {"POST",
     "/api/v1/migrations/{m}/finalize",
     "finalize",
     "End with the target as home",
     {},
     "Status",
     action<finalize_name>},
    {"POST",
     "/api/v1/migrations/{m}/abandon",
     "abandon",
     "End with the source as home",
     {},
     "Status",
     action<abandon_name>},
    {"GET",
     "/api/v1/migrations/{m}/differences",
     "differences",
     "What the last validation found",
     {},
     "Differences",
     differences},
    {"GET",
     "/api/v1/migrations/{m}/quarantine",
     "quarantine",
     "Changes that the replica refused for good, or whose record cannot be read",
     {},
     "Quarantine",
     quarantine},
    {"POST", "/api/v1/migrations/{m}/quarantine", "quarantineAct", "Retry or drop quarantined changes",
     quarantine_parameters, "Status", action<quarantine_name>},
    {"GET",
     "/api/v1/migrations/{m}/quarantine/{number}",
     "quarantineShow",
     "One quarantined change with its payload",
     {},
     "Any",
     quarantine_show},
    {"GET", "/api/v1/migrations/{m}/journal", "journal", "Figures of the journal", {}, "Any", journal},
    {"POST",
     "/api/v1/migrations/{m}/journal/verify",
     "journalVerify",
     "Read the whole journal and check it",
     {},
     "Any",
     journal_verify},
#ifdef VMPROXY_FAULTS
    {"GET", "/debug/faults", "faults", "The fault points and their hits", {}, "Any", faults},
    {"POST", "/debug/faults", "armFaults", "Arm fault points", faults_parameters, "Any", arm_faults},
#endif
};

}  // namespace

std::span<const Route> routes() {
  return table;
}
std::span<const Parameter> common_parameters() {
  return common;
}

}  // namespace vmproxy::admin
