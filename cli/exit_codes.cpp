#include "cli/exit_codes.h"

namespace vmproxy::cli {

Exit exit_of(Code code) {
  switch (code) {
    case Code::invalid: return exit_usage;
    case Code::unauthenticated:
    case Code::permission_denied: return exit_refused;
    case Code::precondition:
    case Code::unsupported:
    case Code::already_exists: return exit_precondition;
    case Code::refused_connection:
    case Code::unavailable:
    case Code::connection_lost: return exit_unreachable;
    case Code::timeout: return exit_timeout;
    case Code::not_found:
    case Code::quota:
    case Code::cancelled:
    case Code::overloaded:
    case Code::too_large:
    case Code::corrupt:
    case Code::io:
    case Code::internal: return exit_error;
  }
  return exit_error;
}

Code code_from(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(Code::internal); ++i) {
    if (name_of(static_cast<Code>(i)) == name) return static_cast<Code>(i);
  }
  return Code::internal;
}

}  // namespace vmproxy::cli
