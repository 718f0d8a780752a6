// The series of contract.md that are facts of a migration rather than events: set from its status before each
// rendering.
#pragma once

#include <map>
#include <string>

#include "base/metrics.h"
#include "cutover/control.h"

namespace vmproxy::admin {

// The migrations outlive every rendering.
void export_migrations(Metrics& metrics, const std::map<std::string, cutover::Control*>& migrations);

}  // namespace vmproxy::admin
