// The definition of a possible register, tried out: every order of every choice. For a handful of steps.
#pragma once

#include "tests/checker/register_search.h"

namespace vmproxy::checker {

bool possible_by_trying(std::span<const Step> steps);

}  // namespace vmproxy::checker
