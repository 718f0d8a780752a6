// model: searches every scenario with all rules in force, then each rule's scenario without that rule. The last line
// is the figure.
//   model [--deep] [--rule NAME] [--scenario NAME] [--states N] [--seconds N] [--table] [--traces]
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>

#include "base/log.h"
#include "tests/model/rules.h"
#include "tests/model/search.h"

using namespace vmproxy::model_check;

namespace {

struct Sum {
  size_t states = 0, violations = 0, capped = 0, necessary = 0, rules = 0;
};

void print_trace(const Found& found) {
  size_t number = 0;
  for (const auto& step : found.trace) std::printf("    %2zu %s\n", ++number, step.c_str());
}

void whole(const Scenario& scenario, const Limits& limits, Sum& sum) {
  const auto began = std::chrono::steady_clock::now();
  const Found found = search(scenario, limits);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  sum.states += found.states;
  std::printf("%-40s %9zu states %10zu steps %5.1f s  %s\n", scenario.name.c_str(), found.states,
              found.transitions, seconds,
              !found.violation.empty() ? ("VIOLATION: " + found.violation).c_str()
              : found.exhausted
                  ? "exhausted, no violation"
                  : ("capped at depth " + std::to_string(found.depth) + ", no violation").c_str());
  if (!found.violation.empty()) {
    ++sum.violations;
    print_trace(found);
  } else if (!found.exhausted) {
    ++sum.capped;
  }
  std::fflush(stdout);
}

void without(const Rule& rule, const Limits& limits, bool table, bool traces, Sum& sum) {
  ++sum.rules;
  bool alone_is_safe = true;
  for (const char* one : {rule.name, rule.covered_by}) {
    if (rule.covered_by == nullptr) break;
    take_away(one);
    const Found alone = search(rule.scenario, limits);
    alone_is_safe = alone_is_safe && alone.violation.empty() && alone.exhausted;
    if (!alone.violation.empty()) {
      std::printf("without %s alone: %s\n", one, alone.violation.c_str());
      print_trace(alone);
    }
  }
  take_away(rule.name, rule.covered_by);
  const Found found = search(rule.scenario, limits);
  take_away(nullptr);
  const bool necessary = !found.violation.empty() && alone_is_safe;
  sum.necessary += necessary ? 1 : 0;
  std::string verdict = found.violation;
  if (verdict.empty()) verdict = found.exhausted ? "NOTHING WRONG" : "CAPPED";
  if (rule.covered_by != nullptr)
    verdict = "with `" + std::string(rule.covered_by) + "`, which covers for it: " + verdict;
  if (table) {
    std::printf("| `%s` | %s | %s | %s | %zu | %s |\n", rule.name, rule.section, rule.text,
                rule.by_hand ? "by hand" : "code", found.trace.size(), verdict.c_str());
  } else {
    std::printf("without %-30s %7zu states, %2zu steps: %s\n", rule.name, found.states, found.trace.size(),
                verdict.c_str());
  }
  if (traces) print_trace(found);
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** words) {
  vmproxy::log::configure("error", "text");
  bool deep = false, table = false, traces = false;
  std::string only_rule, only_scenario;
  Limits limits;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    const auto value = [&] { return i + 1 < count ? std::string(words[++i]) : std::string(); };
    if (word == "--deep") {
      deep = true;
    } else if (word == "--table") {
      table = true;
    } else if (word == "--traces") {
      traces = true;
    } else if (word == "--rule") {
      only_rule = value();
    } else if (word == "--scenario") {
      only_scenario = value();
    } else if (word == "--states") {
      limits.states = std::stoul(value());
    } else if (word == "--seconds") {
      limits.seconds = std::stod(value());
    } else {
      std::fprintf(stderr, "model: '%s' is not known\n", word.c_str());
      return 2;
    }
  }
  Sum sum;
  const auto wanted = [&](const Scenario& scenario) {
    return only_rule.empty() && (only_scenario.empty() || only_scenario == scenario.name);
  };
  for (const auto& scenario : scenarios()) {
    if (wanted(scenario)) whole(scenario, limits, sum);
  }
  for (const auto& scenario : deep_scenarios()) {
    if (deep && wanted(scenario)) whole(scenario, limits, sum);
  }
  for (const auto& rule : rules()) {
    if (only_scenario.empty() && (only_rule.empty() || only_rule == rule.name))
      without(rule, limits, table, traces || !only_rule.empty(), sum);
  }
  std::printf("model: %zu states, %s, %zu violations; %zu of %zu rules shown necessary\n", sum.states,
              sum.capped == 0 ? "exhausted" : (std::to_string(sum.capped) + " scenarios capped").c_str(),
              sum.violations, sum.necessary, sum.rules);
  return sum.violations == 0 && sum.necessary == sum.rules ? 0 : 1;
}
