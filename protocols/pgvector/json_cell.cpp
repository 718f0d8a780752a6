#include "protocols/pgvector/json_cell.h"

#include <charconv>
#include <cmath>

#include "protocols/pgvector/cell.h"
#include "protocols/wire/json.h"

namespace vmproxy::protocols::pgvector {
namespace {

using model::Value;

constexpr int depth_max = 1000;

std::optional<Error> append(std::string& out, const Value& value, int depth);

std::optional<Error> append_array(std::string& out, const model::Array& array, int depth) {
  out += '[';
  for (size_t i = 0; i < array.size(); ++i) {
    if (i > 0) out += ',';
    if (auto fault = append(out, array[i], depth)) return fault->within(std::to_string(i));
  }
  out += ']';
  return std::nullopt;
}

std::optional<Error> append_object(std::string& out, const model::Object& object, int depth) {
  out += '{';
  bool first = true;
  for (const auto& [name, member] : object) {
    if (auto fault = text_fault(name)) return Error{Code::invalid, "the name of a field " + *fault};
    if (!first) out += ',';
    first = false;
    wire::append_json_string(out, name);
    out += ':';
    if (auto fault = append(out, member, depth)) return fault->within(name.substr(0, 80));
  }
  out += '}';
  return std::nullopt;
}

std::optional<Error> append(std::string& out, const Value& value, int depth) {
  if (depth > depth_max)
    return Error{Code::invalid, "is nested more than " + std::to_string(depth_max) + " levels deep"};
  if (value.is_string()) {
    if (auto fault = text_fault(value.string())) return Error{Code::invalid, *fault};
    wire::append_json_string(out, value.string());
  } else if (const auto* number = std::get_if<double>(&value.data)) {
    if (!std::isfinite(*number))
      return Error{Code::invalid, "is not a finite number, which JSON cannot hold"};
    out += decimal(*number);
  } else if (value.is_array()) {
    return append_array(out, value.array(), depth + 1);
  } else if (value.is_object()) {
    return append_object(out, value.object(), depth + 1);
  } else {
    wire::append_json(out, value);  // null, booleans, integers
  }
  return std::nullopt;
}

}  // namespace

std::string decimal(double number) {
  char text[400];
  if (std::nearbyint(number) == number && std::fabs(number) < 1e20) {
    // All its digits, and a point that says it is not an integer. Above 1e20 no integer of ours exists to
    // confuse it with.
    std::snprintf(text, sizeof text, "%.1f", number);
    return text;
  }
  const auto end = std::to_chars(text, text + sizeof text, number).ptr;
  return {text, end};
}

Result<std::string> json_text(const Value& value) {
  std::string out;
  if (auto fault = append(out, value, 0)) return *fault;
  return out;
}

Result<std::string> jsonb_bytes(const Value& value) {
  std::string out(1, '\x01');
  if (auto fault = append(out, value, 0)) return *fault;
  return out;
}

Result<Value> value_of_jsonb(std::string_view bytes) {
  if (bytes.empty() || bytes[0] != '\x01')
    return Error{Code::corrupt, "the server sent jsonb of an unknown version"};
  return wire::parse_json(bytes.substr(1), depth_max + 10);
}

}  // namespace vmproxy::protocols::pgvector
