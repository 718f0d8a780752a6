// At the end both sides hold the same, and each key once.
#include <set>

#include "tests/checker/describe.h"
#include "tests/checker/rules.h"

namespace vmproxy::checker {

void check_sides(const History& history, uint32_t key, Findings& findings) {
  const std::string& name = history.keys().text_of(key);
  std::set<uint16_t> seen;
  for (const FinalRecord& record : history.finals(key)) {
    if (seen.insert(record.side).second || !findings.found(Rule::set_duplicated)) continue;
    std::vector<Shown> records;
    for (const FinalRecord& other : history.finals(key)) {
      if (other.side == record.side) records.push_back(describe(history, key, other));
    }
    findings.describe(Rule::set_duplicated, name,
                      history.sides().text_of(record.side) + " has it more than once at the end",
                      std::move(records));
  }

  const auto states = history.final_states(key);
  if (states.size() < 2) return;
  findings.checked(Rule::sides_differ);
  for (size_t i = 1; i < states.size(); ++i) {
    if (states[i].value == states[0].value || !findings.found(Rule::sides_differ)) continue;
    findings.describe(
        Rule::sides_differ, name,
        history.sides().text_of(states[0].side) + " ends " + text_of_value(history, states[0].value) + ", " +
            history.sides().text_of(states[i].side) + " ends " + text_of_value(history, states[i].value),
        {describe(history, key, states[0]), describe(history, key, states[i])});
  }
}

}  // namespace vmproxy::checker
