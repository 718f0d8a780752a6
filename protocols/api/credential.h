// Who asks, by the headers of a request.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "net/message.h"

namespace vmproxy::protocols {

// The names of the headers that may carry a credential, by spaces, in small letters and each once: those that servers and
// what stands in front of them usually look at, then `own`; an empty name is none. No cookie unless `own` has it: a load
// balancer gives out another with each answer, which is nobody's identity.
std::string credential_headers(std::span<const std::string_view> own);

// "name:value" lines of those headers, in any case, in the order of `names`; an empty value is none. All of them together
// say who asks: who has another key beside the same authorization is somebody else. Empty: nobody in particular. Never
// logged. A migration's state keeps hashes of it: what this is for given names and headers stays as it is.
std::string credential_of(const net::Headers& headers, std::string_view names);

}  // namespace vmproxy::protocols
