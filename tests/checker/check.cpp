#include "tests/checker/check.h"

#include <algorithm>

#include "tests/checker/rules.h"

namespace vmproxy::checker {
namespace {

constexpr uint64_t states_per_operation = 32;
constexpr size_t gave_up_keys_max = 20;

}  // namespace

Report check(const History& history, const Limits& limits) {
  Report report;
  report.counts = history.counts();
  report.keys = history.keys().size();
  Findings findings(limits, report);
  for (uint32_t key = 0; key < history.keys().size(); ++key) {
    check_register(history, key, findings);
    check_presence(history, key, findings);
    check_sessions(history, key, findings);
    check_sides(history, key, findings);
  }
  check_primaries(history, findings);
  check_requests(history, findings);
  return report;
}

bool Findings::found(Rule rule, uint64_t count) {
  report_.of(rule).anomalies += count;
  return described_[static_cast<size_t>(rule)] < limits_.details_per_rule;
}

void Findings::describe(Rule rule, std::string key, std::string what, std::vector<Shown> records) {
  const size_t shown = std::min(records.size(), limits_.records_per_anomaly);
  const size_t left_out = records.size() - shown;
  records.resize(shown);
  report_.anomalies.push_back({rule, std::move(key), std::move(what), std::move(records), left_out});
  ++described_[static_cast<size_t>(rule)];
}

void Findings::gave_up(Rule rule, const std::string& key) {
  ++report_.of(rule).gave_up;
  const auto& keys = report_.gave_up_keys;
  if (keys.size() < gave_up_keys_max && std::find(keys.begin(), keys.end(), key) == keys.end())
    report_.gave_up_keys.push_back(key);
}

uint64_t Findings::states_allowed(size_t operations) const {
  const uint64_t left = limits_.states_total - std::min(limits_.states_total, report_.states);
  const uint64_t least = std::min(limits_.states_per_key, states_per_operation * operations);
  return std::max(std::min(limits_.states_per_key, left), least);
}

std::string text_of_value(const History& history, uint32_t value) {
  const auto text = history.value(value);
  return text ? "\"" + std::string(*text) + "\"" : "absent";
}

}  // namespace vmproxy::checker
