// Regular expressions of the model (RE2's syntax, matched anywhere) as PostgreSQL's, for the part of the
// language in which both can be made to mean the same.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace vmproxy::protocols::pgvector {

// Error unsupported "filter.matches: ..." for what would mean something else there.
Result<std::string> to_postgresql_regex(std::string_view pattern);

}  // namespace vmproxy::protocols::pgvector
