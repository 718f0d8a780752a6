#include "admin/actions.h"

#include <cmath>

#include "admin/json.h"
#include "config/nearest.h"

namespace vmproxy::admin {
namespace json = boost::json;
namespace {

Error wrong(std::string_view name, std::string_view must_be) {
  return {Code::invalid, "'" + std::string(name) + "' must be " + std::string(must_be)};
}

Result<std::string> text(const json::object& body, std::string_view name, std::string_view absent) {
  const json::value* value = body.if_contains(name);
  if (!value || value->is_null()) return std::string(absent);
  if (!value->is_string() || value->get_string().size() > 1000)
    return wrong(name, "a text of at most 1000 bytes");
  return std::string(value->get_string());
}

Result<double> decimal(const json::object& body, std::string_view name, double absent, double least,
                       double most, std::string_view must_be) {
  const json::value* value = body.if_contains(name);
  if (!value || value->is_null()) return absent;
  if (!value->is_number()) return wrong(name, must_be);
  const double found = value->to_number<double>();
  if (!std::isfinite(found) || found < least || found > most) return wrong(name, must_be);
  return found;
}

Result<bool> truth(const json::object& body, std::string_view name, bool absent) {
  const json::value* value = body.if_contains(name);
  if (!value || value->is_null()) return absent;
  if (!value->is_bool()) return wrong(name, "true or false");
  return value->get_bool();
}

Result<cutover::Actor> actor_of(const json::object& body) {
  cutover::Actor actor;
  auto who = text(body, "who", actor.who);
  if (!who) return who.error();
  auto reason = text(body, "reason", "");
  if (!reason) return reason.error();
  actor.who = std::move(*who);
  actor.reason = std::move(*reason);
  const json::value* force = body.if_contains("force");
  if (!force || force->is_null()) return actor;
  constexpr std::string_view must_be = "a list of names of gates";
  if (!force->is_array() || force->get_array().size() > 64) return wrong("force", must_be);
  for (const auto& name : force->get_array()) {
    if (!name.is_string()) return wrong("force", must_be);
    actor.force.emplace_back(name.get_string());
  }
  return actor;
}

Result<void> start(cutover::Control& control, const json::object& body, const cutover::Actor& actor) {
  auto until = text(body, "until", "ready");
  if (!until) return until.error();
  if (*until != "mirroring" && *until != "backfilling" && *until != "ready")
    return wrong("until", "mirroring, backfilling or ready");
  return control.start(*until, actor);
}

Result<void> backfill(cutover::Control& control, const json::object& body, const cutover::Actor& actor) {
  auto order = text(body, "order", "");
  if (!order) return order.error();
  if (*order == "pause") return control.pause_backfill(actor);
  if (*order == "resume") return control.resume_backfill(actor);
  if (*order != "throttle") return wrong("order", "pause, resume or throttle");
  auto rate = decimal(body, "rate", -1, 0, 1e12, "records per second, 0 for no limit");
  if (!rate) return rate.error();
  if (*rate < 0) return Error(Code::invalid, "'rate' is missing: records per second, 0 for no limit");
  return control.throttle_backfill(*rate, actor);
}

Result<void> validate(cutover::Control& control, const json::object& body, const cutover::Actor& actor) {
  cutover::ValidateOptions options;
  auto sample = decimal(body, "sample", 100, 1e-6, 100, "a percentage above 0 and up to 100");
  if (!sample) return sample.error();
  options.sample_percent = *sample;
  auto full = truth(body, "full", *sample >= 100);
  if (!full) return full.error();
  options.full = *full;
  if (options.full && *sample < 100)
    return Error(Code::invalid, "'full' and 'sample' contradict each other; send one of them");
  auto repair = truth(body, "repair", false);
  if (!repair) return repair.error();
  options.repair = *repair;
  return control.validate(options, actor);
}

Result<void> cutover_reads(cutover::Control& control, const json::object& body, const cutover::Actor& actor) {
  auto percent = decimal(body, "percent", -1, 0, 100, "a number from 0 to 100");
  if (!percent) return percent.error();
  if (*percent < 0)
    return Error(Code::invalid, "'percent' is missing: the share of reads for the target, 0 to 100");
  return control.cutover(*percent, actor);
}

Result<void> quarantine(cutover::Control& control, const json::object& body, const cutover::Actor& actor) {
  auto order = text(body, "order", "");
  if (!order) return order.error();
  auto number = decimal(body, "number", -1, 0, 9007199254740992.0, "the number of an entry");
  if (!number) return number.error();
  if (*number != std::floor(*number)) return wrong("number", "a whole number");
  const bool given = *number >= 0;
  if (*order == "retry") {
    return control.quarantine_retry(
        given ? std::optional<uint64_t>(static_cast<uint64_t>(*number)) : std::nullopt, actor);
  }
  if (*order != "drop") return wrong("order", "retry or drop");
  if (!given) return Error(Code::invalid, "'number' is missing: drop takes one entry at a time");
  return control.quarantine_drop(static_cast<uint64_t>(*number), actor);
}

Result<void> perform(cutover::Control& control, std::string_view action, const json::object& body) {
  auto actor = actor_of(body);
  if (!actor) return actor.error();
  if (action == "start") return start(control, body, *actor);
  if (action == "backfill") return backfill(control, body, *actor);
  if (action == "validate") return validate(control, body, *actor);
  if (action == "cutover") return cutover_reads(control, body, *actor);
  if (action == "quarantine") return quarantine(control, body, *actor);
  if (action == "promote") return control.promote(*actor);
  if (action == "rollback") return control.rollback(*actor);
  if (action == "finalize") return control.finalize(*actor);
  if (action == "abandon") return control.abandon(*actor);
  static const std::vector<std::string> known{"start",    "backfill", "validate", "cutover",   "promote",
                                              "rollback", "finalize", "abandon",  "quarantine"};
  std::string detail = "unknown action '" + std::string(action).substr(0, 60) + "'";
  const auto close = config::nearest(action, known);
  detail += close ? "; did you mean '" + *close + "'?" : "; known are " + config::one_of(known);
  return Error(Code::invalid, detail);
}

}  // namespace

net::Response act(Call& call, std::string_view action) {
  const auto done = perform(*call.control, action, call.body);
  // 202: the work itself goes on and shows in the status.
  if (done.has_value())
    return json_response(action == "start" || action == "validate" ? 202 : 200,
                         to_json(call.control->status()));
  std::vector<cutover::Gate> gates;
  if (done.error().code == Code::precondition) gates = call.control->status().gates;
  return problem_response(done.error(), gates);
}

}  // namespace vmproxy::admin
