// `vmproxy serve`: the whole proxy, from its configuration to its end by a signal.
#pragma once

#include <span>

#include "cli/program.h"
#include "protocols/api/system.h"

namespace vmproxy::app {

// SIGTERM and SIGINT end it: requests in flight may finish, a second signal does not wait for them. The
// caller has blocked both signals in every thread.
cli::LocalCommand serve_command(std::span<const protocols::System> systems);

}  // namespace vmproxy::app
