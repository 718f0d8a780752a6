// Chroma, API v2: the entry for app/'s list of systems.
#pragma once

#include "protocols/api/system.h"

namespace vmproxy::protocols::chroma {

// The driver's url may name where collections of other systems go and which tenants to look through besides
// default_tenant: http://host:8000/?tenant=T&database=D (each may be given several times; the first counts as
// home).
protocols::System system();

}  // namespace vmproxy::protocols::chroma
