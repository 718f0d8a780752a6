// PostgreSQL with the extension pgvector. Driver only: its wire dialect is a later issue.
#pragma once

#include "protocols/api/system.h"

namespace vmproxy::protocols::pgvector {

// The name under which this system stands in a configuration: "pgvector".
System system();

}  // namespace vmproxy::protocols::pgvector
