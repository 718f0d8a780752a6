// What the checker found. A Report is a plain value; reports of the parts of one history are merged into one.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/checker/history.h"

namespace vmproxy::checker {

enum class Rule : uint8_t {
  linearizability,  // no order of a key's operations explains its reads
  epoch_order,  // an order exists, but only if a write of an epoch takes effect after a write of a later one
  set_lost,     // an acknowledged element is missing in a listing and is not seen again
  set_stale,    // it is missing in a listing and seen again later
  set_duplicated,    // a listing shows it twice
  set_unexpected,    // a listing shows a key that nobody wrote
  resurrection,      // a key shows up whose delete was acknowledged and that nobody can have written since
  read_your_writes,  // a process reads a state that is older than its own acknowledged write
  monotone_reads,    // a process reads a state that is older than what it read before
  two_primaries,     // two sides executed writes as primary in one epoch
  epoch_backwards,   // a write of an epoch began after a write of a later epoch had ended
  request_not_seen,  // the proxy sent it, the database did not see it
  request_not_sent,  // the database saw it, the proxy did not send it
  sides_differ,      // at the end the two sides are not equal
  illegal_final,     // at the end a side shows what the history does not allow
};
inline constexpr size_t rule_count = static_cast<size_t>(Rule::illegal_final) + 1;
std::string_view name_of(Rule rule);

// A record as a line of a history file, and where it stands. The records of an anomaly are a history by themselves
// that breaks the same rule.
struct Shown {
  std::string record;
  std::string place;
};

struct Anomaly {
  Rule rule = Rule::linearizability;
  std::string key;
  std::string what;  // one sentence
  std::vector<Shown> records;
  uint64_t records_left_out = 0;
};

struct RuleResult {
  uint64_t checked = 0;  // 0: the history has nothing that this rule could judge
  uint64_t anomalies = 0;
  uint64_t gave_up = 0;
};

enum class Verdict { clean, anomaly, gave_up };

struct Report {
  std::array<RuleResult, rule_count> rules;
  std::vector<Anomaly> anomalies;  // the first of each rule
  std::vector<std::string> gave_up_keys;
  Counts counts;
  uint64_t keys = 0;
  uint64_t states = 0;  // of all searches
  uint64_t torn_lines = 0;

  const RuleResult& of(Rule rule) const { return rules[static_cast<size_t>(rule)]; }
  RuleResult& of(Rule rule) { return rules[static_cast<size_t>(rule)]; }
  // An anomaly outweighs a search that gave up; what gave up is never clean.
  Verdict verdict() const;
  // Keeps at most `details_per_rule` anomalies of each rule.
  void merge(Report other, size_t details_per_rule);
};

std::string to_text(const Report& report);
std::string to_json(const Report& report);

}  // namespace vmproxy::checker
