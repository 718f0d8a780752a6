#include "cli/format.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace vmproxy::cli {
namespace json = boost::json;
namespace {

template <class... Values>
std::string printed(const char* format, Values... values) {
  char text[64];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

void append(std::string& out, const json::value& value, size_t indent) {
  const std::string inner(indent + 2, ' ');
  if (const auto* object = value.if_object(); object && !object->empty()) {
    bool first = true;
    for (const auto& member : *object) {
      out += first ? "{\n" : ",\n";
      out += inner + json::serialize(json::value(member.key())) + ": ";
      append(out, member.value(), indent + 2);
      first = false;
    }
    out += '\n' + std::string(indent, ' ') + '}';
  } else if (const auto* array = value.if_array(); array && !array->empty()) {
    bool first = true;
    for (const auto& item : *array) {
      out += (first ? "[\n" : ",\n") + inner;
      append(out, item, indent + 2);
      first = false;
    }
    out += '\n' + std::string(indent, ' ') + ']';
  } else if (const auto* number = value.if_double(); number && std::isfinite(*number)) {
    char text[40];
    const auto end = std::to_chars(text, text + sizeof text, *number).ptr;
    out.append(text, end);
  } else {
    out += json::serialize(value);
  }
}

}  // namespace

std::string grouped(uint64_t number) {
  std::string digits = std::to_string(number);
  for (size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, " ");
  }
  return digits;
}

std::string short_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  if (seconds > 0 && seconds < 0.0995) return printed("%.0f ms", std::max(1.0, seconds * 1000));
  if (seconds < 9.95) return printed("%.1f s", seconds);
  const auto whole = static_cast<uint64_t>(std::llround(seconds));
  const auto part = [whole](uint64_t divisor, uint64_t modulus) {
    return static_cast<unsigned long long>(whole / divisor % modulus);
  };
  if (whole < 60) return std::to_string(whole) + " s";
  if (whole < 3600) return printed("%llu m %02llu s", part(60, 60), part(1, 60));
  if (whole < 2 * 86400) return printed("%llu h %02llu m", part(3600, 48), part(60, 60));
  return std::to_string(whole / 86400) + " days";
}

std::string percent(double value) {
  std::string text = printed("%.3f", value);
  while (text.ends_with('0')) text.pop_back();
  if (text.ends_with('.')) text.pop_back();
  return text + " %";
}

std::string bar(double share, size_t width) {
  const double clamped = std::isfinite(share) ? std::clamp(share, 0.0, 1.0) : 0.0;
  // Full only when it is.
  const auto filled = static_cast<size_t>(clamped * static_cast<double>(width));
  return '[' + std::string(filled, '#') + std::string(width - filled, '.') + ']';
}

std::string bytes(uint64_t count) {
  static constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(count);
  size_t unit = 0;
  while (value >= 1024 && unit < 4) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? std::to_string(count) + " B" : printed("%.1f %s", value, units[unit]);
}

std::string count(uint64_t number, const std::string& one, const std::string& many) {
  return grouped(number) + ' ' + (number == 1 ? one : many);
}

std::string pretty(const json::value& value) {
  std::string out;
  append(out, value, 0);
  return out + '\n';
}

}  // namespace vmproxy::cli
