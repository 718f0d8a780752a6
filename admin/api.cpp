#include "admin/api.h"

#include <algorithm>

#include "admin/auth.h"
#include "admin/json.h"
#include "admin/routes.h"
#include "base/log.h"
#include "config/nearest.h"

namespace vmproxy::admin {
namespace json = boost::json;
namespace {

// The segments in braces, when the path fits the pattern.
bool matches(std::string_view pattern, std::string_view path, Call& call) {
  call.migration.clear();
  call.number.clear();
  while (!pattern.empty() && !path.empty()) {
    if (pattern[0] == '{') {
      const size_t pattern_end = pattern.find('}') + 1;
      const size_t path_end = std::min(path.find('/'), path.size());
      if (path_end == 0) return false;
      (pattern.substr(0, pattern_end) == "{m}" ? call.migration : call.number) =
          net::percent_decode(path.substr(0, path_end));
      pattern.remove_prefix(pattern_end);
      path.remove_prefix(path_end);
    } else {
      if (pattern[0] != path[0]) return false;
      pattern.remove_prefix(1);
      path.remove_prefix(1);
    }
  }
  return pattern.empty() && path.empty();
}

// Members that nobody would read are refused: a misspelt "reson" must not be lost.
Result<json::object> read_body(const Route& route, const std::string& text) {
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) return json::object{};
  json::error_code failed;
  json::value value = json::parse(text, failed);
  if (failed) return Error(Code::invalid, "the body is not valid JSON: " + failed.message());
  if (!value.is_object())
    return Error(Code::invalid, "the body must be a JSON object, like {\"reason\": \"...\"}");
  std::vector<std::string> known;
  for (const auto& parameter : route.parameters) known.emplace_back(parameter.name);
  for (const auto& parameter : common_parameters()) known.emplace_back(parameter.name);
  for (const auto& member : value.get_object()) {
    const std::string name(member.key());
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const auto close = config::nearest(name, known);
    return Error(Code::invalid,
                 "unknown member '" + name.substr(0, 60) + "'" +
                     (close ? "; did you mean '" + *close + "'?" : "; known are " + config::one_of(known)));
  }
  return std::move(value.get_object());
}

net::Response unknown_migration(const Call& call) {
  std::vector<std::string> known;
  for (const auto& [name, control] : call.api.migrations()) known.push_back(name);
  const auto close = config::nearest(call.migration, known);
  std::string detail = "no migration '" + call.migration.substr(0, 80) + "'";
  detail += close           ? "; did you mean '" + *close + "'?"
            : known.empty() ? "; none is configured"
                            : "; configured: " + config::one_of(known);
  return problem_response(Error(Code::not_found, detail));
}

net::Response dispatch(Api& api, const net::Request& request) {
  Call call{api, request, {}, {}, nullptr, {}};
  std::string allowed;
  for (const Route& route : routes()) {
    if (!matches(route.pattern, request.path(), call)) continue;
    if (route.method != request.method) {
      allowed += (allowed.empty() ? "" : ", ") + std::string(route.method);
      continue;
    }
    if (route.pattern.find("{m}") != std::string_view::npos) {
      call.control = api.find(call.migration);
      if (!call.control) return unknown_migration(call);
    }
    if (route.method == "POST") {
      auto body = read_body(route, request.body);
      if (!body) return problem_response(body.error());
      call.body = std::move(*body);
    }
    return route.handle(call);
  }
  if (allowed.empty())
    return problem_response(Error(Code::not_found, "no such path; GET /api/v1/openapi.json lists them all"));
  const Error wrong_method(Code::invalid,
                           "this path takes " + allowed + ", not " + request.method.substr(0, 20));
  auto response = problem_response(wrong_method, {}, 405);
  response.headers.set("allow", allowed);
  return response;
}

}  // namespace

Api::Api(ApiOptions options, std::map<std::string, cutover::Control*> migrations, Metrics& metrics,
         Clock& clock)
    : options_(std::move(options)),
      migrations_(std::move(migrations)),
      metrics_(metrics),
      clock_(clock),
      started_(clock.now()) {}

cutover::Control* Api::find(const std::string& name) const {
  const auto found = migrations_.find(name);
  return found == migrations_.end() ? nullptr : found->second;
}

double Api::uptime_seconds() const {
  return std::chrono::duration<double>(clock_.now() - started_).count();
}

std::optional<net::Response> Api::refuse_early(const net::Headers& headers, std::string_view path) const {
  if (is_open(path)) return std::nullopt;
  const auto refused = refuse(headers, options_.token);
  return refused ? std::optional(problem_response(*refused)) : std::nullopt;
}

net::Response Api::handle(const net::Request& request) {
  if (auto refused = refuse_early(request.headers, request.path())) return std::move(*refused);
  try {
    return dispatch(*this, request);
  } catch (const std::exception& failure) {
    log::error("admin request failed by an exception", {{"path", request.path()}, {"what", failure.what()}});
    return problem_response(Error(
        Code::internal,
        "vmproxy failed to answer; look at GET /api/v1/status for what took effect, and at the log for why"));
  }
}

}  // namespace vmproxy::admin
