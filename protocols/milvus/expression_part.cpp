#include "protocols/milvus/expression_part.h"

#include <algorithm>
#include <cmath>

#include "protocols/milvus/rows.h"
#include "protocols/wire/json.h"

namespace vmproxy::protocols::milvus {
namespace {

using model::Filter;
using model::Value;
using Kind = Filter::Kind;
using Type = Part::Type;

bool numeric(Type type) {
  return type == Type::integer || type == Type::floating;
}

Type type_of(const Value& value) {
  if (value.is_bool()) return Type::boolean;
  if (value.is_integer()) return Type::integer;
  if (value.is_number()) return Type::floating;
  if (value.is_string()) return Type::text;
  return value.is_array() ? Type::array : Type::json;
}

Type type_of(DataType type) {
  switch (type) {
    case DataType::boolean: return Type::boolean;
    case DataType::int8:
    case DataType::int16:
    case DataType::int32:
    case DataType::int64: return Type::integer;
    case DataType::float32:
    case DataType::float64: return Type::floating;
    case DataType::json: return Type::whole_json;
    case DataType::array: return Type::array;
    default: return Type::text;
  }
}

// Milvus compares a FLOAT column as float32, the constant rounded to one: 0.1 equals what the column keeps of 0.1. The
// model compares as double. A constant beyond float32 stays: it is above or below all of the column either way.
// (Elements of arrays and members of JSON are compared as double there, too.)
void round_for(const Part& field, Value& constant) {
  const bool column = field.filter.kind == Kind::field && field.filter.path.empty();
  if (!column || field.data != DataType::float32 || !constant.is_number()) return;
  const double rounded = static_cast<float>(constant.number());
  if (!std::isfinite(rounded) || equal_number(constant, Value(rounded))) return;
  constant = rounded;
}

Value fold(Kind kind, const Value& left, const Value& right) {
  const auto* a = std::get_if<int64_t>(&left.data);
  const auto* b = std::get_if<int64_t>(&right.data);
  int64_t result = 0;
  if (a != nullptr && b != nullptr && kind != Kind::power) {
    const auto x = static_cast<uint64_t>(*a), y = static_cast<uint64_t>(*b);
    switch (kind) {
      case Kind::add: return static_cast<int64_t>(x + y);
      case Kind::subtract: return static_cast<int64_t>(x - y);
      case Kind::multiply: return static_cast<int64_t>(x * y);
      case Kind::divide: result = *b == -1 ? static_cast<int64_t>(0 - x) : *a / *b; return result;
      default: return *b == -1 ? int64_t{0} : *a % *b;
    }
  }
  const double x = left.number();
  const double y = right.number();
  switch (kind) {
    case Kind::add: return x + y;
    case Kind::subtract: return x - y;
    case Kind::multiply: return x * y;
    case Kind::divide: return x / y;
    default: return std::pow(x, y);
  }
}

}  // namespace

Error wrong(std::string message) {
  return {Code::invalid, std::move(message)};
}

std::string type_name(const Part& part) {
  if (part.data != DataType::none) return std::string(name_of(part.data));
  switch (part.type) {
    case Type::condition:
    case Type::boolean: return "Bool";
    case Type::integer: return "Int64";
    case Type::floating: return "Double";
    case Type::text: return "VarChar";
    case Type::array: return "Array";
    default: return "JSON";
  }
}

Part over(Kind kind, Part child) {
  Part part;
  part.height = child.height + 1;
  part.filter.kind = kind;
  part.filter.children.push_back(std::move(child.filter));
  return part;
}

Part over(Kind kind, Part left, Part right) {
  Part part;
  part.height = std::max(left.height, right.height) + 1;
  part.filter = Filter::make(kind, std::move(left.filter), std::move(right.filter));
  return part;
}

Part constant_of(Value value) {
  Part part;
  part.type = type_of(value);
  part.filter = Filter::literal_of(std::move(value));
  part.constant = true;
  return part;
}

Part as_condition(Part part) {
  if (part.type == Type::condition) return part;
  return over(Kind::equal, std::move(part), constant_of(true));
}

Result<Part> meta_member(std::vector<Value> path, const CollectionSchema& schema) {
  if (path.empty() || !path[0].is_string()) return wrong("can not comparisons jsonField directly");
  const std::string name = path[0].string();
  // Milvus refuses dynamic members of these names, so there it is a member that no record has. Here dynamic and declared
  // fields are one object, and the condition would be one about the declared field.
  if (schema.find(name) != nullptr)
    return Error(Code::unsupported,
                 "filter.meta: $meta[\"" + name + "\"] is no dynamic field, '" + name + "' is declared");
  path.erase(path.begin());
  Part part;
  part.type = Type::json;
  part.filter = Filter::field_of(name_from_meta(name, schema), std::move(path));
  return part;
}

Result<Part> named_field(const std::string& name, std::vector<Value> path, const CollectionSchema& schema) {
  Part part;
  const FieldSchema* declared = schema.find(name);
  if (declared == nullptr) {
    if (!schema.dynamic) return wrong("field " + name + " not exist");
    part.type = Type::json;
    part.filter = Filter::field_of(name, std::move(path));
    return part;
  }
  if (is_vector(declared->type)) return wrong("filter on a vector field is not supported: " + declared->name);
  if (declared->primary) {
    if (!path.empty())
      return wrong(std::string(name_of(declared->type)) + " data type not supported accessed with []");
    part.filter = Filter::record_id();
  } else {
    const bool inside = !path.empty();
    if (inside && declared->type != DataType::json && declared->type != DataType::array)
      return wrong(std::string(name_of(declared->type)) + " data type not supported accessed with []");
    part.filter = Filter::field_of(declared->name, std::move(path));
    if (inside) {
      part.type = declared->type == DataType::json ? Type::json : type_of(declared->element);
      part.data = declared->type == DataType::json ? DataType::none : declared->element;
      return part;
    }
  }
  part.data = declared->type;
  part.type = type_of(declared->type);
  return part;
}

Result<Part> compared(Kind kind, Part left, Part right) {
  if (left.constant && right.constant) return wrong("comparison between two constants is not supported");
  for (const Part* side : {&left, &right}) {
    if (side->type == Type::whole_json) return wrong("can not comparisons jsonField directly");
  }
  const auto clash = [&] {
    return wrong("comparisons between " + type_name(left) + ", element_type: None and " + type_name(right) +
                 " elementType: None are not supported");
  };
  const bool json = left.type == Type::json || right.type == Type::json;
  if (!json) {
    if (numeric(left.type) != numeric(right.type)) return clash();
    if (!numeric(left.type) && left.type != right.type) return clash();
    if (left.type == Type::condition ||
        (left.type == Type::boolean && kind != Kind::equal && kind != Kind::not_equal))
      return clash();
    const Part& field = left.constant ? right : left;
    const Part& constant = left.constant ? left : right;
    if (constant.constant && constant.type == Type::floating && field.type == Type::integer &&
        field.data != DataType::none) {
      std::string shown = wire::to_json(constant.filter.value);
      if (shown.ends_with(".0")) shown.resize(shown.size() - 2);
      return wrong("cannot cast value to " + type_name(field) + ", value: float_val:" + shown + " ");
    }
  }
  if (left.constant) round_for(right, left.filter.value);
  if (right.constant) round_for(left, right.filter.value);
  // One form for "1 < id" and "id > 1": the constant on the right.
  Part part = left.constant ? over(mirrored(kind), std::move(right), std::move(left))
                            : over(kind, std::move(left), std::move(right));
  part.filter.absent_matches = kind == Kind::not_equal && json;
  return part;
}

Result<Part> member(Kind kind, Part left, Part list) {
  if (list.type != Type::array || !list.constant)
    return wrong("the right of 'in' must be a list of constants");
  if (left.constant) return wrong("the left of 'in' must be a field");
  if (left.type == Type::whole_json) return wrong("can not comparisons jsonField directly");
  if (left.type != Type::json) {
    for (const Value& value : list.filter.value.array()) {
      const Type type = type_of(value);
      const bool fits = type == left.type || (left.type == Type::floating && type == Type::integer);
      if (!fits)
        return wrong("value '" + wire::to_json(value) + "' in list cannot be casted to " + type_name(left));
    }
  }
  if (left.data == DataType::float32) {
    for (Value& value : list.filter.value.array()) round_for(left, value);
  }
  const bool json = left.type == Type::json;
  Part part = over(kind, std::move(left), std::move(list));
  part.filter.absent_matches = kind == Kind::not_in && json;
  return part;
}

Result<Part> computed(Kind kind, std::string_view spelling, Part left, Part right, std::string_view last) {
  for (const Part* side : {&left, &right}) {
    const bool computes = numeric(side->type) || (side->type == Type::json && !side->constant);
    if (!computes)
      return wrong("'" + std::string(spelling) +
                   "' can only be used between integer or floating or json field expressions");
  }
  if (kind == Kind::modulo && (left.type == Type::floating || right.type == Type::floating))
    return wrong("modulo can only apply on integer types");
  if (kind == Kind::power && !(left.constant && right.constant))
    return wrong("power can only apply on constants: " + std::string(last));
  const bool zero = right.constant && right.filter.value.is_number() && right.filter.value.number() == 0;
  if (zero && (kind == Kind::divide || kind == Kind::modulo)) return wrong("cannot divide or modulo by zero");
  if (left.constant && right.constant) return constant_of(fold(kind, left.filter.value, right.filter.value));
  if (!left.constant && !right.constant)
    return wrong("not supported to do arithmetic operations between multiple fields");
  const Type type = left.type == Type::json || right.type == Type::json           ? Type::json
                    : left.type == Type::floating || right.type == Type::floating ? Type::floating
                                                                                  : Type::integer;
  Part part = over(kind, std::move(left), std::move(right));
  part.type = type;
  return part;
}

Result<std::string> like_pattern(const std::string& pattern, const Grammar& grammar) {
  if (grammar.like_anywhere) return pattern;
  std::string text = pattern;
  const size_t percent = text.find('%');
  const bool prefix = percent != std::string::npos;
  if (prefix && percent + 1 != text.size()) {
    return wrong("unsupported pattern: " + pattern +
                 ", only prefix pattern match like ab% and equal match like ab(no wildcards) are supported");
  }
  if (prefix) text.pop_back();
  std::string out;
  for (const char c : text) {
    if (c == '_' || c == '\\') out += '\\';
    out += c;
  }
  return prefix ? out + '%' : out;
}

}  // namespace vmproxy::protocols::milvus
