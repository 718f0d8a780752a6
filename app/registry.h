// The one list of systems. Adding one is a folder under protocols/ and a line in registry.cpp.
#pragma once

#include <span>

#include "protocols/api/system.h"

namespace vmproxy::app {

std::span<const protocols::System> systems();

}  // namespace vmproxy::app
