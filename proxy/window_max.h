// The longest window that a row can tell. None comes near it: what tells a longer one is damaged, and a clock counts no further
// than 292 years from its beginning.
#pragma once

#include <chrono>

namespace vmproxy::proxy {

inline constexpr std::chrono::milliseconds window_max = std::chrono::years(10);

}  // namespace vmproxy::proxy
