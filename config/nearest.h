// Whether a word is known, and "did you mean": the known word closest to one that is not.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vmproxy::config {

bool contains(const std::vector<std::string>& known, const std::string& word);

// Nothing when no candidate is close enough to be worth proposing (about a third of the letters may differ).
std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& known);

// "a, b or c".
std::string one_of(const std::vector<std::string>& known);

}  // namespace vmproxy::config
