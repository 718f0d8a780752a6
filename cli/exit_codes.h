// Exit codes (contract.md): a script may rely on each.
#pragma once

#include "base/error.h"

namespace vmproxy::cli {

enum Exit : int {
  exit_ok = 0,
  exit_error = 1,
  exit_usage = 2,
  exit_precondition = 3,  // a gate or a state does not allow it
  exit_differences = 4,
  exit_timeout = 5,
  exit_unreachable = 6,
  exit_refused = 7,  // by policy: credentials, or a destructive command without --yes
  exit_interrupted = 130,
};

Exit exit_of(Code code);
// Of the admin API's "code"; internal when it is none.
Code code_from(std::string_view name);

// How a command ends when it does not end well. `text`: what happened; `next`: what to do, may be empty.
struct Failure {
  Exit code;
  std::string text;
  std::string next;
  Code cause = Code::internal;  // of an error that the admin API answered with
};

}  // namespace vmproxy::cli
