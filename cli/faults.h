// `vmproxy debug faults`: the fault points (base/fault.h) and how often the running vmproxy has passed each. Without one: the
// points of this program.
#pragma once

#include "cli/program.h"

namespace vmproxy::cli {

// In builds that have them; the others say so before anybody is asked.
Ending faults(Session& session, AdminClient& client);
Failure no_faults();

}  // namespace vmproxy::cli
