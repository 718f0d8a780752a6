// Why a register cannot have given these answers, in few operations.
#pragma once

#include <vector>

#include "tests/checker/register_search.h"

namespace vmproxy::checker {

// Of steps that search_register calls impossible: some that are impossible by themselves, as indices in order of
// call. First the shortest beginning of the history that is impossible, then as few values and reads of it as bounded
// work finds. The bounds cost brevity, never truth.
std::vector<uint32_t> explain_impossible(std::span<const Step> steps, uint64_t states_max);

}  // namespace vmproxy::checker
