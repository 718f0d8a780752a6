// The rules of correctness.md that the code can be run without (base/rule.h), in the program sim_rules only: what the
// simulator does not miss, it does not guard.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace vmproxy::sim {

struct Rule {
  std::string_view name;
  uint64_t seed;  // the first in which it is missed; 0: in none that was tried
};
std::span<const Rule> rules();
void take_away(std::string rule);  // of this process, and those that it forks; empty: all stand

}  // namespace vmproxy::sim
