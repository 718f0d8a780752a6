// `vmproxy discover SYSTEM --url URL`: what a database holds, by its driver alone.
#pragma once

#include "cli/databases.h"

namespace vmproxy::cli {

LocalCommand discover_command(Systems systems);

// "384 x float32, cosine", for people.
std::string describe_vectors(const model::Schema& schema);
std::string_view name_of(model::IdKind kind);

}  // namespace vmproxy::cli
