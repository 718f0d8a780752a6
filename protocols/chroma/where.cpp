// where           = {"$and": [where...]} | {"$or": [where...]} | {FIELD: scalar} | {FIELD: {OPERATOR:
// operand}} where_document  = {"$and": [...]} | {"$or": [...]} |
// {"$contains"|"$not_contains"|"$regex"|"$not_regex": text} Exactly one member each. FIELD "#document" takes
// the operators of where_document; "chroma:document" is the name under which the server keeps the document
// among the metadata, so it compares like a field. What was measured on 1.5.9: $ne, $nin and the negated
// operators match records without the field; 1 equals 1.0 for $eq to $lte, not inside arrays for $contains;
// values of different types are never equal; $and of nothing is true, $or of nothing false.
#include "protocols/chroma/where.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

namespace vmproxy::protocols::chroma {
namespace {

using model::Array;
using model::Filter;
using model::Object;
using model::Value;
using Kind = Filter::Kind;

constexpr std::string_view document_pseudo_field = "#document";
constexpr std::string_view document_field = "chroma:document";

Error bad_where() {
  return Error(Code::invalid, "Invalid where clause");
}
Error bad_where_document() {
  return Error(Code::invalid, "Invalid where document clause");
}

bool is_int(const Value& v) {
  return std::holds_alternative<int64_t>(v.data);
}
bool is_double(const Value& v) {
  return std::holds_alternative<double>(v.data);
}
bool is_scalar(const Value& v) {
  return v.is_string() || v.is_bool() || is_int(v) || is_double(v);
}

Filter operand_of(const std::string& name) {
  return name == document_field ? Filter::document_text() : Filter::field_of(name);
}

Filter compare(Kind kind, const std::string& name, const Value& value) {
  Filter filter = Filter::make(kind, operand_of(name), Filter::literal_of(value));
  filter.absent_matches = kind == Kind::not_equal || kind == Kind::not_in;
  return filter;
}

// The server compares a number with a fraction with floating-point fields as it is, but with integer fields
// cut towards zero: 1.5 equals the integer 1 there, and is not less than it. Said exactly, so that a delete
// by such a condition is mirrored for the very records that the server deletes.
Filter compare_fraction(Kind kind, const std::string& name, double number) {
  Filter by_value = compare(kind, name, number);
  Filter cut = compare(Kind::equal, name, static_cast<int64_t>(number));
  cut.numbers_by_value = false;
  const bool up = number > 0;  // the integer it is cut to lies below it
  switch (kind) {
    case Kind::equal: return Filter::any({std::move(by_value), std::move(cut)});
    case Kind::not_equal: return Filter::all({std::move(by_value), Filter::not_(std::move(cut))});
    case Kind::greater:
      return up ? by_value : Filter::all({std::move(by_value), Filter::not_(std::move(cut))});
    case Kind::greater_equal: return up ? Filter::any({std::move(by_value), std::move(cut)}) : by_value;
    case Kind::less: return up ? Filter::all({std::move(by_value), Filter::not_(std::move(cut))}) : by_value;
    default: return up ? by_value : Filter::any({std::move(by_value), std::move(cut)});
  }
}

bool has_fraction(const Value& v) {
  const auto* number = std::get_if<double>(&v.data);
  return number != nullptr && std::abs(*number) < 0x1p53 && std::nearbyint(*number) != *number;
}

Filter compare_number(Kind kind, const std::string& name, const Value& value) {
  return has_fraction(value) ? compare_fraction(kind, name, value.number()) : compare(kind, name, value);
}

Filter member(bool in, const std::string& name, const Value& list) {
  if (std::none_of(list.array().begin(), list.array().end(), has_fraction))
    return compare(in ? Kind::in : Kind::not_in, name, list);
  std::vector<Filter> each;
  for (const Value& element : list.array())
    each.push_back(compare_number(in ? Kind::equal : Kind::not_equal, name, element));
  return in ? Filter::any(std::move(each)) : Filter::all(std::move(each));
}

Filter document_condition(Kind kind, const Value& text) {
  return Filter::make(kind, Filter::document_text(), Filter::literal_of(text));
}

// The offending part of the pattern is not named as precisely as the server does.
Result<void> check_regex(const std::string& pattern);

Result<Filter> document_operator(const std::string& name, const Value& operand, const Error& otherwise) {
  if (!operand.is_string()) return otherwise;
  if (name == "$contains") return document_condition(Kind::contains_text, operand);
  if (name == "$not_contains") return Filter::not_(document_condition(Kind::contains_text, operand));
  if (name == "$regex" || name == "$not_regex") {
    if (const auto good = check_regex(operand.string()); !good) return good.error();
    Filter match = document_condition(Kind::matches, operand);
    return name == "$regex" ? match : Filter::not_(std::move(match));
  }
  return otherwise;
}

// The first element decides the type: after a floating-point number integers may follow, not the other way
// round.
bool same_types(const Array& list) {
  for (const Value& element : list) {
    const bool same = is_double(list[0]) ? element.is_number() && (is_int(element) || is_double(element))
                                         : element.data.index() == list[0].data.index();
    if (!is_scalar(element) || !same) return false;
  }
  return true;
}

Result<Filter> field_operator(const std::string& field, const std::string& name, const Value& operand) {
  static const std::map<std::string_view, Kind> orders = {
      {"$gt", Kind::greater}, {"$gte", Kind::greater_equal}, {"$lt", Kind::less}, {"$lte", Kind::less_equal}};
  const auto indexed = [&](bool text, Filter filter) -> Result<Filter> {
    if (!text || field != document_pseudo_field) return filter;
    return Error(Code::invalid,
                 "Cannot filter using metadata key '#document' with type 'Str' because indexing is disabled");
  };
  if (name == "$eq" || name == "$ne") {
    if (!is_scalar(operand)) return bad_where();
    return indexed(operand.is_string(),
                   compare_number(name == "$eq" ? Kind::equal : Kind::not_equal, field, operand));
  }
  if (const auto order = orders.find(name); order != orders.end()) {
    if (!is_int(operand) && !is_double(operand)) return bad_where();
    return compare_number(order->second, field, operand);
  }
  if (name == "$in" || name == "$nin") {
    if (!operand.is_array() || operand.array().empty() || !same_types(operand.array())) return bad_where();
    return indexed(operand.array()[0].is_string(), member(name == "$in", field, operand));
  }
  if (field == document_pseudo_field) return document_operator(name, operand, bad_where());
  if (name == "$contains" || name == "$not_contains") {
    if (!is_scalar(operand)) return bad_where();
    Filter contains =
        Filter::make(Kind::array_contains, Filter::field_of(field), Filter::literal_of(operand));
    contains.numbers_by_value = false;
    return name == "$contains" ? contains : Filter::not_(std::move(contains));
  }
  return bad_where();
}

using Parse = Result<Filter> (*)(const Value&);

Result<Filter> parse_children(bool all, const Value& list, Parse parse, const Error& otherwise) {
  if (!list.is_array()) return otherwise;
  std::vector<Filter> children;
  for (const Value& child : list.array()) {
    auto parsed = parse(child);
    if (!parsed) return parsed.error();
    children.push_back(std::move(*parsed));
  }
  return all ? Filter::all(std::move(children)) : Filter::any(std::move(children));
}

// Only what every regular expression language refuses: brackets that do not close, nothing to repeat. The
// server points at the place, as long as the pattern has one line.
Result<void> check_regex(const std::string& pattern) {
  const auto bad = [&](std::string_view what, size_t from, size_t length = 1) {
    return Error(Code::invalid, "Regex syntax errror: regex parse error:\n    " + pattern + "\n    " +
                                    std::string(from, ' ') + std::string(length, '^') +
                                    "\nerror: " + std::string(what));
  };
  std::vector<size_t> groups;  // where each open one began
  size_t set_began = 0;
  bool set = false;
  bool repeatable = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\') {
      if (++i == pattern.size())
        return bad("incomplete escape sequence, reached end of pattern prematurely", i - 1);
      if (pattern[i] >= '1' && pattern[i] <= '9' && !set)
        return bad("backreferences are not supported", i - 1, 2);
      repeatable = true;
    } else if (set) {
      set = c != ']';
      repeatable = true;
    } else if (c == '[') {
      set = true;
      set_began = i;
      if (i + 1 < pattern.size() && pattern[i + 1] == '^') ++i;
      if (i + 1 < pattern.size() && pattern[i + 1] == ']') ++i;
    } else if (c == '(') {
      const std::string_view rest = std::string_view(pattern).substr(i + 1);
      if (rest.starts_with("?=") || rest.starts_with("?!") || rest.starts_with("?<=") ||
          rest.starts_with("?<!")) {
        return bad("look-around, including look-ahead and look-behind, is not supported", i,
                   rest.starts_with("?<") ? 4 : 3);
      }
      groups.push_back(i);
      if (rest.starts_with("?")) ++i;
      repeatable = false;
    } else if (c == ')') {
      if (groups.empty()) return bad("unopened group", i);
      groups.pop_back();
      repeatable = true;
    } else if (c == '*' || c == '+' || c == '?') {
      if (!repeatable) return bad("repetition operator missing expression", i);
    } else {
      repeatable = c != '|';
    }
  }
  if (set) return bad("unclosed character class", set_began);
  if (!groups.empty()) return bad("unclosed group", groups.back());
  return {};
}

}  // namespace

Result<Filter> parse_where(const Value& where) {
  if (!where.is_object() || where.object().size() != 1) return bad_where();
  const auto& [name, value] = *where.object().begin();
  if (name == "$and" || name == "$or") return parse_children(name == "$and", value, parse_where, bad_where());
  if (name.starts_with('$')) return bad_where();
  if (!value.is_object()) return field_operator(name, "$eq", value);
  if (value.object().size() != 1) return bad_where();
  const auto& [op, operand] = *value.object().begin();
  return field_operator(name, op, operand);
}

Result<Filter> parse_where_document(const Value& where) {
  if (!where.is_object() || where.object().size() != 1) return bad_where_document();
  const auto& [name, value] = *where.object().begin();
  if (name == "$and" || name == "$or") {
    return parse_children(name == "$and", value, parse_where_document, bad_where_document());
  }
  return document_operator(name, value, bad_where_document());
}

}  // namespace vmproxy::protocols::chroma
