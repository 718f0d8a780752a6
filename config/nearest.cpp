#include "config/nearest.h"

#include <algorithm>
#include <cctype>

namespace vmproxy::config {
namespace {

char lower(char c) {
  return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
}

// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours cost one each.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t cost = lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1;
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + cost});
      if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1])) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

bool contains(const std::vector<std::string>& known, const std::string& word) {
  return std::ranges::find(known, word) != known.end();
}

std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& known) {
  constexpr size_t word_length_max = 64;  // longer ones are no typing mistakes, and the table would grow
  if (word.empty() || word.size() > word_length_max) return std::nullopt;
  const std::string* best = nullptr;
  size_t best_distance = 0;
  for (const auto& candidate : known) {
    const size_t found = distance(word, candidate);
    if (!best || found < best_distance) {
      best = &candidate;
      best_distance = found;
    }
  }
  if (!best) return std::nullopt;
  const size_t allowed = std::max<size_t>(1, std::max(word.size(), best->size()) / 3);
  // Of two letters one may always be wrong: propose nothing where nothing at all agrees.
  if (best_distance > allowed || best_distance >= std::max(word.size(), best->size())) return std::nullopt;
  return *best;
}

std::string one_of(const std::vector<std::string>& known) {
  std::string out;
  for (size_t i = 0; i < known.size(); ++i) {
    if (i > 0) out += i + 1 == known.size() ? " or " : ", ";
    out += known[i];
  }
  return out;
}

}  // namespace vmproxy::config
