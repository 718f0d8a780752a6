// Losses: what the target could not hold, by field. The plans count it while records are carried, since this process began.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "proxy/collections.h"

namespace vmproxy::cutover {

// "collection.field" -> records, most first; those beyond `max` are summed up as "others".
std::vector<std::pair<std::string, uint64_t>> losses_of(const proxy::Collections& collections, size_t max);

}  // namespace vmproxy::cutover
