// JSON text to model::Value and back. Integers keep their type; 1.0 stays a floating-point number ("1.0").
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "model/value.h"

namespace vmproxy::protocols::wire {

// Whole text must be one valid JSON value (RFC 8259, UTF-8), at most `depth_max` levels. Duplicate member
// names: the last wins. Numbers outside int64/uint64 become double.
Result<model::Value> parse_json(std::string_view text, int depth_max = 128);

bool valid_utf8(std::string_view text);

// Shortest form that reads back the same. Non-finite numbers are written as null.
void append_json(std::string& out, const model::Value& value);
void append_json_string(std::string& out, std::string_view text);
void append_json_number(std::string& out, double number);
void append_json_number(std::string& out, float number);  // shortest for float
// "[...]": `append` writes one item to `out`.
template <class Items, class Append>
void append_json_list(std::string& out, const Items& items, Append append) {
  out += '[';
  bool first = true;
  for (const auto& item : items) {
    if (!first) out += ',';
    first = false;
    append(item);
  }
  out += ']';
}
inline std::string to_json(const model::Value& value) {
  std::string out;
  append_json(out, value);
  return out;
}

}  // namespace vmproxy::protocols::wire
