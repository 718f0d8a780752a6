#include "cli/admin_client.h"

#include <stdexcept>
#include <vector>

#include "config/nearest.h"

namespace vmproxy::cli {
namespace json = boost::json;
namespace {

std::string text_of(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

// A problem (RFC 9457) with its closed gates, one line each.
Failure failure_of(const json::object& problem) {
  const std::string detail = text_of(problem, "detail");
  const Code code = code_from(text_of(problem, "code"));
  Failure failure{exit_of(code), detail.empty() ? text_of(problem, "title") : detail, "", code};
  const auto* gates = problem.if_contains("gates");
  if (!gates || !gates->is_array()) return failure;
  for (const auto& gate : gates->get_array()) {
    if (!gate.is_object()) continue;
    const auto& g = gate.get_object();
    failure.text += "\n  gate " + text_of(g, "name") + ": is " + text_of(g, "value") + ", must be " +
                    text_of(g, "threshold");
    if (const auto clear = text_of(g, "clear_with"); !clear.empty())
      failure.text += "\n    clear it with: " + clear;
  }
  return failure;
}

}  // namespace

void throw_exception_from_error(const Failure& failure, const boost::source_location&) {
  throw std::runtime_error(failure.text);
}

Answer AdminClient::get(const std::string& path, Duration timeout) {
  net::Request request;
  request.method = "GET";
  request.target = path;
  return send(std::move(request), timeout);
}

Answer AdminClient::post(const std::string& path, const json::object& body, Duration timeout) {
  net::Request request;
  request.method = "POST";
  request.target = path;
  request.headers.set("content-type", "application/json");
  request.body = json::serialize(body);
  return send(std::move(request), timeout);
}

Answer AdminClient::send(net::Request request, Duration timeout) {
  if (!address_.token.empty()) request.headers.set("authorization", "Bearer " + address_.token);
  request.headers.set("accept", "application/json");
  const auto response = transport_(request, clock_.in(timeout));
  if (!response) {
    const auto& error = response.error();
    if (error.code == Code::timeout) {
      return Failure{exit_timeout,
                     "the admin API at " + address_.url + " did not answer in time: " + error.message,
                     "Whether it took effect shows in: vmproxy status"};
    }
    if (error.code == Code::invalid) return Failure{exit_usage, error.message, ""};
    return Failure{
        exit_unreachable, "no vmproxy answers at " + address_.url + ": " + error.message,
        "Is it running? Start it with: vmproxy serve -c FILE. Or name its address with --admin URL"};
  }
  json::error_code failed;
  json::value body = json::parse(response->body, failed);
  if (failed || !body.is_object()) {
    return Failure{exit_error,
                   address_.url + " answered with status " + std::to_string(response->status) +
                       " and no JSON; is this vmproxy's admin API?",
                   ""};
  }
  if (response->status < 200 || response->status >= 300) return failure_of(body.get_object());
  return std::move(body.get_object());
}

boost::system::result<std::string, Failure> AdminClient::migration(const std::string& named) {
  const auto answer = get("/api/v1/migrations");
  if (!answer) return answer.error();
  std::vector<std::string> known;
  if (const auto* all = answer->if_contains("migrations"); all && all->is_array()) {
    for (const auto& one : all->get_array()) {
      if (one.is_object()) known.push_back(text_of(one.get_object(), "name"));
    }
  }
  if (named.empty()) {
    if (known.size() == 1) return known[0];
    if (known.empty())
      return Failure{exit_precondition, "no migration is configured",
                     "Add one to 'migrations' in the configuration"};
    return Failure{exit_usage, "which migration? There are " + config::one_of(known),
                   "Name it with --migration NAME"};
  }
  for (const auto& name : known) {
    if (name == named) return named;
  }
  const auto close = config::nearest(named, known);
  return Failure{exit_usage,
                 "no migration '" + named + "'" +
                     (close           ? "; did you mean '" + *close + "'?"
                      : known.empty() ? ""
                                      : "; there are " + config::one_of(known)),
                 ""};
}

}  // namespace vmproxy::cli
