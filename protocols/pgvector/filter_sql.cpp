#include "protocols/pgvector/filter_sql.h"

#include "protocols/pgvector/cell.h"
#include "protocols/pgvector/filter_operand.h"
#include "protocols/pgvector/regular_expression.h"

namespace vmproxy::protocols::pgvector {
namespace {

using model::Filter;
using model::Value;
using Kind = Filter::Kind;
using Type = Operand::Type;

constexpr int depth_max = 200;
constexpr size_t arguments_max = 60'000;  // a statement takes 65,535, and there are others than the filter's

bool is_condition(Kind kind) {
  return kind < Kind::literal;
}

// Depends on no record, so its value is known.
bool is_constant(const Filter& filter) {
  if (filter.kind == Kind::field || filter.kind == Kind::document || filter.kind == Kind::id ||
      filter.kind == Kind::id_number)
    return false;
  for (const Filter& child : filter.children) {
    if (!is_constant(child)) return false;
  }
  return true;
}

class Translator {
 public:
  Translator(const Table& table, std::vector<Parameter>& parameters)
      : table_(table), arguments_(parameters) {}

  Result<std::string> condition(const Filter& filter, int depth = 0) {
    if (depth > depth_max)
      return filter_refused("filter.depth", "nested more than " + std::to_string(depth_max) + " levels deep");
    switch (filter.kind) {
      case Kind::always: return std::string("TRUE");
      case Kind::all_of: return junction(filter, " AND ", "TRUE", depth);
      case Kind::any_of: return junction(filter, " OR ", "FALSE", depth);
      case Kind::negate: {
        auto child = condition(filter.children[0], depth + 1);
        return child ? Result<std::string>("(NOT " + *child + ")") : child;
      }
      case Kind::literal:
        return std::string(filter.value.is_bool() && std::get<bool>(filter.value.data) ? "TRUE" : "FALSE");
      case Kind::exists:
      case Kind::is_null: return presence(filter);
      case Kind::field: {
        auto field = operand_sql(table_, filter, arguments_);
        return field ? compare_sql(*field, Kind::equal, Value(true), true, arguments_)
                     : Result<std::string>(field.error());
      }
      default: break;
    }
    if (!is_condition(filter.kind) || filter.children.size() < 2) return std::string("FALSE");
    return comparison(filter);
  }

 private:
  Result<std::string> junction(const Filter& filter, std::string_view word, std::string_view empty,
                               int depth) {
    std::string sql;
    for (const Filter& child : filter.children) {
      auto part = condition(child, depth + 1);
      if (!part) return part;
      if (!sql.empty()) sql += word;
      sql += *part;
    }
    return sql.empty() ? std::string(empty) : "(" + sql + ")";
  }

  Result<std::string> presence(const Filter& filter) {
    const Filter& child = filter.children[0];
    if (is_constant(child) || is_condition(child.kind))
      return filter_refused("filter.operand",
                            "only a field, the document or the id can be asked for presence");
    auto operand = operand_sql(table_, child, arguments_);
    if (!operand) return operand.error();
    if (filter.kind == Kind::exists) return "(" + operand->sql + " IS NOT NULL)";
    if (operand->type != Type::json) return "(" + operand->sql + " IS NULL)";
    return "(" + operand->sql + " IS NULL OR " + operand->sql + " = 'null'::jsonb)";
  }

  Result<std::string> comparison(const Filter& filter) {
    if (filter.kind == Kind::matches && is_constant(filter))
      return filter_refused("filter.operand", "a pattern must be asked of a field, the document or the id");
    if (is_constant(filter)) return std::string(model::evaluate(filter, {}) ? "TRUE" : "FALSE");
    const Filter& right = filter.children[1];
    if (is_condition(filter.children[0].kind) || is_condition(right.kind))
      return filter_refused("filter.operand", "a condition cannot be compared");
    if (filter.children[0].kind == Kind::literal)
      return filter_refused("filter.operand", "the constant of a comparison must stand on its right");
    auto left = operand_sql(table_, filter.children[0], arguments_);
    if (!left) return left.error();
    if (right.kind != Kind::literal) return between_operands(filter, *left);

    const bool negative = filter.kind == Kind::not_equal || filter.kind == Kind::not_in;
    auto matched = with_constant(filter, *left, right.value);
    if (!matched) return matched;
    if (filter.kind == Kind::not_in && !right.value.is_array()) return otherwise(filter, left->sql, "FALSE");
    return otherwise(filter, left->sql, negative ? "(NOT " + *matched + ")" : *matched);
  }

  // `present` where the operand is there, absent_matches where it is not.
  static std::string otherwise(const Filter& filter, const std::string& operand, const std::string& present) {
    if (filter.absent_matches) return "(" + operand + " IS NULL OR " + present + ")";
    return "(" + operand + " IS NOT NULL AND " + present + ")";
  }

  // True only where the operand is there; never NULL.
  Result<std::string> with_constant(const Filter& filter, const Operand& left, const Value& constant) {
    switch (filter.kind) {
      case Kind::equal:
      case Kind::not_equal:
        return compare_sql(left, Kind::equal, constant, filter.numbers_by_value, arguments_);
      case Kind::less:
      case Kind::less_equal:
      case Kind::greater:
      case Kind::greater_equal:
        return compare_sql(left, filter.kind, constant, filter.numbers_by_value, arguments_);
      case Kind::in:
      case Kind::not_in: {
        if (!constant.is_array()) return std::string("FALSE");
        return one_of(left, constant.array(), filter.numbers_by_value);
      }
      case Kind::like:
      case Kind::matches:
      case Kind::contains_text:
        return constant.is_string() ? text_condition(filter.kind, left, constant.string())
                                    : Result<std::string>("FALSE");
      case Kind::array_contains: return array_has(left, constant, filter.numbers_by_value);
      case Kind::array_contains_any:
      case Kind::array_contains_all: {
        if (!constant.is_array() || left.type != Type::json) return std::string("FALSE");
        const bool all = filter.kind == Kind::array_contains_all;
        const std::string is_array =
            "(" + left.sql + " IS NOT NULL AND jsonb_typeof(" + left.sql + ") = 'array')";
        return any_element(
            constant.array(), all ? " AND " : " OR ", all ? is_array : "FALSE",
            [&](const Value& element) { return array_has(left, element, filter.numbers_by_value); });
      }
      default: return filter_refused("filter.operator", "this comparison is not supported");
    }
  }

  // Constants of the column's own kind are one argument, however many they are; the others one each.
  Result<std::string> one_of(const Operand& left, const model::Array& constants, bool by_value) {
    const bool text = left.type == Type::text;
    const auto alike = [&](const Value& one) {
      return text ? one.is_string() : left.type == Type::integer && std::holds_alternative<int64_t>(one.data);
    };
    std::string cells;
    size_t count = 0;
    model::Array others;
    for (const Value& one : constants) {
      if (!alike(one)) {
        others.push_back(one);
        continue;
      }
      if (auto fault = text ? text_fault(one.string()) : std::nullopt)
        return filter_refused("filter.value", "a constant " + *fault);
      put_cell(cells, text ? one.string() : bytes_of(std::get<int64_t>(one.data)));
      ++count;
    }
    auto rest = any_element(others, " OR ", "FALSE", [&](const Value& element) {
      return compare_sql(left, Kind::equal, element, by_value, arguments_);
    });
    if (!rest || count == 0) return rest;
    const std::string type = text ? "text" : "bigint";
    const std::string array = arguments_.add(text ? oid::text_array : oid::int8_array,
                                             array_of(text ? oid::text : oid::int8, count, cells));
    const std::string among =
        "(" + left.sql + " IS NOT NULL AND " + left.sql + " = ANY(" + array + "::" + type + "[]))";
    return others.empty() ? among : "(" + among + " OR " + *rest + ")";
  }

  template <class Each>
  Result<std::string> any_element(const model::Array& elements, std::string_view word, std::string_view empty,
                                  Each each) {
    std::string sql;
    for (const Value& element : elements) {
      auto part = each(element);
      if (!part) return part;
      if (!sql.empty()) sql += word;
      sql += *part;
    }
    return sql.empty() ? std::string(empty) : "(" + sql + ")";
  }

  Result<std::string> text_condition(Kind kind, const Operand& left, const std::string& constant) {
    if (left.type != Type::text && left.type != Type::json) return std::string("FALSE");
    if (auto fault = text_fault(constant)) return filter_refused("filter.value", "a constant " + *fault);
    const bool json = left.type == Type::json;
    const std::string text = (json ? "(" + left.sql + " #>> '{}')" : left.sql) + " COLLATE \"C\"";
    std::string sql = "(" + left.sql + " IS NOT NULL AND ";
    if (json) sql += "jsonb_typeof(" + left.sql + ") = 'string' AND ";
    if (kind == Kind::contains_text)
      return sql + "strpos(" + text + ", " + arguments_.text(constant) + ") > 0)";
    if (kind == Kind::like) {
      // A single backslash at the end stands for itself with us and is an error there.
      const size_t backslashes = constant.size() - (constant.find_last_not_of('\\') + 1);
      return sql + text + " LIKE " + arguments_.text(constant + (backslashes % 2 == 1 ? "\\" : "")) + ")";
    }
    auto pattern = to_postgresql_regex(constant);
    if (!pattern) return pattern.error();
    return sql + text + " ~ " + arguments_.text(*pattern) + ")";
  }

  Result<std::string> array_has(const Operand& left, const Value& element, bool by_value) {
    if (left.type != Type::json) return std::string("FALSE");
    const std::string is_array = "jsonb_typeof(" + left.sql + ") = 'array'";
    const std::string there = "(" + left.sql + " IS NOT NULL AND " + is_array + " AND ";
    if ((by_value || !element.is_number()) && !element.is_array() && !element.is_object()) {
      auto wanted = arguments_.json(model::Array{element});
      if (!wanted) return wanted;
      return there + left.sql + " @> " + *wanted + ")";
    }
    auto same =
        compare_sql({Type::json, "e.value", left.loses_type}, Kind::equal, element, by_value, arguments_);
    if (!same) return same;
    return there + "EXISTS (SELECT FROM jsonb_array_elements(CASE WHEN " + is_array + " THEN " + left.sql +
           " ELSE '[]'::jsonb END) AS e(value) WHERE " + *same + "))";
  }

  Result<std::string> between_operands(const Filter& filter, const Operand& left) {
    auto right = operand_sql(table_, filter.children[1], arguments_);
    if (!right) return right.error();
    if (left.type == Type::number || right->type == Type::number || !filter.numbers_by_value) {
      return filter_refused(
          "filter.operands",
          "two fields can be compared by value only, and not when one is a floating-point column");
    }
    const std::string a = left.as_json(), b = right->as_json();
    const std::string both = "(" + a + " IS NOT NULL AND " + b + " IS NOT NULL)";
    std::string present;
    switch (filter.kind) {
      case Kind::equal: present = a + " = " + b; break;
      case Kind::not_equal: present = a + " <> " + b; break;
      case Kind::less: present = order(a, " < ", b); break;
      case Kind::less_equal: present = order(a, " <= ", b); break;
      case Kind::greater: present = order(a, " > ", b); break;
      case Kind::greater_equal: present = order(a, " >= ", b); break;
      default:
        return filter_refused("filter.operands", "two fields can only be compared for equality and order");
    }
    return "(CASE WHEN " + both + " THEN " + present + " ELSE " + (filter.absent_matches ? "TRUE" : "FALSE") +
           " END)";
  }

  static std::string order(const std::string& a, const std::string& sign, const std::string& b) {
    return "(CASE WHEN jsonb_typeof(" + a + ") <> jsonb_typeof(" + b + ") THEN FALSE WHEN jsonb_typeof(" + a +
           ") = 'string' THEN (" + a + " #>> '{}') COLLATE \"C\"" + sign + "(" + b +
           " #>> '{}') WHEN jsonb_typeof(" + a + ") IN ('number', 'boolean') THEN " + a + sign + b +
           " ELSE FALSE END)";
  }

  const Table& table_;
  Arguments arguments_;
};

}  // namespace

Result<std::string> filter_sql(const Table& table, const Filter& filter, std::vector<Parameter>& parameters) {
  auto condition = Translator(table, parameters).condition(filter);
  if (condition && parameters.size() > arguments_max)
    return filter_refused("filter.size", "more than " + std::to_string(arguments_max) + " constants");
  return condition;
}

}  // namespace vmproxy::protocols::pgvector
