// Milvus 2.3 to 2.5 over gRPC: the entry for app/'s list of systems.
#pragma once

#include "protocols/api/system.h"

namespace vmproxy::protocols::milvus {

// The driver's url may name the database where collections of other systems go:
// http://host:19530/?database=D (default: "default").
protocols::System system();

}  // namespace vmproxy::protocols::milvus
