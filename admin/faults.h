// The fault points of this process (base/fault.h) as routes. In builds that have them only.
#pragma once

#include "admin/routes.h"

namespace vmproxy::admin {

// What is armed, and each point with its meaning, its actions and its hits.
net::Response faults(Call& call);
// Arms what the member "set" says, in the words of $VMPROXY_FAULTS; the answer is that of faults().
net::Response arm_faults(Call& call);

}  // namespace vmproxy::admin
