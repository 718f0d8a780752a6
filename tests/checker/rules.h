// The rules, each in a file of its own, and the findings that they add to.
#pragma once

#include "tests/checker/check.h"

namespace vmproxy::checker {

class Findings {
 public:
  Findings(const Limits& limits, Report& report) : limits_(limits), report_(report) {}

  void checked(Rule rule, uint64_t count = 1) { report_.of(rule).checked += count; }
  // Counts an anomaly; true if the report still wants it described.
  bool found(Rule rule, uint64_t count = 1);
  void describe(Rule rule, std::string key, std::string what, std::vector<Shown> records);
  void gave_up(Rule rule, const std::string& key);

  uint64_t states_allowed(size_t operations) const;
  void states_used(uint64_t states) { report_.states += states; }

 private:
  const Limits& limits_;
  Report& report_;
  std::array<size_t, rule_count> described_{};
};

void check_register(const History& history, uint32_t key, Findings& findings);
void check_presence(const History& history, uint32_t key, Findings& findings);
void check_sessions(const History& history, uint32_t key, Findings& findings);
void check_sides(const History& history, uint32_t key, Findings& findings);
void check_primaries(const History& history, Findings& findings);
void check_requests(const History& history, Findings& findings);

// "absent" or the value in quotes.
std::string text_of_value(const History& history, uint32_t value);
// The earliest moment that a read may show.
inline Time earliest_shown(const Op& read) {
  return read.stale == never ? before_all : read.call - read.stale;
}

}  // namespace vmproxy::checker
