#include "protocols/wire/json.h"

#include <simdjson.h>

#include <charconv>
#include <cmath>
#include <cstring>

#include "protocols/wire/json_scanner.h"

namespace vmproxy::protocols::wire {
namespace {

using model::Value;

// Decimal digits of a finite number without trailing zeros, its sign, and the power of ten of the first
// digit.
template <class Float>
struct Decimal {
  explicit Decimal(Float number) {
    char text[40];
    const auto end = std::to_chars(text, text + sizeof text, number, std::chars_format::scientific).ptr;
    const char* at = text;
    if (*at == '-') {
      negative = true;
      ++at;
    }
    for (; at != end && *at != 'e'; ++at) {
      if (*at != '.') digits[count++] = *at;
    }
    std::from_chars(at[1] == '+' ? at + 2 : at + 1, end, exponent);
    while (count > 1 && digits[count - 1] == '0') --count;
  }
  char digits[24];
  int count = 0;
  int exponent = 0;
  bool negative = false;
};

// The layout of serde_json and of JavaScript: plain decimals for common sizes, "1e+22" beyond.
template <class Float>
void append_float(std::string& out, Float number, int plain_digits_max, int zeros_max) {
  if (!std::isfinite(number)) {
    out += "null";
    return;
  }
  const Decimal<Float> d(number);
  if (d.negative) out += '-';
  const int point = d.exponent + 1;  // digits before the decimal point
  if (number == 0) {
    out += "0.0";
  } else if (point >= d.count && point <= plain_digits_max) {
    out.append(d.digits, d.count);
    out.append(point - d.count, '0');
    out += ".0";
  } else if (point > 0 && point <= plain_digits_max) {
    out.append(d.digits, point);
    out += '.';
    out.append(d.digits + point, d.count - point);
  } else if (point > -zeros_max && point <= 0) {
    out += "0.";
    out.append(-point, '0');
    out.append(d.digits, d.count);
  } else {
    out += d.digits[0];
    if (d.count > 1) {
      out += '.';
      out.append(d.digits + 1, d.count - 1);
    }
    out += d.exponent < 0 ? "e" : "e+";
    out += std::to_string(d.exponent);
  }
}

}  // namespace

bool valid_utf8(std::string_view text) {
  return simdjson::validate_utf8(text.data(), text.size());
}

Result<Value> parse_json(std::string_view text, int depth_max) {
  // The scanner reports places as byte offsets, so bytes that are no UTF-8 are sorted out once, before.
  if (!valid_utf8(text)) return Error(Code::invalid, "the text is not valid UTF-8");
  JsonScanner in(text, depth_max);
  Value value;
  if (!in.read_value(value) || !in.finish()) return Error(Code::invalid, in.error());
  return value;
}

void append_json_number(std::string& out, double number) {
  append_float(out, number, 16, 5);
}
void append_json_number(std::string& out, float number) {
  append_float(out, number, 13, 6);
}

void append_json_string(std::string& out, std::string_view text) {
  constexpr char hex[] = "0123456789abcdef";
  out += '"';
  size_t plain = 0;  // start of what needs no escape
  for (size_t i = 0; i < text.size(); ++i) {
    i += end_of_plain_text(text.substr(i));
    if (i == text.size()) break;
    const auto c = static_cast<uint8_t>(text[i]);
    out.append(text.substr(plain, i - plain));
    plain = i + 1;
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        out += "\\u00";
        out += hex[c >> 4];
        out += hex[c & 15];
    }
  }
  out.append(text.substr(plain));
  out += '"';
}

void append_json(std::string& out, const Value& value) {
  if (value.is_null()) {
    out += "null";
  } else if (const auto* b = std::get_if<bool>(&value.data)) {
    out += *b ? "true" : "false";
  } else if (const auto* i = std::get_if<int64_t>(&value.data)) {
    char text[24];
    out.append(text, std::to_chars(text, text + sizeof text, *i).ptr);
  } else if (const auto* u = std::get_if<uint64_t>(&value.data)) {
    char text[24];
    out.append(text, std::to_chars(text, text + sizeof text, *u).ptr);
  } else if (const auto* d = std::get_if<double>(&value.data)) {
    append_json_number(out, *d);
  } else if (value.is_string()) {
    append_json_string(out, value.string());
  } else if (value.is_array()) {
    append_json_list(out, value.array(), [&](const Value& element) { append_json(out, element); });
  } else {
    out += '{';
    bool first = true;
    for (const auto& [name, member] : value.object()) {
      if (!first) out += ',';
      first = false;
      append_json_string(out, name);
      out += ':';
      append_json(out, member);
    }
    out += '}';
  }
}

}  // namespace vmproxy::protocols::wire
