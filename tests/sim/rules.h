// The rules of correctness.md that the code can be run without (base/rule.h), in the program sim_rules only: what the
// simulator does not miss, it does not guard.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace vmproxy::sim {

std::span<const std::string_view> rules();
void take_away(std::string rule);  // of this process, and those that it forks; empty: all stand

}  // namespace vmproxy::sim
