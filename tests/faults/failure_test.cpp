// On the same ways each step that can fail, lose its answer or find the disk full does so: once, and again and again for a moment.
// Nobody is killed; who could not begin is started once more. And each point holds up who passes it.
#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <iostream>
#include <random>
#include <set>
#include <utility>

#include "base/fault.h"
#include "tests/faults/lives.h"

using namespace vmproxy;
using namespace vmproxy::faults;

namespace {

constexpr std::string_view delay = "delay=30";  // milliseconds; half a second of the journeys' clock
constexpr size_t delays_at_once = 90;           // of the hundred that can be armed

// Actions as arm() takes them, of what a point can do besides being killed and waiting.
std::vector<std::string> failures_of(const fault::Point& point) {
  std::vector<std::string> actions;
  if ((point.actions & fault::fail) != 0) actions.emplace_back("fail");
  if ((point.actions & fault::drop) != 0) actions.emplace_back("drop");
  if ((point.actions & fault::full) != 0) actions.emplace_back("full");
  if ((point.actions & fault::short_write) != 0) actions.emplace_back("short=100");
  return actions;
}

size_t acted(const std::filesystem::path& directory, const std::string& what) {
  const std::string log = log_of(directory);
  size_t count = 0;
  for (size_t at = log.find(what); at != log.npos; at = log.find(what, at + 1)) ++count;
  return count;
}

struct Lived {
  size_t acted = 0;
  bool well = false;
  std::string log;
};

// `what`: of the log's line about each that acted.
Lived live(const Way& way, const std::string& faults, const std::string& moment, const std::string& what) {
  Directory at;
  live_before(at.path, way);
  Lived life;
  const int status = run(at.path, way.journey, armed_with(way, faults), moment);
  life.acted = acted(at.path, what);
  life.well = ended_well(status) || (starts_again(status) && ended_well(run(at.path, way.journey, "")));
  life.log = "'" + way.journey + "' " + armed_with(way, faults) + " " + moment + "\n" + end_of_log(at.path);
  return life;
}

// One action of one point, at one hit or for a moment.
struct Failure {
  std::vector<Pass> passes;
  std::string point, action;
  bool for_a_moment = false;
  bool acted = false, well = false;
  std::string log = {};
};

void carry_out(Failure& failure, std::optional<uint64_t> seed) {
  const std::string what =
      "name=" + failure.point + " action=" + failure.action.substr(0, failure.action.find('=')) + " hit=";
  for (const Attempt& attempt : attempts(failure.passes, seed, failure.point + failure.action)) {
    const std::string once = failure.point + ":" + std::to_string(attempt.nth) + ":" + failure.action;
    const std::string always = armed_with(*attempt.way, failure.point + ":*:" + failure.action);
    const Lived life =
        failure.for_a_moment ? live(*attempt.way, "", always, what) : live(*attempt.way, once, "", what);
    failure.acted = life.acted > 0;
    failure.well = life.well;
    failure.log = life.log;
    if (!failure.well || failure.acted) return;
  }
}

// Points that one life passes, and holds up whoever passes them.
struct Delays {
  const Way* way;
  std::vector<std::string> points;
  Lived life = {};
};

void carry_out(Delays& delays, const std::map<std::string, uint64_t>& hits, std::optional<uint64_t> seed) {
  std::mt19937_64 chance(seed.value_or(0));
  std::string text;
  for (const auto& point : delays.points) {
    const uint64_t nth = seed ? 1 + chance() % hits.at(point) : 1;
    text += (text.empty() ? "" : ",") + point + ":" + std::to_string(nth) + ":" + std::string(delay);
  }
  delays.life = live(*delays.way, text, "", " action=delay hit=");
}

}  // namespace

TEST_CASE("a step that fails, or whose answer is lost, ends no migration and loses nothing acknowledged") {
  std::vector<Failure> failures;
  std::vector<std::string> not_here;
  std::set<std::string> points;
  for (const auto& point : fault::points) {
    const std::string name(point.name);
    const auto actions = failures_of(point);
    const auto passes = passes_of(name);
    INFO(name);
    if (!actions.empty()) CHECK(passes.empty() == beyond.contains(name));
    if (!actions.empty() && passes.empty()) not_here.push_back(name);
    if (actions.empty() || passes.empty()) continue;
    points.insert(name);
    auto often = passes;  // a moment begins after the start: first where most of them come after it
    std::ranges::stable_sort(often, std::greater(), &Pass::hits);
    for (const auto& action : actions) {
      failures.push_back({passes, name, action, false});
      failures.push_back({often, name, action, true});
    }
  }
  for_each(failures.size(), [&, seed = chosen_seed()](size_t i) { carry_out(failures[i], seed); });
  size_t done = 0, lost = 0;
  std::cout << "failed here:";
  for (const auto& failure : failures) {
    INFO(failure.point << ":" << failure.action << (failure.for_a_moment ? " for a moment" : "") << " in "
                       << failure.log);
    CHECK(failure.acted);
    CHECK(failure.well);
    done += failure.acted ? 1 : 0;
    lost += failure.well ? 0 : 1;
    if (failure.acted)
      std::cout << ' ' << failure.point << ':' << (failure.for_a_moment ? "*:" : "") << failure.action;
  }
  std::cout << "\nbeyond these failures:";
  for (const auto& name : not_here) std::cout << ' ' << name;
  std::cout << '\n'
            << done << " faults at " << points.size() << " points, " << lost << " not recovered; "
            << not_here.size() << " are beyond this test\n";
}

TEST_CASE("wherever somebody is held up, the migration reaches its end and nothing acknowledged is lost") {
  std::vector<Delays> all;
  std::set<std::string> points;
  for (size_t i = 0; i < ways.size(); ++i) {
    Delays delays{&ways[i], {}};
    for (const auto& point : fault::points) {
      if ((point.actions & fault::delay) == 0 || !surveys()[i].hits.contains(std::string(point.name)))
        continue;
      delays.points.emplace_back(point.name);
      points.emplace(point.name);
      if (delays.points.size() == delays_at_once) all.push_back(std::exchange(delays, {&ways[i], {}}));
    }
    if (!delays.points.empty()) all.push_back(std::move(delays));
  }
  for_each(all.size(), [&, seed = chosen_seed()](size_t i) {
    const auto way = static_cast<size_t>(all[i].way - ways.data());
    carry_out(all[i], surveys()[way].hits, seed);
  });
  size_t done = 0, lost = 0;
  for (const auto& delays : all) {
    INFO(delays.life.log);
    CHECK(delays.life.acted > 0);
    CHECK(delays.life.well);
    done += delays.life.acted;
    lost += delays.life.well ? 0 : 1;
  }
  std::cout << done << " delays of " << delay << " at " << points.size() << " points in " << all.size()
            << " lives, " << lost << " of these not recovered\n";
}
