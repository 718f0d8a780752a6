// The rules of correctness.md that the model takes away, one at a time, and where that is to be seen.
#pragma once

#include <span>
#include <string>

#include "tests/model/scenario.h"

namespace vmproxy::model_check {

struct Rule {
  const char* name;
  const char* section;  // of correctness.md
  const char* text;
  bool by_hand;  // it holds by construction, or by who calls: the model breaks it from outside
  Scenario scenario;
  // Another rule that covers for it: the scenario shows no violation without either alone, and one without both.
  const char* covered_by = nullptr;
  // The scenario shows no violation without it (and without covered_by), and why. If it ever does, that is a failure
  // too: the rule has come to matter, or the words are wrong.
  const char* not_shown = nullptr;
};
std::span<const Rule> rules();
std::span<const Scenario> scenarios();         // of the whole, short enough for each test run
std::span<const Scenario> deep_scenarios();    // for --deep
std::span<const Scenario> walked_scenarios();  // too large to be searched
void take_away(const char* rule, const char* another = nullptr);  // null: all stand

}  // namespace vmproxy::model_check
