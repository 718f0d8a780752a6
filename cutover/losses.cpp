#include "cutover/losses.h"

#include <algorithm>

namespace vmproxy::cutover {

std::vector<std::pair<std::string, uint64_t>> losses_of(const proxy::Collections& collections, size_t max) {
  std::vector<std::pair<std::string, uint64_t>> losses;
  for (const auto& collection : collections.all()) {
    for (const auto& [field, records] : collection->plan->losses())
      losses.emplace_back(collection->key + "." + field, records);
  }
  std::sort(losses.begin(), losses.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  if (losses.size() <= max) return losses;
  uint64_t others = 0;
  for (size_t i = max; i < losses.size(); ++i) others += losses[i].second;
  losses.resize(max);
  losses.emplace_back("others", others);
  return losses;
}

}  // namespace vmproxy::cutover
