// `vmproxy from SYSTEM --url URL --to SYSTEM --url URL`: a whole copy in one line, by the same parts as serve
// but without listeners: nobody writes through it. Killed or interrupted, the same line goes on where it
// stopped.
#pragma once

#include <span>

#include "cli/program.h"
#include "protocols/api/system.h"

namespace vmproxy::app {

cli::LocalCommand from_command(std::span<const protocols::System> systems);

}  // namespace vmproxy::app
