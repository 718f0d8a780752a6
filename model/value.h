// Value: a datum of any JSON shape, with integers kept apart from floating-point numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace vmproxy::model {

struct Value;
using Array = std::vector<Value>;
using Object = std::map<std::string, Value>;

struct Value {
  using Data = std::variant<std::nullptr_t, bool, int64_t, uint64_t, double, std::string, Array, Object>;

  Value() : data(nullptr) {}
  Value(std::nullptr_t) : data(nullptr) {}
  Value(bool v) : data(v) {}
  Value(int v) : data(static_cast<int64_t>(v)) {}
  Value(int64_t v) : data(v) {}
  // Kept as int64_t where it fits, so that equal numbers have one form.
  Value(uint64_t v) : data(v <= INT64_MAX ? Data(static_cast<int64_t>(v)) : Data(v)) {}
  Value(double v) : data(v) {}
  Value(std::string v) : data(std::move(v)) {}
  Value(std::string_view v) : data(std::string(v)) {}
  Value(const char* v) : data(std::string(v)) {}
  Value(Array v) : data(std::move(v)) {}
  Value(Object v) : data(std::move(v)) {}

  bool is_null() const { return std::holds_alternative<std::nullptr_t>(data); }
  bool is_number() const { return data.index() >= 2 && data.index() <= 4; }
  bool is_integer() const { return data.index() == 2 || data.index() == 3; }
  bool is_string() const { return std::holds_alternative<std::string>(data); }
  bool is_array() const { return std::holds_alternative<Array>(data); }
  bool is_object() const { return std::holds_alternative<Object>(data); }
  bool is_bool() const { return std::holds_alternative<bool>(data); }

  const std::string& string() const { return std::get<std::string>(data); }
  const Array& array() const { return std::get<Array>(data); }
  const Object& object() const { return std::get<Object>(data); }
  Array& array() { return std::get<Array>(data); }
  Object& object() { return std::get<Object>(data); }
  double number() const;  // is_number() only
  // The member, or nullptr when this is not an object or has no such member.
  const Value* find(std::string_view name) const;

  // Same type and same content; 1 and 1.0 differ here (equal_number compares them as numbers).
  friend bool operator==(const Value&, const Value&) = default;

  Data data;
};

// Compares 1 and 1.0 as equal, exactly (no rounding through double for large integers).
bool equal_number(const Value& a, const Value& b);
// Deep equality in which numbers compare by value.
bool equal_loosely(const Value& a, const Value& b);

}  // namespace vmproxy::model
