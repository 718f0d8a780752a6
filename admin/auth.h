// Who may use the admin API. Pure functions over a request's head.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "net/message.h"

namespace vmproxy::admin {

// Takes as long for a wrong first byte as for a wrong last one; only the presented length shows.
bool equal_in_constant_time(std::string_view presented, std::string_view secret);

// Nothing when the request may go on.
//   With a token: "Authorization: Bearer TOKEN" must match.
//   Without one the API listens on loopback only (config/), and a browser on this machine is the way in that
//   is left: requests that another web site caused (Origin) and names that resolve here by somebody else's
//   DNS (Host) are refused.
std::optional<Error> refuse(const net::Headers& headers, const std::string& token);

// Open to everybody who can connect: what a supervisor asks.
bool is_open(std::string_view path);

}  // namespace vmproxy::admin
