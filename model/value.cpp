#include "model/value.h"

#include <cmath>

namespace vmproxy::model {
namespace {

bool integer_equals_double(const Value& integer, double d) {
  if (std::nearbyint(d) != d) return false;
  if (const auto* i = std::get_if<int64_t>(&integer.data)) {
    return d >= -0x1p63 && d < 0x1p63 && static_cast<int64_t>(d) == *i;
  }
  return d >= 0 && d < 0x1p64 && static_cast<uint64_t>(d) == std::get<uint64_t>(integer.data);
}

}  // namespace

double Value::number() const {
  if (const auto* i = std::get_if<int64_t>(&data)) return static_cast<double>(*i);
  if (const auto* u = std::get_if<uint64_t>(&data)) return static_cast<double>(*u);
  return std::get<double>(data);
}

const Value* Value::find(std::string_view name) const {
  const auto* members = std::get_if<Object>(&data);
  if (members == nullptr) return nullptr;
  const auto at = members->find(std::string(name));
  return at == members->end() ? nullptr : &at->second;
}

bool equal_number(const Value& a, const Value& b) {
  if (!a.is_number() || !b.is_number()) return false;
  if (a.is_integer() && b.is_integer()) return a.data == b.data;
  if (a.is_integer()) return integer_equals_double(a, std::get<double>(b.data));
  if (b.is_integer()) return integer_equals_double(b, std::get<double>(a.data));
  return std::get<double>(a.data) == std::get<double>(b.data);
}

bool equal_loosely(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return equal_number(a, b);
  if (a.is_array() && b.is_array()) {
    if (a.array().size() != b.array().size()) return false;
    for (size_t i = 0; i < a.array().size(); ++i) {
      if (!equal_loosely(a.array()[i], b.array()[i])) return false;
    }
    return true;
  }
  if (a.is_object() && b.is_object()) {
    if (a.object().size() != b.object().size()) return false;
    for (const auto& [name, value] : a.object()) {
      const Value* other = b.find(name);
      if (other == nullptr || !equal_loosely(value, *other)) return false;
    }
    return true;
  }
  return a.data == b.data;
}

}  // namespace vmproxy::model
