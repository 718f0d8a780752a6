#include "admin/json.h"

#include <cmath>

namespace vmproxy::admin {
namespace json = boost::json;
namespace {

json::value or_null(const std::string& text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

std::string_view title_of(Code code) {
  switch (code) {
    case Code::invalid: return "The request is wrong";
    case Code::not_found: return "Not found";
    case Code::already_exists: return "It exists already";
    case Code::unauthenticated: return "Not authenticated";
    case Code::permission_denied: return "Not allowed";
    case Code::quota: return "Too many requests";
    case Code::precondition: return "A gate or the state does not allow it";
    case Code::unsupported: return "Not supported";
    case Code::refused_connection:
    case Code::unavailable:
    case Code::connection_lost: return "A database cannot be reached";
    case Code::timeout: return "It took too long";
    case Code::cancelled: return "Given up before it was done";
    case Code::overloaded: return "Too busy";
    case Code::too_large: return "Larger than is taken";
    case Code::corrupt: return "Stored data is damaged";
    case Code::io: return "The disk failed";
    case Code::internal: return "An error of vmproxy's own";
  }
  return "Error";
}

// Length of the well-formed UTF-8 character (RFC 3629) at the beginning; 0: none.
size_t character_length(std::string_view text) {
  const auto byte = [&text](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned second = byte(1);
  if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
      (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) {
    return 0;
  }
  return length;
}

// Names, keys and messages of others may hold any bytes; JSON may not. They can only stand inside of strings.
std::string with_valid_text(const std::string& text) {
  std::string out;
  out.reserve(text.size() + 1);
  for (size_t at = 0; at < text.size();) {
    const size_t length = character_length(std::string_view(text).substr(at));
    if (length == 0) {
      out += "\xef\xbf\xbd";
      ++at;
    } else {
      out.append(text, at, length);
      at += length;
    }
  }
  return out;
}

}  // namespace

json::value number(double value) {
  if (!std::isfinite(value)) return nullptr;
  if (value == std::floor(value) && std::abs(value) < 9007199254740992.0) return static_cast<int64_t>(value);
  return value;
}

json::object to_json(const cutover::Gate& gate) {
  return {{"name", gate.name},
          {"ok", gate.ok},
          {"value", gate.value},
          {"threshold", gate.threshold},
          {"clear_with", gate.clear_with}};
}

json::object to_json(const cutover::Status& s) {
  json::object out;
  out["name"] = s.name;
  out["state"] = s.state;
  out["verdict"] = s.verdict;
  out["primary"] = s.primary;
  out["generation"] = s.generation;
  out["reads_percent"] = number(s.reads_percent);
  out["source"] = s.source;
  out["target"] = s.target;
  json::object lag{{"changes", s.lag_changes},
                   {"seconds", number(s.lag_seconds)},
                   {"written_per_second", nullptr},
                   {"applied_per_second", nullptr},
                   {"seconds_left", nullptr}};
  if (const auto& rates = s.lag_rates) {
    lag["written_per_second"] = number(rates->written);
    lag["applied_per_second"] = number(rates->applied);
    if (rates->seconds_left) lag["seconds_left"] = number(*rates->seconds_left);
  }
  out["lag"] = std::move(lag);
  out["dirty"] = s.dirty;
  out["suspect"] = s.suspect;
  out["quarantined"] = s.quarantined;
  out["gaps"] = s.gaps;
  out["unknown_requests"] = s.unknown_requests;
  out["at_risk"] = s.at_risk;
  out["backfill"] = {
      {"phase", s.backfill.phase},
      {"reason", or_null(s.backfill.reason)},
      {"records", s.backfill.records},
      {"total", s.backfill.total},
      {"rate", number(s.backfill.rate)},
      {"eta_seconds", s.backfill.eta_seconds < 0 ? json::value(nullptr) : number(s.backfill.eta_seconds)}};
  out["validation"] = {{"phase", s.validation.phase},         {"reason", or_null(s.validation.reason)},
                       {"compared", s.validation.compared},   {"different", s.validation.different},
                       {"missing", s.validation.missing},     {"extra", s.validation.extra},
                       {"unsettled", s.validation.unsettled}, {"request", s.validation.request}};
  json::object lost;
  for (const auto& [field, records] : s.lost_fields) lost[field] = records;
  out["lost_fields"] = std::move(lost);
  out["left_behind"] = json::array(s.left_behind.begin(), s.left_behind.end());
  json::object returned;
  for (const auto& [reason, count] : s.reads.returned) returned[reason] = count;
  out["reads"] = {
      {"to_target", s.reads.to_target}, {"to_source", s.reads.to_source}, {"returned", std::move(returned)}};
  out["mirror"] = {{"writes", s.mirror.writes},
                   {"applied", s.mirror.applied},
                   {"failed", s.mirror.failed},
                   {"health", s.mirror.health}};
  out["work"] = {
      {"problem", or_null(s.work.problem)}, {"code", or_null(s.work.code)}, {"retrying", s.work.retrying}};
  json::array gates;
  for (const auto& gate : s.gates) gates.push_back(to_json(gate));
  out["gates"] = std::move(gates);
  out["next"] = or_null(s.next);
  out["back"] = or_null(s.back);
  out["rolled_back_at"] = or_null(s.rolled_back_at);
  out["rolled_back_reason"] = or_null(s.rolled_back_reason);
  out["last_pause_seconds"] = number(s.last_pause_seconds);
  return out;
}

json::object to_json(const cutover::Difference& d) {
  return {{"collection", d.collection}, {"key", d.key}, {"kind", d.kind}, {"detail", d.detail}};
}

json::object to_json(const cutover::QuarantineEntry& e) {
  return {{"number", e.number},
          {"collection", e.collection},
          {"key", e.key},
          {"reason", e.reason},
          {"since", e.since}};
}

json::value to_json(const model::Value& value) {
  if (const auto* truth = std::get_if<bool>(&value.data)) return *truth;
  if (const auto* whole = std::get_if<int64_t>(&value.data)) return *whole;
  if (const auto* whole = std::get_if<uint64_t>(&value.data)) return *whole;
  if (const auto* fraction = std::get_if<double>(&value.data))
    return std::isfinite(*fraction) ? json::value(*fraction) : json::value(nullptr);
  if (value.is_string()) return json::value(value.string());
  if (value.is_array()) {
    json::array out;
    for (const auto& item : value.array()) out.push_back(to_json(item));
    return out;
  }
  if (value.is_object()) {
    json::object out;
    for (const auto& [name, member] : value.object()) out[name] = to_json(member);
    return out;
  }
  return nullptr;
}

int http_status(Code code) {
  switch (code) {
    case Code::invalid: return 400;
    case Code::unauthenticated: return 401;
    case Code::permission_denied: return 403;
    case Code::not_found: return 404;
    case Code::already_exists:
    case Code::precondition: return 409;
    case Code::unsupported: return 422;
    case Code::quota: return 429;
    case Code::refused_connection:
    case Code::connection_lost: return 502;
    case Code::unavailable:
    case Code::cancelled:
    case Code::overloaded: return 503;
    case Code::timeout: return 504;
    case Code::too_large:
    case Code::corrupt:
    case Code::io:
    case Code::internal: return 500;
  }
  return 500;
}

net::Response json_response(int status, const json::value& body) {
  net::Response response;
  response.status = status;
  response.headers = {{"content-type", "application/json"},
                      {"cache-control", "no-store"},
                      {"x-content-type-options", "nosniff"}};
  response.body = with_valid_text(json::serialize(body));
  response.body += '\n';
  return response;
}

net::Response problem_response(const Error& error, const std::vector<cutover::Gate>& gates, int status) {
  const std::string code(name_of(error.code));
  if (status == 0) status = http_status(error.code);
  json::object body{{"type", "urn:vmproxy:problem:" + code},
                    {"title", title_of(error.code)},
                    {"status", status},
                    {"detail", error.message},
                    {"code", code}};
  json::array closed;
  for (const auto& gate : gates) {
    if (!gate.ok) closed.push_back(to_json(gate));
  }
  if (!closed.empty()) body["gates"] = std::move(closed);
  net::Response response = json_response(status, body);
  response.headers.set("content-type", "application/problem+json");
  if (error.code == Code::unauthenticated) response.headers.set("www-authenticate", "Bearer");
  if (error.code == Code::overloaded) response.headers.set("retry-after", "1");
  return response;
}

}  // namespace vmproxy::admin
