#include "protocols/pgvector/filter_operand.h"

#include <algorithm>
#include <cmath>

#include "protocols/pgvector/cell.h"
#include "protocols/pgvector/json_cell.h"

namespace vmproxy::protocols::pgvector {
namespace {

using model::Filter;
using model::Value;
using Kind = Filter::Kind;
using Type = Operand::Type;

constexpr size_t path_steps_max = 64;

Operand column_operand(const Column& column) {
  const std::string self = "t." + quoted(column.name);
  switch (column.codec) {
    case Codec::boolean: return {Type::boolean, self, false};
    case Codec::int2:
    case Codec::int4:
    case Codec::int8:
    case Codec::numeric: return {Type::integer, self, false};
    case Codec::float4: return {Type::number, self + "::double precision", false};
    case Codec::float8: return {Type::number, self, false};
    case Codec::jsonb: return {Type::json, column.type == "json" ? self + "::jsonb" : self, false};
    case Codec::array: {
      const bool real = column.element == model::FieldKind::float32;
      return {Type::json, "to_jsonb(" + self + (real ? "::double precision[])" : ")"),
              real || column.element == model::FieldKind::float64};
    }
    case Codec::text: return {Type::text, column.type == "text" ? self : self + "::text", false};
    default: return {Type::text, self + "::text", false};  // uuid and other types, by their text
  }
}

Result<Operand> field_operand(const Table& table, const Filter& filter, Arguments& arguments) {
  const Column* column = table.field_column(filter.name);
  Operand operand{Type::json, "NULL::jsonb", false};
  if (column != nullptr) {
    operand = column_operand(*column);
    if (filter.path.empty()) return operand;
    if (operand.type != Type::json)
      return Operand{Type::json, "NULL::jsonb", false};  // a scalar has no members
  } else if (table.metadata) {
    if (text_fault(filter.name)) return operand;  // no record can have such a field
    operand.sql =
        "(t." + quoted(table.columns[*table.metadata].name) + " -> " + arguments.text(filter.name) + ")";
  }
  if (filter.path.size() > path_steps_max)
    return filter_refused("filter.depth", "a path of more than " + std::to_string(path_steps_max) + " steps");
  for (const Value& step : filter.path) {
    if (step.is_string()) {
      if (text_fault(step.string())) return Operand{Type::json, "NULL::jsonb", false};
      operand.sql = "(" + operand.sql + " -> " + arguments.text(step.string()) + ")";
    } else if (const auto* index = std::get_if<int64_t>(&step.data);
               index != nullptr && *index >= 0 && *index <= INT32_MAX) {
      // "-> 0" of a scalar would be the scalar. Each step mentions the one before once, or the text would double each time.
      operand.sql = "jsonb_path_query_first(" + operand.sql + ", 'strict $[" + std::to_string(*index) +
                    "]', '{}', true)";
    } else {
      return Operand{Type::json, "NULL::jsonb", false};
    }
  }
  return operand;
}

std::string_view sign(Kind kind) {
  switch (kind) {
    case Kind::less: return " < ";
    case Kind::less_equal: return " <= ";
    case Kind::greater: return " > ";
    case Kind::greater_equal: return " >= ";
    default: return " = ";
  }
}

bool has_number(const Value& value) {
  if (value.is_array()) return std::ranges::any_of(value.array(), has_number);
  if (value.is_object())
    return std::ranges::any_of(value.object(), [](const auto& member) { return has_number(member.second); });
  return value.is_number();
}

// Whether a number in jsonb is an integer for us: written without a point, and within int64 or uint64.
std::string is_integer_sql(const std::string& json) {
  return "(position('.' in " + json + "::text) = 0 AND " + json + " >= '-9223372036854775808'::jsonb AND " +
         json + " <= '18446744073709551615'::jsonb)";
}

Result<std::string> compare_json(const std::string& json, Kind kind, const Value& constant, bool by_value,
                                 Arguments& arguments) {
  const std::string there = "(" + json + " IS NOT NULL AND ";
  if (kind != Kind::equal) {
    if (constant.is_string()) {
      if (text_fault(constant.string()))
        return filter_refused("filter.value", "a constant " + *text_fault(constant.string()));
      return there + "jsonb_typeof(" + json + ") = 'string' AND (" + json + " #>> '{}') COLLATE \"C\"" +
             std::string(sign(kind)) + arguments.text(constant.string()) + ")";
    }
    if (!constant.is_number() && !constant.is_bool()) return std::string("FALSE");  // these have no order
  }
  if (!by_value && (constant.is_array() || constant.is_object()) && has_number(constant)) {
    return filter_refused("filter.value_kind",
                          "an array or object with numbers in it can only be compared by value");
  }
  auto literal = arguments.json(constant);
  if (!literal) return literal.error();
  std::string sql = there;
  // jsonb orders values of different types, too: the type is asked first. An error cannot occur, so AND needs
  // no order.
  if (kind != Kind::equal)
    sql += std::string("jsonb_typeof(") + json + ") = '" + (constant.is_bool() ? "boolean" : "number") +
           "' AND ";
  sql += json + std::string(sign(kind)) + *literal;
  if (!by_value && constant.is_number())
    sql += (constant.is_integer() ? " AND " : " AND NOT ") + is_integer_sql(json);
  return sql + ")";
}

Result<std::string> compare_number(const Operand& left, Kind kind, const Value& constant, bool by_value,
                                   Arguments& arguments) {
  const auto* integer = std::get_if<int64_t>(&constant.data);
  const auto* real = std::get_if<double>(&constant.data);
  if (real != nullptr && !std::isfinite(*real))
    return filter_refused("filter.value", "a constant is not a finite number");
  if (!by_value && (real == nullptr) != (left.type == Type::integer)) return std::string("FALSE");
  const std::string there = "(" + left.sql + " IS NOT NULL AND " + left.sql;
  if (left.type == Type::integer) {
    if (integer != nullptr)
      return there + std::string(sign(kind)) + arguments.add(oid::int8, bytes_of(*integer)) + ")";
    const std::string digits =
        real != nullptr ? decimal(*real) : std::to_string(std::get<uint64_t>(constant.data));
    return there + "::numeric" + std::string(sign(kind)) + arguments.text(digits) + "::numeric)";
  }
  const double number = constant.number();
  if (real == nullptr && !model::equal_number(Value(number), constant)) {
    return filter_refused(
        "filter.value",
        "the integer in a comparison has more digits than the column's floating-point type holds");
  }
  // PostgreSQL's NaN equals itself and is above all numbers; ours has no order and equals nothing.
  return there + std::string(sign(kind)) + arguments.add(oid::float8, bytes_of(number)) + " AND " + left.sql +
         " <> 'NaN'::double precision)";
}

// An operand of arithmetic: an integer column, the length of an array, an integer constant, or arithmetic
// again.
Result<std::string> integer_sql(const Table& table, const Filter& filter, Arguments& arguments) {
  if (filter.kind == Kind::literal) {
    const auto* number = std::get_if<int64_t>(&filter.value.data);
    if (number != nullptr) return arguments.add(oid::int8, bytes_of(*number)) + "::numeric";
  } else {
    auto operand = operand_sql(table, filter, arguments);
    if (!operand) return operand.error();
    const bool large = filter.kind == Kind::id && table.id_column().codec == Codec::numeric;
    if (operand->type == Type::integer && !large) return operand->sql + "::numeric";
  }
  return filter_refused(
      "filter.arithmetic",
      "only 64-bit integers of declared columns can be computed with: with others overflow and "
      "division by zero are errors in PostgreSQL");
}

// As the model computes: in 64 bits, dividing towards zero; overflow and division by zero give nothing.
Result<Operand> arithmetic(const Table& table, const Filter& filter, Arguments& arguments) {
  auto left = integer_sql(table, filter.children[0], arguments);
  if (!left) return left.error();
  auto right = integer_sql(table, filter.children[1], arguments);
  if (!right) return right.error();
  std::string result;
  switch (filter.kind) {
    case Kind::add: result = *left + " + " + *right; break;
    case Kind::subtract: result = *left + " - " + *right; break;
    case Kind::multiply: result = *left + " * " + *right; break;
    case Kind::divide: result = "div(" + *left + ", nullif(" + *right + ", 0))"; break;
    default: result = "mod(" + *left + ", nullif(" + *right + ", 0))";
  }
  return Operand{Type::integer,
                 "(SELECT CASE WHEN s.r BETWEEN -9223372036854775808 AND 9223372036854775807 THEN s.r END "
                 "FROM (SELECT " +
                     result + " AS r) s)",
                 false};
}

}  // namespace

Error filter_refused(std::string_view code, const std::string& why) {
  return {Code::unsupported, std::string(code) + ": " + why};
}

std::string Arguments::text(std::string_view value) {
  return add(oid::text, std::string(value)) + "::text";
}

std::string Arguments::add(unsigned type, std::string bytes) {
  parameters_.push_back({type, std::move(bytes)});
  return "$" + std::to_string(parameters_.size());
}

Result<std::string> Arguments::json(const Value& value) {
  auto bytes = jsonb_bytes(value);
  if (!bytes) return filter_refused("filter.value", "a constant " + bytes.error().message);
  return add(oid::jsonb, std::move(*bytes)) + "::jsonb";
}

std::string Operand::as_json() const {
  return type == Type::json ? sql : "to_jsonb(" + sql + ")";
}

Result<Operand> operand_sql(const Table& table, const Filter& filter, Arguments& arguments) {
  switch (filter.kind) {
    case Kind::id: return column_operand(table.id_column());
    case Kind::document: {
      if (table.document) return column_operand(table.columns[*table.document]);
      return Operand{Type::text, "NULL::text", false};
    }
    case Kind::field: return field_operand(table, filter, arguments);
    case Kind::array_length: {
      auto array = operand_sql(table, filter.children[0], arguments);
      if (!array) return array.error();
      if (array->type != Type::json) return Operand{Type::integer, "NULL::bigint", false};  // no array
      const std::string& json = array->sql;
      return Operand{Type::integer,
                     "(CASE WHEN jsonb_typeof(" + json + ") = 'array' THEN jsonb_array_length(" + json +
                         ")::bigint END)",
                     false};
    }
    case Kind::add:
    case Kind::subtract:
    case Kind::multiply:
    case Kind::divide:
    case Kind::modulo: return arithmetic(table, filter, arguments);
    case Kind::power:
    case Kind::minus: return filter_refused("filter.arithmetic", "powers and negation are not supported");
    default: return filter_refused("filter.operand", "this kind of operand is not supported");
  }
}

Result<std::string> compare_sql(const Operand& left, Kind kind, const Value& constant, bool by_value,
                                Arguments& arguments) {
  if (left.loses_type && !by_value && has_number(constant))
    return filter_refused("filter.value", "elements of a floating-point array can be compared by value only");
  if (left.type == Type::json) return compare_json(left.sql, kind, constant, by_value, arguments);
  const std::string there = "(" + left.sql + " IS NOT NULL AND ";
  if (left.type == Type::text) {
    if (!constant.is_string()) return std::string("FALSE");
    if (auto fault = text_fault(constant.string()))
      return filter_refused("filter.value", "a constant " + *fault);
    return there + left.sql + (kind == Kind::equal ? "" : " COLLATE \"C\"") + std::string(sign(kind)) +
           arguments.text(constant.string()) + ")";
  }
  if (left.type == Type::boolean) {
    if (!constant.is_bool()) return std::string("FALSE");
    return there + left.sql + std::string(sign(kind)) + (std::get<bool>(constant.data) ? "TRUE" : "FALSE") +
           ")";
  }
  if (!constant.is_number()) return std::string("FALSE");
  return compare_number(left, kind, constant, by_value, arguments);
}

}  // namespace vmproxy::protocols::pgvector
