// When two records are equal (design.md, Equality).
#pragma once

#include <optional>
#include <string>

#include "model/record.h"
#include "model/schema.h"

namespace vmproxy::mapping {

// Nothing when equal, else which part differs ("vector", "document", "metadata.price: 1 / 2"), for people.
// Vectors: relative L2 distance at most 1e-6; with `directions_only` (cosine and a target that normalises)
// compared after normalising. Numbers in metadata by value and type.
std::optional<std::string> difference(const model::Record& a, const model::Record& b, bool directions_only);

}  // namespace vmproxy::mapping
