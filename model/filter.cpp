#include "model/filter.h"

#include <charconv>
#include <cmath>
#include <optional>
#include <regex>

namespace vmproxy::model {
namespace {

using Kind = Filter::Kind;

std::optional<Value> id_value(const Id& id) {
  switch (id.kind()) {
    case IdKind::u64: return Value(std::get<uint64_t>(id.value));
    case IdKind::i64: return Value(std::get<int64_t>(id.value));
    default: return Value(to_string(id));
  }
}

std::optional<Value> id_number(const Id& id) {
  const std::string text = to_string(id);
  const size_t colon = text.rfind(':');
  const char* begin = text.data() + (colon == std::string::npos ? 0 : colon + 1);
  const char* end = text.data() + text.size();
  int64_t number = 0;
  if (const auto read = std::from_chars(begin, end, number); read.ec == std::errc() && read.ptr == end)
    return Value(number);
  uint64_t large = 0;
  if (const auto read = std::from_chars(begin, end, large); read.ec == std::errc() && read.ptr == end)
    return Value(large);
  return std::nullopt;
}

std::optional<Value> field_value(const Filter& field, const Record& record) {
  if (!record.metadata) return std::nullopt;
  const auto at = record.metadata->find(field.name);
  if (at == record.metadata->end()) return std::nullopt;
  const Value* value = &at->second;
  for (const Value& step : field.path) {
    if (step.is_string()) {
      value = value->find(step.string());
      if (value == nullptr) return std::nullopt;
    } else if (const auto* index = std::get_if<int64_t>(&step.data)) {
      if (!value->is_array() || *index < 0 || static_cast<size_t>(*index) >= value->array().size())
        return std::nullopt;
      value = &value->array()[static_cast<size_t>(*index)];
    } else {
      return std::nullopt;
    }
  }
  return *value;
}

std::optional<Value> operand(const Filter& filter, const Record& record);

std::optional<Value> arithmetic(const Filter& filter, const Record& record) {
  const auto left = operand(filter.children[0], record);
  const auto right = operand(filter.children[1], record);
  if (!left || !right || !left->is_number() || !right->is_number()) return std::nullopt;
  const auto* a = std::get_if<int64_t>(&left->data);
  const auto* b = std::get_if<int64_t>(&right->data);
  if (a != nullptr && b != nullptr) {
    int64_t result = 0;
    switch (filter.kind) {
      case Kind::add:
        return __builtin_add_overflow(*a, *b, &result) ? std::nullopt : std::optional<Value>(result);
      case Kind::subtract:
        return __builtin_sub_overflow(*a, *b, &result) ? std::nullopt : std::optional<Value>(result);
      case Kind::multiply:
        return __builtin_mul_overflow(*a, *b, &result) ? std::nullopt : std::optional<Value>(result);
      case Kind::divide:
        return *b == 0 || (*b == -1 && *a == INT64_MIN) ? std::nullopt : std::optional<Value>(*a / *b);
      case Kind::modulo:
        return *b == 0 || *b == -1 ? std::optional<Value>(*b == 0 ? std::nullopt : std::optional<Value>(0))
                                   : std::optional<Value>(*a % *b);
      default: break;
    }
  }
  const double x = left->number();
  const double y = right->number();
  switch (filter.kind) {
    case Kind::add: return Value(x + y);
    case Kind::subtract: return Value(x - y);
    case Kind::multiply: return Value(x * y);
    case Kind::divide: return Value(x / y);
    case Kind::modulo: return Value(std::fmod(x, y));
    default: return Value(std::pow(x, y));
  }
}

std::optional<Value> operand(const Filter& filter, const Record& record) {
  switch (filter.kind) {
    case Kind::literal: return filter.value;
    case Kind::field: return field_value(filter, record);
    case Kind::document: return record.document ? std::optional<Value>(*record.document) : std::nullopt;
    case Kind::id: return id_value(record.key.id);
    case Kind::id_number: return id_number(record.key.id);
    case Kind::array_length: {
      const auto value = operand(filter.children[0], record);
      if (!value || !value->is_array()) return std::nullopt;
      return Value(static_cast<int64_t>(value->array().size()));
    }
    case Kind::add:
    case Kind::subtract:
    case Kind::multiply:
    case Kind::divide:
    case Kind::modulo:
    case Kind::power: return arithmetic(filter, record);
    case Kind::minus: {
      const auto value = operand(filter.children[0], record);
      if (!value || !value->is_number()) return std::nullopt;
      if (const auto* i = std::get_if<int64_t>(&value->data); i != nullptr && *i != INT64_MIN)
        return Value(-*i);
      return Value(-value->number());
    }
    default: return Value(evaluate(filter, record));
  }
}

bool equal(const Value& a, const Value& b, bool by_value) {
  return by_value ? equal_loosely(a, b) : a == b;
}

// An integer against a floating-point number, exactly: a large integer is not rounded to a double first.
std::optional<int> order_integer(const Value& integer, double d) {
  if (std::isnan(d)) return std::nullopt;
  if (equal_number(integer, Value(d))) return 0;
  if (d >= 0x1p64) return -1;
  if (d < -0x1p63) return 1;
  const double whole = std::floor(d);
  if (const auto* i = std::get_if<int64_t>(&integer.data)) {
    // Between whole and d lies no integer, so what is not above `whole` is below d.
    return whole >= 0x1p63 || *i <= static_cast<int64_t>(whole) ? -1 : 1;
  }
  return whole >= 0 && std::get<uint64_t>(integer.data) <= static_cast<uint64_t>(whole) ? -1 : 1;
}

// -1, 0, 1, or nothing when the two have no order.
std::optional<int> order(const Value& a, const Value& b, bool by_value) {
  if (a.is_number() && b.is_number()) {
    if (!by_value && a.is_integer() != b.is_integer()) return std::nullopt;
    if (a.is_integer() && b.is_integer()) {
      const auto* x = std::get_if<int64_t>(&a.data);
      const auto* y = std::get_if<int64_t>(&b.data);
      if (x != nullptr && y != nullptr) return *x < *y ? -1 : *x > *y;
      if (x != nullptr) return -1;
      if (y != nullptr) return 1;
      const auto u = std::get<uint64_t>(a.data);
      const auto v = std::get<uint64_t>(b.data);
      return u < v ? -1 : u > v;
    }
    if (a.is_integer() && !b.is_integer()) return order_integer(a, std::get<double>(b.data));
    if (b.is_integer()) {
      const auto turned = order_integer(b, std::get<double>(a.data));
      return turned ? std::optional<int>(-*turned) : std::nullopt;
    }
    const double x = a.number();
    const double y = b.number();
    if (std::isnan(x) || std::isnan(y)) return std::nullopt;
    return x < y ? -1 : x > y;
  }
  if (a.is_string() && b.is_string()) return a.string() < b.string() ? -1 : a.string() > b.string();
  if (a.is_bool() && b.is_bool())
    return static_cast<int>(std::get<bool>(a.data)) - static_cast<int>(std::get<bool>(b.data));
  return std::nullopt;
}

// Length of the character that begins at `at`: '_' stands for one of those, not for a byte.
size_t character(std::string_view text, size_t at) {
  size_t length = 1;
  while (at + length < text.size() && (static_cast<uint8_t>(text[at + length]) & 0xc0) == 0x80) ++length;
  return length;
}

// Both come from peers: no recursion, and time bounded by text times pattern. After a mismatch the last '%' takes one
// more character; earlier ones need no second try.
bool like(std::string_view text, std::string_view pattern) {
  size_t t = 0, p = 0;
  size_t percent = std::string_view::npos,
         taken = 0;  // pattern behind the last '%', text that it takes up to
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '%') {
      percent = ++p;
      taken = t;
      continue;
    }
    const bool escaped = p + 1 < pattern.size() && pattern[p] == '\\';
    if (p < pattern.size() && !escaped && pattern[p] == '_') {
      t += character(text, t);
      ++p;
      continue;
    }
    if (p < pattern.size() && pattern[p + (escaped ? 1 : 0)] == text[t]) {
      ++t;
      p += escaped ? 2 : 1;
      continue;
    }
    if (percent == std::string_view::npos) return false;
    p = percent;
    t = ++taken;
  }
  while (p < pattern.size() && pattern[p] == '%') ++p;
  return p == pattern.size();
}

// An expression that this library does not take matches nothing here; drivers refuse it before, with a code.
bool matches(const std::string& text, const std::string& expression) {
  try {
    return std::regex_search(text, std::regex(expression));
  } catch (const std::regex_error&) {
    return false;
  }
}

bool has_element(const Array& array, const Value& value, bool by_value) {
  for (const Value& element : array) {
    if (equal(element, value, by_value)) return true;
  }
  return false;
}

bool compare(const Filter& filter, const Value& left, const Value& right) {
  const bool by_value = filter.numbers_by_value;
  switch (filter.kind) {
    case Kind::equal: return equal(left, right, by_value);
    case Kind::not_equal: return !equal(left, right, by_value);
    case Kind::less: return order(left, right, by_value).value_or(1) < 0;
    case Kind::less_equal: return order(left, right, by_value).value_or(1) <= 0;
    case Kind::greater: return order(left, right, by_value).value_or(-1) > 0;
    case Kind::greater_equal: return order(left, right, by_value).value_or(-1) >= 0;
    case Kind::in: return right.is_array() && has_element(right.array(), left, by_value);
    case Kind::not_in: return right.is_array() && !has_element(right.array(), left, by_value);
    case Kind::like: return left.is_string() && right.is_string() && like(left.string(), right.string());
    case Kind::matches:
      return left.is_string() && right.is_string() && matches(left.string(), right.string());
    case Kind::contains_text:
      return left.is_string() && right.is_string() && left.string().find(right.string()) != std::string::npos;
    case Kind::array_contains: return left.is_array() && has_element(left.array(), right, by_value);
    case Kind::array_contains_all:
    case Kind::array_contains_any: {
      if (!left.is_array() || !right.is_array()) return false;
      const bool all = filter.kind == Kind::array_contains_all;
      for (const Value& wanted : right.array()) {
        if (has_element(left.array(), wanted, by_value) != all) return !all;
      }
      return all;
    }
    default: return false;
  }
}

}  // namespace

Filter Filter::all(std::vector<Filter> children) {
  Filter f;
  f.kind = Kind::all_of;
  f.children = std::move(children);
  return f;
}

Filter Filter::any(std::vector<Filter> children) {
  Filter f;
  f.kind = Kind::any_of;
  f.children = std::move(children);
  return f;
}

Filter Filter::not_(Filter child) {
  Filter f;
  f.kind = Kind::negate;
  f.children.push_back(std::move(child));
  return f;
}

Filter Filter::make(Kind kind, Filter left, Filter right) {
  Filter f;
  f.kind = kind;
  f.children.push_back(std::move(left));
  f.children.push_back(std::move(right));
  return f;
}

Filter Filter::literal_of(Value v) {
  Filter f;
  f.kind = Kind::literal;
  f.value = std::move(v);
  return f;
}

Filter Filter::field_of(std::string name, std::vector<Value> path) {
  Filter f;
  f.kind = Kind::field;
  f.name = std::move(name);
  f.path = std::move(path);
  return f;
}

Filter Filter::document_text() {
  Filter f;
  f.kind = Kind::document;
  return f;
}

Filter Filter::record_id() {
  Filter f;
  f.kind = Kind::id;
  return f;
}

bool evaluate(const Filter& filter, const Record& record) {
  switch (filter.kind) {
    case Kind::always: return true;
    case Kind::all_of:
      for (const Filter& child : filter.children) {
        if (!evaluate(child, record)) return false;
      }
      return true;
    case Kind::any_of:
      for (const Filter& child : filter.children) {
        if (evaluate(child, record)) return true;
      }
      return false;
    case Kind::negate: return !evaluate(filter.children[0], record);
    case Kind::exists: return operand(filter.children[0], record).has_value();
    case Kind::is_null: {
      const auto value = operand(filter.children[0], record);
      return !value || value->is_null();
    }
    case Kind::literal: {
      const auto* b = std::get_if<bool>(&filter.value.data);
      return b != nullptr && *b;
    }
    case Kind::field: {
      const auto value = field_value(filter, record);
      return value && value->is_bool() && std::get<bool>(value->data);
    }
    default: break;
  }
  if (filter.children.size() < 2) return false;
  const auto left = operand(filter.children[0], record);
  const auto right = operand(filter.children[1], record);
  if (!left || !right) return filter.absent_matches;
  return compare(filter, *left, *right);
}

}  // namespace vmproxy::model
