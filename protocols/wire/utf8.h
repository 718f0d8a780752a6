// UTF-8, as escapes of JSON and of expressions become text.
#pragma once

#include <cstdint>
#include <string>

namespace vmproxy::protocols::wire {

// The bytes of one code point; of what is none (a lone surrogate) as the same rule makes them.
void append_utf8(std::string& out, uint32_t c);

}  // namespace vmproxy::protocols::wire
