#include "config/units.h"

#include <charconv>
#include <cmath>
#include <string>
#include <utility>

namespace vmproxy::config {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};

// Splits "1.5GiB" into 1.5 and "GiB". Nothing when it does not begin with a plain decimal number.
std::optional<std::pair<double, std::string_view>> split(std::string_view text) {
  size_t end = 0;
  bool point = false, digit = false;
  while (end < text.size()) {
    if (text[end] >= '0' && text[end] <= '9') {
      digit = true;
    } else if (text[end] == '.' && !point && digit) {
      point = true;
    } else {
      break;
    }
    ++end;
  }
  if (!digit || text[end - 1] == '.') return std::nullopt;
  double number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + end, number, std::chars_format::fixed);
  if (parsed.ec != std::errc() || !std::isfinite(number)) return std::nullopt;
  std::string_view unit = text.substr(end);
  if (unit.starts_with(' ')) unit.remove_prefix(1);  // "50 GiB" reads well and cannot mean anything else
  return std::pair(number, unit);
}

}  // namespace

std::optional<uint64_t> parse_bytes(std::string_view text) {
  static constexpr Unit units[] = {
      {"", 1},      {"B", 1},        {"KB", 1e3},        {"MB", 1e6},           {"GB", 1e9},
      {"TB", 1e12}, {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}, {"TiB", 1099511627776.0}};
  const auto parts = split(text);
  if (!parts) return std::nullopt;
  for (const Unit& unit : units) {
    if (parts->second != unit.name) continue;
    const double bytes = parts->first * unit.factor;
    if (bytes >= 9.2e18 || (unit.factor == 1 && bytes != std::floor(bytes))) return std::nullopt;
    return static_cast<uint64_t>(bytes);
  }
  return std::nullopt;
}

std::optional<Duration> parse_duration(std::string_view text) {
  static constexpr Unit units[] = {{"us", 1e3}, {"ms", 1e6},   {"s", 1e9},
                                   {"m", 60e9}, {"h", 3600e9}, {"d", 86400e9}};
  const auto parts = split(text);
  if (!parts) return std::nullopt;
  if (parts->second.empty()) return parts->first == 0 ? std::optional(Duration::zero()) : std::nullopt;
  for (const Unit& unit : units) {
    if (parts->second != unit.name) continue;
    const double nanoseconds = parts->first * unit.factor;
    if (nanoseconds > 3650.0 * 86400e9) return std::nullopt;  // ten years
    return std::chrono::duration_cast<Duration>(std::chrono::nanoseconds(std::llround(nanoseconds)));
  }
  return std::nullopt;
}

std::optional<uint64_t> parse_count(std::string_view text) {
  uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size())
    return std::nullopt;
  return value;
}

std::optional<double> parse_number(std::string_view text) {
  const auto parts = split(text);
  if (!parts || !parts->second.empty() || text.ends_with(' ')) return std::nullopt;
  return parts->first;
}

}  // namespace vmproxy::config
