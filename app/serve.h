// serve: the running proxy: every migration of the configuration, their listeners and the admin API, until a signal.
#pragma once

#include <atomic>

#include "base/clock.h"
#include "base/error.h"
#include "config/config.h"

namespace vmproxy::app {

// Blocks. `signals` counts SIGTERM and SIGINT so far: the first drains, the second ends fast. An error: it could not
// start, and why.
Result<void> serve(const config::Config& config, const std::string& version, Clock& clock, std::atomic<int>& signals);

}  // namespace vmproxy::app
