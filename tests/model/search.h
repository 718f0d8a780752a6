// Breadth first over all that can happen in a scenario: the first violation found is one of the shortest.
#pragma once

#include <string>
#include <vector>

#include "tests/model/scenario.h"

namespace vmproxy::model_check {

struct Found {
  size_t states = 0;
  size_t transitions = 0;
  size_t depth = 0;        // steps of the longest path
  bool exhausted = false;  // every state that can be reached was looked at
  std::string violation;
  std::vector<std::string> trace;
};
struct Limits {
  size_t states = 2'000'000;
  double seconds = 600;
};
Found search(const Scenario& scenario, const Limits& limits);

}  // namespace vmproxy::model_check
