// The one list of systems. Adding a system is a folder under protocols/ and one line in registry.cpp.
#pragma once

#include <string_view>
#include <vector>

#include "config/config.h"
#include "protocols/api/system.h"

namespace vmproxy::app {

const std::vector<protocols::System>& systems();
const protocols::System* find_system(std::string_view name);
config::KnownNames known_names();
protocols::Endpoint endpoint(const std::string& name, const config::Database& database);

}  // namespace vmproxy::app
