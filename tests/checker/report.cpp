#include "tests/checker/report.h"

#include <algorithm>

#include "protocols/wire/json.h"

namespace vmproxy::checker {
namespace {

using model::Array;
using model::Object;

constexpr size_t gave_up_keys_max = 20;

std::string_view name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::clean: return "clean";
    case Verdict::anomaly: return "anomaly";
    case Verdict::gave_up: return "gave_up";
  }
  return "";
}

std::string padded(std::string_view text, size_t width) {
  std::string out(text);
  out.resize(std::max(width, out.size() + 1), ' ');
  return out;
}

Object counts_of(const Report& report) {
  const Counts& c = report.counts;
  return {{"keys", report.keys},
          {"reads", c.reads},
          {"writes", c.writes},
          {"deletes", c.deletes},
          {"failed", c.failed},
          {"unknown", c.unknown},
          {"executions", c.executions},
          {"scans", c.scans},
          {"requests", c.requests},
          {"final_records", c.finals},
          {"states_searched", report.states},
          {"torn_lines", report.torn_lines}};
}

void append_anomaly(std::string& out, const Anomaly& anomaly) {
  out += "\n";
  out += name_of(anomaly.rule);
  if (!anomaly.key.empty()) out += ", key " + anomaly.key;
  out += ": " + anomaly.what + "\n";
  for (const Shown& shown : anomaly.records) {
    out += "  " + shown.record;
    if (!shown.place.empty()) out += "  " + shown.place;
    out += "\n";
  }
  if (anomaly.records_left_out > 0) out += "  and " + std::to_string(anomaly.records_left_out) + " more\n";
}

Object anomaly_object(const Anomaly& anomaly) {
  Array records;
  for (const Shown& shown : anomaly.records)
    records.push_back(Object{{"record", shown.record}, {"place", shown.place}});
  return {{"rule", name_of(anomaly.rule)},
          {"key", anomaly.key},
          {"what", anomaly.what},
          {"records", std::move(records)},
          {"records_left_out", anomaly.records_left_out}};
}

void add(Counts& to, const Counts& from) {
  to.reads += from.reads;
  to.writes += from.writes;
  to.deletes += from.deletes;
  to.unknown += from.unknown;
  to.failed += from.failed;
  to.scans += from.scans;
  to.executions += from.executions;
  to.requests += from.requests;
  to.finals += from.finals;
}

}  // namespace

std::string_view name_of(Rule rule) {
  switch (rule) {
    case Rule::linearizability: return "linearizability";
    case Rule::epoch_order: return "epoch_order";
    case Rule::set_lost: return "set_lost";
    case Rule::set_stale: return "set_stale";
    case Rule::set_duplicated: return "set_duplicated";
    case Rule::set_unexpected: return "set_unexpected";
    case Rule::resurrection: return "resurrection";
    case Rule::read_your_writes: return "read_your_writes";
    case Rule::monotone_reads: return "monotone_reads";
    case Rule::two_primaries: return "two_primaries";
    case Rule::epoch_backwards: return "epoch_backwards";
    case Rule::request_not_seen: return "request_not_seen";
    case Rule::request_not_sent: return "request_not_sent";
    case Rule::sides_differ: return "sides_differ";
    case Rule::illegal_final: return "illegal_final";
  }
  return "";
}

Verdict Report::verdict() const {
  const auto some = [this](auto member) {
    return std::any_of(rules.begin(), rules.end(), [&](const RuleResult& r) { return r.*member > 0; });
  };
  if (some(&RuleResult::anomalies)) return Verdict::anomaly;
  return some(&RuleResult::gave_up) ? Verdict::gave_up : Verdict::clean;
}

void Report::merge(Report other, size_t details_per_rule) {
  for (size_t i = 0; i < rule_count; ++i) {
    rules[i].checked += other.rules[i].checked;
    rules[i].anomalies += other.rules[i].anomalies;
    rules[i].gave_up += other.rules[i].gave_up;
  }
  for (Anomaly& anomaly : other.anomalies) {
    const auto same = std::count_if(anomalies.begin(), anomalies.end(),
                                    [&](const Anomaly& a) { return a.rule == anomaly.rule; });
    if (static_cast<size_t>(same) < details_per_rule) anomalies.push_back(std::move(anomaly));
  }
  for (std::string& key : other.gave_up_keys) {
    if (gave_up_keys.size() < gave_up_keys_max) gave_up_keys.push_back(std::move(key));
  }
  add(counts, other.counts);
  keys += other.keys;
  states += other.states;
  torn_lines = std::max(torn_lines, other.torn_lines);  // each part reads the same files
}

std::string to_text(const Report& report) {
  std::string out = "verdict: ";
  out += name_of(report.verdict());
  out += "\n\n";
  for (const auto& [name, count] : counts_of(report))
    out += padded(name, 20) + protocols::wire::to_json(count) + "\n";
  out += "\n" + padded("rule", 20) + padded("checked", 12) + padded("anomalies", 12) + "gave up\n";
  for (size_t i = 0; i < rule_count; ++i) {
    const RuleResult& result = report.rules[i];
    out += padded(name_of(static_cast<Rule>(i)), 20);
    if (result.checked == 0) {
      out += "nothing to check\n";
      continue;
    }
    out += padded(std::to_string(result.checked), 12) + padded(std::to_string(result.anomalies), 12) +
           std::to_string(result.gave_up) + "\n";
  }
  for (const Anomaly& anomaly : report.anomalies) append_anomaly(out, anomaly);
  if (!report.gave_up_keys.empty()) {
    out += "\ngave up on keys:";
    for (const std::string& key : report.gave_up_keys) out += " " + key;
    out += "\n";
  }
  return out;
}

std::string to_json(const Report& report) {
  Object rules;
  for (size_t i = 0; i < rule_count; ++i) {
    const RuleResult& result = report.rules[i];
    rules[std::string(name_of(static_cast<Rule>(i)))] =
        Object{{"checked", result.checked}, {"anomalies", result.anomalies}, {"gave_up", result.gave_up}};
  }
  Array anomalies;
  for (const Anomaly& anomaly : report.anomalies) anomalies.push_back(anomaly_object(anomaly));
  Array gave_up;
  for (const std::string& key : report.gave_up_keys) gave_up.push_back(key);
  return protocols::wire::to_json(Object{{"verdict", name_of(report.verdict())},
                                         {"counts", counts_of(report)},
                                         {"rules", std::move(rules)},
                                         {"anomalies", std::move(anomalies)},
                                         {"gave_up_keys", std::move(gave_up)}});
}

}  // namespace vmproxy::checker
