#include "cli/faults.h"

#include <algorithm>

#include "base/fault.h"
#include "cli/format.h"
#include "cli/status_view.h"

namespace vmproxy::cli {
namespace json = boost::json;

Failure no_faults() {
  return {exit_precondition, "this build has no fault points", "One that has: scripts/build torture"};
}

#ifdef VMPROXY_FAULTS

namespace {

json::object points_here() {
  json::array points;
  for (const fault::Point& point : fault::points) {
    points.push_back(json::object{{"name", std::string(point.name)},
                                  {"meaning", std::string(point.meaning)},
                                  {"actions", fault::names_of(point.actions)},
                                  {"hits", 0}});
  }
  return {{"armed", ""}, {"points", std::move(points)}};
}

std::string padded(std::string text, size_t width) {
  text.resize(std::max(text.size() + 1, width), ' ');
  return text;
}

}  // namespace

Ending faults(Session& session, AdminClient& client) {
  auto answer = client.get("/debug/faults");
  if (!answer && answer.error().cause == Code::not_found)
    return Failure{exit_precondition, "the vmproxy at " + client.url() + " has no fault points", ""};
  if (!answer && answer.error().code != exit_unreachable) return answer.error();
  if (!answer) session.terminal.say("no vmproxy answers; these are the points of this program");
  const json::object shown = answer ? std::move(*answer) : points_here();
  auto& out = session.terminal.out();
  if (session.options.json) {
    out << pretty(shown);
    return std::nullopt;
  }
  for (const auto& item : array_at(shown, "points")) {
    if (!item.is_object()) continue;
    const auto& point = item.get_object();
    out << padded(text_at(point, "name"), 20) << padded(std::to_string(count_at(point, "hits")), 8)
        << padded(text_at(point, "actions"), 26) << text_at(point, "meaning") << '\n';
  }
  const std::string armed = text_at(shown, "armed");
  session.terminal.say(armed.empty() ? "nothing is armed, hits are not counted" : "armed: " + armed);
  return std::nullopt;
}

#else

Ending faults(Session&, AdminClient&) {
  return no_faults();
}

#endif

}  // namespace vmproxy::cli
