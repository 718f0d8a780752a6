#include "protocols/milvus/expression_literal.h"

#include <cmath>

#include "protocols/milvus/expression.h"
#include "protocols/wire/json.h"

namespace vmproxy::protocols::milvus {
namespace {

using model::Value;

bool is_text(const FieldSchema& field) {
  return field.type == DataType::varchar || field.type == DataType::string;
}

}  // namespace

Error cannot(std::string_view code, std::string_view why) {
  return {Code::unsupported, "filter." + std::string(code) + ": " + std::string(why)};
}

Result<std::string> literal_text(const Value& value) {
  if (value.is_string()) return quoted(value.string());
  if (value.is_bool()) return std::get<bool>(value.data) ? "true" : "false";
  if (std::holds_alternative<uint64_t>(value.data))
    return cannot("u64", "Milvus compares no integers above 9223372036854775807");
  if (value.is_integer()) {
    return integer_text(std::get<int64_t>(value.data));
  }
  if (value.is_number()) {
    if (!std::isfinite(value.number())) return cannot("number", "NaN and infinities cannot be written");
    return wire::to_json(value);
  }
  if (value.is_array()) {
    std::string out = "[";
    for (const Value& one : value.array()) {
      auto text = literal_text(one);
      if (!text) return text;
      if (out.size() > 1) out += ", ";
      out += *text;
    }
    return out + "]";
  }
  return cannot("literal", "null and objects cannot be compared with");
}

Fit fit(const FieldSchema& field, const Value& value) {
  switch (field.type) {
    case DataType::boolean: return value.is_bool() ? Fit::fits : Fit::never;
    case DataType::int8:
    case DataType::int16:
    case DataType::int32:
    case DataType::int64:
      if (value.is_integer()) return Fit::fits;
      return value.is_number() ? Fit::integer_and_fraction : Fit::never;
    case DataType::float32:
    case DataType::float64: return value.is_number() ? Fit::fits : Fit::never;
    default: return is_text(field) ? (value.is_string() ? Fit::fits : Fit::never) : Fit::fits;
  }
}

Result<std::string> prefix_pattern(const std::string& pattern) {
  std::string out;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const bool last = i + 1 == pattern.size();
    if (pattern[i] == '\\' && !last) {
      ++i;
      if (pattern[i] == '%') return cannot("like", "Milvus 2.3 cannot look for '%' itself");
      out += pattern[i];
    } else if (pattern[i] == '_' || (pattern[i] == '%' && !last)) {
      return cannot("like", "Milvus 2.3 knows patterns of the form \"prefix%\" alone");
    } else {
      out += pattern[i];
    }
  }
  return out;
}

// Its grammar reads the sign apart from the digits, and 2^63 is too large for those.
std::string integer_text(int64_t number) {
  return number == INT64_MIN ? "(-9223372036854775807 - 1)" : std::to_string(number);
}

std::string quoted(std::string_view text) {
  // Other control characters stand as they are: Milvus Lite knows no escapes for them.
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace vmproxy::protocols::milvus
