// The transport to an admin API over HTTP. Apart from the commands, so that their tests need no sockets.
#pragma once

#include <string>

#include "cli/admin_client.h"

namespace vmproxy::cli {

// Error invalid: not an address.
Result<Transport> http_transport(const std::string& url);

}  // namespace vmproxy::cli
