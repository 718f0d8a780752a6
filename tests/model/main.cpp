// model: searches every scenario with all rules in force and walks at random through larger ones, then searches each
// rule's scenario without that rule. The last line is the figure.
//   model [--deep] [--rule NAME] [--scenario NAME] [--states N] [--seconds N] [--walks N] [--seed N] [--table]
//     [--traces]
#include <chrono>
#include <cstdio>
#include <string>

#include "base/log.h"
#include "tests/model/rules.h"
#include "tests/model/search.h"

using namespace vmproxy::model_check;

namespace {

struct Wanted {
  bool deep = false, table = false, traces = false;
  std::string rule, scenario;  // only that one
  size_t walks = 500;          // through each scenario
  uint64_t seed = 1;
  Limits limits;
};
struct Sum {
  size_t states = 0, walked = 0, violations = 0, capped = 0, alone = 0, in_pairs = 0, not_shown = 0,
         rules = 0;
};

void print_trace(const Found& found) {
  size_t number = 0;
  for (const auto& step : found.trace) std::printf("    %2zu %s\n", ++number, step.c_str());
}

double seconds_since(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

void whole(const Scenario& scenario, const Wanted& wanted, Sum& sum) {
  const auto began = std::chrono::steady_clock::now();
  const Found found = search(scenario, wanted.limits);
  std::string verdict = "every state, no violation";
  if (!found.violation.empty()) {
    verdict = "VIOLATION: " + found.violation;
    ++sum.violations;
  } else if (!found.exhausted) {
    verdict = "capped at depth " + std::to_string(found.depth) + ", no violation";
    ++sum.capped;
  }
  sum.states += found.states;
  if (wanted.table) {
    std::printf("| %s | %zu | %zu | %zu | %s |\n", scenario.name.c_str(), found.states, found.transitions,
                found.depth, verdict.c_str());
  } else {
    std::printf("%-40s %9zu states %10zu steps %5.1f s  %s\n", scenario.name.c_str(), found.states,
                found.transitions, seconds_since(began), verdict.c_str());
  }
  print_trace(found);
  std::fflush(stdout);
}

void walked(const Scenario& scenario, const Wanted& wanted, Sum& sum) {
  const auto began = std::chrono::steady_clock::now();
  const Found found = walk(scenario, wanted.walks, wanted.seed);
  std::string verdict = "no violation";
  if (!found.violation.empty()) {
    verdict = "VIOLATION: " + found.violation;
    ++sum.violations;
  }
  sum.walked += found.transitions;
  if (wanted.table) {
    std::printf("| %s | %zu walks, %zu to rest | %zu | %zu | %s |\n", scenario.name.c_str(), wanted.walks,
                found.states, found.transitions, found.depth, verdict.c_str());
  } else {
    std::printf("%-40s %9zu walks, %zu to rest, %zu steps %5.1f s  %s\n", scenario.name.c_str(), wanted.walks,
                found.states, found.transitions, seconds_since(began), verdict.c_str());
  }
  print_trace(found);
  std::fflush(stdout);
}

// A rule that another one covers for is necessary if neither alone violates, and both do.
bool safe_without(const char* rule, const Scenario& scenario, const Limits& limits) {
  take_away(rule);
  const Found alone = search(scenario, limits);
  if (!alone.violation.empty()) {
    std::printf("without %s alone: %s\n", rule, alone.violation.c_str());
    print_trace(alone);
  }
  return alone.violation.empty() && alone.exhausted;
}

void without(const Rule& rule, const Wanted& wanted, Sum& sum) {
  ++sum.rules;
  const auto began = std::chrono::steady_clock::now();
  bool as_said = true;
  if (rule.covered_by != nullptr && rule.not_shown == nullptr) {
    for (const char* one : {rule.name, rule.covered_by})
      as_said = safe_without(one, rule.scenario, wanted.limits) && as_said;
  }
  take_away(rule.name, rule.covered_by);
  const Found found = search(rule.scenario, wanted.limits);
  take_away(nullptr);
  std::string verdict = found.violation;
  if (verdict.empty()) verdict = found.exhausted ? "nothing wrong" : "CAPPED";
  if (rule.not_shown != nullptr) {
    as_said = found.violation.empty() && found.exhausted;
    verdict += ": " + std::string(rule.not_shown);
    sum.not_shown += as_said ? 1 : 0;
  } else {
    // It shows something only if nothing goes wrong so far with it.
    Limits as_deep = wanted.limits;
    as_deep.depth = found.trace.size() + 1;
    const Found with_it = search(rule.scenario, as_deep);
    if (!with_it.violation.empty()) verdict += "; WITH IT TOO: " + with_it.violation;
    as_said = as_said && !found.violation.empty() && with_it.violation.empty() && with_it.exhausted;
    (rule.covered_by == nullptr ? sum.alone : sum.in_pairs) += as_said ? 1 : 0;
  }
  if (rule.covered_by != nullptr)
    verdict = "with `" + std::string(rule.covered_by) + "`, which covers for it: " + verdict;
  if (!as_said) verdict += "  NOT AS EXPECTED";
  if (wanted.table) {
    std::printf("| `%s` | %s | %s | %s | %zu | %s |\n", rule.name, rule.section, rule.text,
                rule.by_hand ? "by hand" : "code", found.trace.size(), verdict.c_str());
  } else {
    std::printf("without %-30s %7zu states %5.1f s, %2zu steps: %s\n", rule.name, found.states,
                seconds_since(began), found.trace.size(), verdict.c_str());
  }
  if (wanted.traces) print_trace(found);
  std::fflush(stdout);
}

bool parse(int count, char** words, Wanted& wanted) {
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    const auto value = [&] { return i + 1 < count ? std::string(words[++i]) : std::string("0"); };
    if (word == "--deep") {
      wanted.deep = true;
    } else if (word == "--table") {
      wanted.table = true;
    } else if (word == "--traces") {
      wanted.traces = true;
    } else if (word == "--rule") {
      wanted.rule = value();
      wanted.traces = true;
    } else if (word == "--scenario") {
      wanted.scenario = value();
    } else if (word == "--states") {
      wanted.limits.states = std::stoul(value());
    } else if (word == "--seconds") {
      wanted.limits.seconds = std::stod(value());
    } else if (word == "--walks") {
      wanted.walks = std::stoul(value());
    } else if (word == "--seed") {
      wanted.seed = std::stoull(value());
    } else {
      std::fprintf(stderr, "model: '%s' is not known\n", word.c_str());
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int count, char** words) {
  vmproxy::log::configure("none", "text");
  Wanted wanted;
  if (!parse(count, words, wanted)) return 2;
  Sum sum;
  const auto asked_for = [&](const Scenario& scenario) {
    return wanted.rule.empty() && (wanted.scenario.empty() || wanted.scenario == scenario.name);
  };
  if (wanted.table)
    std::printf("| scenario | states | steps | longest path | with every rule |\n|---|---|---|---|---|\n");
  for (const auto& scenario : scenarios()) {
    if (asked_for(scenario)) whole(scenario, wanted, sum);
  }
  for (const auto& scenario : deep_scenarios()) {
    if ((wanted.deep || !wanted.scenario.empty()) && asked_for(scenario)) whole(scenario, wanted, sum);
  }
  for (const auto& scenario : walked_scenarios()) {
    if (asked_for(scenario)) walked(scenario, wanted, sum);
  }
  if (wanted.table)
    std::printf(
        "\n| rule | section | what it says | taken away | steps | without it |\n|---|---|---|---|---|---|\n");
  for (const auto& rule : rules()) {
    if (wanted.scenario.empty() && (wanted.rule.empty() || wanted.rule == rule.name))
      without(rule, wanted, sum);
  }
  std::printf(
      "%smodel: %zu states, %s, %zu steps walked, %zu violations; of %zu rules %zu shown necessary alone, "
      "%zu only together with one that covers for it, %zu not shown\n",
      wanted.table ? "\n" : "", sum.states,
      sum.capped == 0 ? "exhausted" : (std::to_string(sum.capped) + " scenarios capped").c_str(), sum.walked,
      sum.violations, sum.rules, sum.alone, sum.in_pairs, sum.not_shown);
  return sum.violations == 0 && sum.alone + sum.in_pairs + sum.not_shown == sum.rules ? 0 : 1;
}
