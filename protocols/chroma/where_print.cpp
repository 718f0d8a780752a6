// Filter -> where. Whatever Chroma would answer differently is refused with a stable code, never
// approximated.
#include <cmath>
#include <string>

#include "protocols/chroma/where.h"

namespace vmproxy::protocols::chroma {
namespace {

using model::Array;
using model::Filter;
using model::Object;
using model::Value;
using Kind = Filter::Kind;

Error unsupported(std::string_view code, std::string_view why) {
  return Error(Code::unsupported, std::string(code) + ": " + std::string(why));
}

bool mentions_id(const Filter& filter) {
  if (filter.kind == Kind::id || filter.kind == Kind::id_number) return true;
  for (const Filter& child : filter.children) {
    if (mentions_id(child)) return true;
  }
  return false;
}

Value group(bool all, Array children) {
  return Object{{all ? "$and" : "$or", std::move(children)}};
}
Value condition(std::string name, std::string_view op, Value operand) {
  return Object{{std::move(name), Object{{std::string(op), std::move(operand)}}}};
}

bool is_finite_scalar(const Value& v) {
  const auto* number = std::get_if<double>(&v.data);
  return v.is_string() || v.is_bool() || std::holds_alternative<int64_t>(v.data) ||
         (number != nullptr && std::isfinite(*number));
}

Result<std::string> field_name(const Filter& operand) {
  if (operand.kind == Kind::document) return std::string("chroma:document");
  if (operand.kind != Kind::field)
    return unsupported("filter.operand", "only a field or the document can be compared with a constant");
  if (!operand.path.empty())
    return unsupported("filter.path", "fields inside '" + operand.name + "' cannot be reached");
  // Nothing else is said of fields with names that records cannot have; they are absent there as here.
  if (operand.name.starts_with('$') || operand.name == "#document" || operand.name == "chroma:document") {
    return unsupported("filter.field_name", "'" + operand.name + "' means something else in Chroma");
  }
  return operand.name;
}

Result<Value> print(const Filter& filter, bool negated);

Result<Value> print_group(const Filter& filter, bool all, bool negated) {
  Array children;
  for (const Filter& child : filter.children) {
    auto printed = print(child, negated);
    if (!printed) return printed;
    children.push_back(std::move(*printed));
  }
  return group(all, std::move(children));
}

// The server compares a number with a fraction with integers cut towards zero: 1.5 equals the integer 1
// there. That tells the integer 1 from 1.0, which a comparison with 1 does not: both hold for the integer
// only.
bool has_fraction(double number) {
  return std::nearbyint(number) != number;
}
bool fits(double number) {
  return std::abs(number) < 0x1p52;
}

Value integer_is(const std::string& name, int64_t wanted) {
  const double beside = static_cast<double>(wanted) + (wanted < 0 ? -0.5 : 0.5);
  return group(true, {condition(name, "$eq", wanted), condition(name, "$eq", beside)});
}
Value integer_is_not(const std::string& name, int64_t wanted) {
  const double beside = static_cast<double>(wanted) + (wanted < 0 ? -0.5 : 0.5);
  return group(false, {condition(name, "$ne", wanted), condition(name, "$ne", beside)});
}

// By value, also where the server would cut.
Value print_fraction_order(Kind kind, const std::string& name, std::string_view op, double number) {
  Value plain = condition(name, op, number);
  const auto cut = static_cast<int64_t>(number);
  const bool up = number > 0;
  const bool upward = kind == Kind::greater || kind == Kind::greater_equal;
  const bool with_equal = kind == Kind::greater_equal || kind == Kind::less_equal;
  if ((upward == up) != with_equal) return plain;  // here the cut changes nothing
  if (with_equal) return group(true, {std::move(plain), integer_is_not(name, cut)});
  return group(false, {std::move(plain), integer_is(name, cut)});
}

Result<Value> print_order(const Filter& filter, bool negated) {
  if (negated)
    return unsupported("filter.not_order", "the negation of a comparison by order matches absent fields");
  if (filter.absent_matches)
    return unsupported("filter.absent", "a comparison by order that matches absent fields");
  const Value& literal = filter.children[1].value;
  if (!literal.is_number() || !is_finite_scalar(literal))
    return unsupported("filter.order", "only numbers within 64 bits have an order");
  if (!filter.numbers_by_value)
    return unsupported("filter.number_types", "integers and floating-point numbers are ordered by value");
  auto name = field_name(filter.children[0]);
  if (!name) return name.error();
  const std::string_view op = filter.kind == Kind::less         ? "$lt"
                              : filter.kind == Kind::less_equal ? "$lte"
                              : filter.kind == Kind::greater    ? "$gt"
                                                                : "$gte";
  const auto* number = std::get_if<double>(&literal.data);
  if (number == nullptr) return condition(*name, op, literal);
  if (!(std::abs(*number) < 0x1p63))
    return unsupported("filter.number_range", "a number beyond 64-bit integers");
  if (!has_fraction(*number)) return condition(*name, op, literal);
  return print_fraction_order(filter.kind, *name, op, *number);
}

// `field == literal`, or its negation, which also matches records without the field.
Result<Value> print_equal(const std::string& name, const Value& literal, bool by_value, bool negated) {
  if (!is_finite_scalar(literal))
    return unsupported("filter.literal", "only strings, booleans and numbers can be compared");
  Value plain = condition(name, negated ? "$ne" : "$eq", literal);
  if (!literal.is_number()) return plain;
  const auto* number = std::get_if<double>(&literal.data);
  if (number != nullptr && !(std::abs(*number) < 0x1p63))
    return unsupported("filter.number_range", "a number beyond 64-bit integers");
  if (number != nullptr && has_fraction(*number)) {
    // No integer is equal to it, by value or by type.
    Value cut = condition(name, negated ? "$eq" : "$ne", static_cast<int64_t>(*number));
    return group(!negated, {std::move(plain), std::move(cut)});
  }
  if (by_value) return plain;
  if (!fits(literal.number()))
    return unsupported("filter.number_types", "large integers and floating-point numbers compare by value");
  if (number == nullptr) {
    const int64_t wanted = std::get<int64_t>(literal.data);
    return negated ? integer_is_not(name, wanted) : integer_is(name, wanted);
  }
  const double beside = *number + (*number < 0 ? -0.5 : 0.5);
  return group(!negated, {std::move(plain), condition(name, negated ? "$eq" : "$ne", beside)});
}

// Equality and membership: the positive form matches no absent field, the negative one all of them.
Result<Value> print_equality(const Filter& filter, bool negated) {
  const bool negative = filter.kind == Kind::not_equal || filter.kind == Kind::not_in;
  if (filter.absent_matches != negative) {
    return unsupported("filter.absent", negative ? "a comparison with 'not' always matches absent fields"
                                                 : "a comparison never matches absent fields");
  }
  const Value& literal = filter.children[1].value;
  auto name = field_name(filter.children[0]);
  if (!name) return name.error();
  const bool not_ = negative != negated;
  if (filter.kind == Kind::equal || filter.kind == Kind::not_equal)
    return print_equal(*name, literal, filter.numbers_by_value, not_);
  if (!literal.is_array()) return unsupported("filter.literal", "'in' needs a list of constants");
  Array children;
  bool plain = !literal.array().empty();  // all of one type that needs no care
  for (const Value& element : literal.array()) {
    auto one = print_equal(*name, element, filter.numbers_by_value, not_);
    if (!one) return one;
    plain = plain && element.data.index() == literal.array()[0].data.index() && one->find(*name) != nullptr;
    children.push_back(std::move(*one));
  }
  if (plain) return condition(*name, not_ ? "$nin" : "$in", literal);
  return group(not_, std::move(children));
}

Result<Value> print_document_test(const Filter& filter, bool negated, std::string_view op,
                                  std::string_view not_op) {
  if (filter.children[0].kind != Kind::document) {
    return unsupported("filter.field_text",
                       "text can be searched in the document only, not in metadata fields");
  }
  if (filter.absent_matches)
    return unsupported("filter.absent", "a text search that matches records without a document");
  const Value& literal = filter.children[1].value;
  if (!literal.is_string()) return unsupported("filter.literal", "a text search needs a string");
  return condition("#document", negated ? not_op : op, literal);
}

Result<Value> print_array_contains(const Filter& filter, const Value& literal, bool negated) {
  if (filter.absent_matches)
    return unsupported("filter.absent", "a search in an array that matches absent fields");
  const Filter& list = filter.children[0];
  // The document is no list, under either name.
  const bool document =
      list.kind == Kind::document || (list.kind == Kind::field && list.name == "chroma:document");
  if (document) return group(negated, {});
  auto name = field_name(list);
  if (!name) return name.error();
  if (!is_finite_scalar(literal))
    return unsupported("filter.literal", "only strings, booleans and numbers can be elements");
  const std::string_view op = negated ? "$not_contains" : "$contains";
  if (!filter.numbers_by_value || !literal.is_number()) return condition(*name, op, literal);
  // By value: 2 is also found as 2.0, which Chroma keeps in arrays of another type.
  Array both{condition(*name, op, literal)};
  if (const auto* number = std::get_if<double>(&literal.data)) {
    if (std::nearbyint(*number) == *number && std::abs(*number) < 0x1p63)
      both.push_back(condition(*name, op, static_cast<int64_t>(*number)));
  } else {
    const Value other = literal.number();
    if (!equal_number(other, literal))
      return unsupported("filter.literal", "an integer beyond 2^53 among floating-point numbers");
    both.push_back(condition(*name, op, other));
  }
  return group(negated, std::move(both));
}

Result<Value> print_array_contains_each(const Filter& filter, bool negated) {
  if (filter.absent_matches)
    return unsupported("filter.absent", "a search in an array that matches absent fields");
  const Value& list = filter.children[1].value;
  if (!list.is_array()) return unsupported("filter.literal", "a list of constants is needed");
  // Of no elements: true for every array and nothing else ("all"), which Chroma cannot ask; false for all
  // ("any").
  if (list.array().empty() && filter.kind == Kind::array_contains_all) {
    return unsupported("filter.array_type", "whether a field is an array cannot be asked");
  }
  Array children;
  for (const Value& element : list.array()) {
    auto printed = print_array_contains(filter, element, negated);
    if (!printed) return printed;
    children.push_back(std::move(*printed));
  }
  return group((filter.kind == Kind::array_contains_all) != negated, std::move(children));
}

Result<Value> print(const Filter& filter, bool negated) {
  switch (filter.kind) {
    case Kind::always: return group(!negated, {});
    case Kind::all_of: return print_group(filter, !negated, negated);
    case Kind::any_of: return print_group(filter, negated, negated);
    case Kind::negate: return print(filter.children[0], !negated);
    case Kind::literal:
      if (filter.value.is_bool()) return group(std::get<bool>(filter.value.data) != negated, {});
      return unsupported("filter.literal", "a constant is not a condition");
    case Kind::field: {
      auto name = field_name(filter);
      if (!name) return name.error();
      return condition(*name, negated ? "$ne" : "$eq", true);
    }
    case Kind::equal:
    case Kind::not_equal:
    case Kind::in:
    case Kind::not_in:
    case Kind::less:
    case Kind::less_equal:
    case Kind::greater:
    case Kind::greater_equal:
    case Kind::contains_text:
    case Kind::matches:
    case Kind::array_contains:
    case Kind::array_contains_all:
    case Kind::array_contains_any: break;
    case Kind::like: return unsupported("filter.like", "patterns cannot be searched");
    case Kind::exists: return unsupported("filter.exists", "whether a field is present cannot be asked");
    case Kind::is_null: return unsupported("filter.is_null", "whether a field is absent cannot be asked");
    default: return unsupported("filter.arithmetic", "conditions cannot compute");
  }
  if (filter.children.size() != 2 || filter.children[1].kind != Kind::literal) {
    return unsupported("filter.operand",
                       "only a field or the document can be compared, with a constant on the right");
  }
  switch (filter.kind) {
    case Kind::less:
    case Kind::less_equal:
    case Kind::greater:
    case Kind::greater_equal: return print_order(filter, negated);
    case Kind::contains_text: return print_document_test(filter, negated, "$contains", "$not_contains");
    case Kind::matches: return print_document_test(filter, negated, "$regex", "$not_regex");
    case Kind::array_contains: return print_array_contains(filter, filter.children[1].value, negated);
    case Kind::array_contains_all:
    case Kind::array_contains_any: return print_array_contains_each(filter, negated);
    default: return print_equality(filter, negated);
  }
}

Result<void> collect(const Filter& filter, Array& conditions, std::vector<Filter>& on_id) {
  if (filter.kind == Kind::always) return {};
  if (filter.kind == Kind::all_of) {
    for (const Filter& child : filter.children) {
      if (auto done = collect(child, conditions, on_id); !done) return done;
    }
    return {};
  }
  if (mentions_id(filter)) {
    on_id.push_back(filter);
    return {};
  }
  auto printed = print(filter, false);
  if (!printed) return printed.error();
  conditions.push_back(std::move(*printed));
  return {};
}

// A condition that is decided with the id alone can be checked here; one that also needs fields cannot.
bool only_id(const Filter& filter) {
  if (filter.kind == Kind::field || filter.kind == Kind::document) return false;
  if (filter.kind == Kind::matches) return false;  // no expression of a stranger's runs in this process
  for (const Filter& child : filter.children) {
    if (!only_id(child)) return false;
  }
  return true;
}

}  // namespace

Result<Clause> print_filter(const Filter& filter) {
  Clause clause;
  Array conditions;
  if (auto done = collect(filter, conditions, clause.on_id); !done) return done.error();
  for (const Filter& condition_on_id : clause.on_id) {
    if (!only_id(condition_on_id))
      return unsupported("filter.id",
                         "a condition that mixes the id with fields by 'or', or a pattern on the id");
  }
  if (conditions.size() == 1) clause.where = std::move(conditions[0]);
  if (conditions.size() > 1) clause.where = group(true, std::move(conditions));
  return clause;
}

}  // namespace vmproxy::protocols::chroma
