// What is said of a row whose format byte is none that this version knows: of such a row nobody guesses the meaning.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"

namespace vmproxy::journal {

// `or_else`: what helps beside the version that wrote it.
inline Error unknown_format(const std::string& what, uint8_t found, uint8_t newest,
                            const std::string& or_else = "") {
  return {Code::unsupported, what + " has format " + std::to_string(found) + "; this vmproxy knows up to " +
                                 std::to_string(newest) + ". Use the vmproxy that wrote it, or a newer one" +
                                 (or_else.empty() ? "" : "; or " + or_else)};
}

}  // namespace vmproxy::journal
