#include "admin/faults.h"

#include "admin/json.h"
#include "base/fault.h"

namespace vmproxy::admin {
namespace json = boost::json;

net::Response faults(Call&) {
  json::array points;
  for (size_t i = 0; i < fault::points_count; ++i) {
    const fault::Point& point = fault::points[i];
    points.push_back(json::object{{"name", std::string(point.name)},
                                  {"meaning", std::string(point.meaning)},
                                  {"actions", fault::names_of(point.actions)},
                                  {"hits", fault::hits(i)}});
  }
  return json_response(200, json::object{{"armed", fault::armed()}, {"points", std::move(points)}});
}

net::Response arm_faults(Call& call) {
  const json::value* set = call.body.if_contains("set");
  if (set != nullptr && !set->is_string())
    return problem_response(
        Error(Code::invalid, "'set' must be a string: NAME:NTH:ACTION[,...], count, or nothing"));
  if (set != nullptr) {
    const auto armed = fault::arm(std::string_view(set->get_string()));
    if (!armed) return problem_response(armed.error());
  }
  return faults(call);
}

}  // namespace vmproxy::admin
