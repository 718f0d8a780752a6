// Sizes ("50GiB"), durations ("20ms", "2s", "5m") and numbers as people write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/clock.h"

namespace vmproxy::config {

// Digits with an optional fraction and a unit: B, KB, MB, GB, TB (thousands), KiB, MiB, GiB, TiB (1024s),
// none (bytes).
std::optional<uint64_t> parse_bytes(std::string_view text);
// us, ms, s, m, h, d. A bare 0 is allowed, any other bare number is not: nobody could tell seconds from
// milliseconds.
std::optional<Duration> parse_duration(std::string_view text);
// Decimal digits only, no sign, no octal, no hexadecimal.
std::optional<uint64_t> parse_count(std::string_view text);
// Finite, not negative, decimal.
std::optional<double> parse_number(std::string_view text);

}  // namespace vmproxy::config
