// Who asks, by the headers of a request.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "net/message.h"

namespace vmproxy::protocols {

// "name:value" lines of every header that may carry a credential: those that servers and what stands in front of them
// usually look at, and `own`, in any case; an empty name is none. A cookie counts only where nothing else does: a load
// balancer gives out another with each answer, which is nobody's identity. Empty: nobody in particular. Never logged.
// Kept as hashes in the migration's state: what is there for a given request stays as it is.
std::string credential_of(const net::Headers& headers, std::span<const std::string_view> own);

}  // namespace vmproxy::protocols
