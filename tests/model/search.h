// Breadth first over all that can happen in a scenario: the first violation found is one of the shortest. And random
// walks through scenarios that are too large for that.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/model/scenario.h"

namespace vmproxy::model_check {

struct Found {
  size_t states = 0;
  size_t transitions = 0;
  size_t depth = 0;        // steps of the longest path
  bool exhausted = false;  // every state that can be reached was looked at, but for Limits::depth
  std::string violation;
  std::vector<std::string> trace;
};
struct Limits {
  size_t states = 2'000'000;
  size_t depth = SIZE_MAX;  // paths of so many steps are as long as asked for
  double seconds = 600;
};
Found search(const Scenario& scenario, const Limits& limits);
// So many random paths, each to where nothing can happen any more, the same ones for the same seed. A trace has lost
// what the violation does not need.
Found walk(const Scenario& scenario, size_t walks, uint64_t seed);

}  // namespace vmproxy::model_check
