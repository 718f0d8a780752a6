// Filters as expressions. The server's own meaning of absent fields: a comparison with one is false, != and
// not in are true; where the filter wants it otherwise, exists says so.
#include <algorithm>
#include <cmath>

#include "protocols/milvus/expression.h"
#include "protocols/milvus/expression_literal.h"
#include "protocols/milvus/rows.h"
#include "protocols/wire/json.h"

namespace vmproxy::protocols::milvus {
namespace {

using model::Filter;
using model::Value;
using Kind = Filter::Kind;
using Printed = Result<std::string>;

constexpr int depth_max = 90;

class Printer {
 public:
  Printer(const CollectionSchema& schema, const Grammar& grammar) : schema_(schema), grammar_(grammar) {}

  // A call of a function or something in parentheses: it can stand behind "not" and between "and" as it is.
  Printed condition(const Filter& filter, int depth) const {
    if (depth > depth_max) return cannot("depth", "the filter is nested too deeply");
    switch (filter.kind) {
      case Kind::always: return everything();
      case Kind::all_of: return joined(filter, " and ", true, depth);
      case Kind::any_of: return joined(filter, " or ", false, depth);
      case Kind::negate: return negated(filter.children[0], depth + 1);
      case Kind::exists:
      case Kind::is_null: return presence(filter);
      case Kind::in:
      case Kind::not_in: return guarded(filter, filter.kind == Kind::not_in, membership(filter, depth));
      case Kind::like:
      case Kind::contains_text: return guarded(filter, false, like(filter));
      case Kind::matches: return cannot("regex", "Milvus has no regular expressions in filters");
      case Kind::array_contains:
      case Kind::array_contains_all:
      case Kind::array_contains_any: return guarded(filter, false, contains(filter));
      case Kind::equal:
      case Kind::not_equal:
      case Kind::less:
      case Kind::less_equal:
      case Kind::greater:
      case Kind::greater_equal:
        return guarded(filter, filter.kind == Kind::not_equal, comparison(filter, depth));
      default: return cannot("condition", "an operand stands where a condition is needed");
    }
  }

 private:
  // Every key is above or below any bound.
  std::string everything() const {
    const FieldSchema* key = schema_.primary();
    const std::string name = key == nullptr ? "id" : key->name;
    if (key != nullptr && key->type == DataType::varchar) return "(" + name + " >= \"\")";
    return "(" + name + " >= 0 or " + name + " < 0)";
  }
  // Not "not everything": Milvus Lite takes "all" out of it and cannot negate what is left.
  std::string nothing() const {
    const FieldSchema* key = schema_.primary();
    const std::string name = key == nullptr ? "id" : key->name;
    if (key != nullptr && key->type == DataType::varchar) return "(" + name + " < \"\")";
    return "(" + name + " < 0 and " + name + " >= 0)";
  }

  Printed joined(const Filter& filter, std::string_view by, bool neutral, int depth) const {
    if (filter.children.empty()) return neutral ? everything() : nothing();
    std::string out = "(";
    for (size_t i = 0; i < filter.children.size(); ++i) {
      auto child = condition(filter.children[i], depth + 1);
      if (!child) return child;
      if (i > 0) out += by;
      out += *child;
    }
    return out + ")";
  }

  // Milvus Lite negates no "and" and no "or": the negation goes inside.
  Printed negated(const Filter& filter, int depth) const {
    if (filter.kind == Kind::all_of || filter.kind == Kind::any_of) {
      Filter inside;
      inside.kind = filter.kind == Kind::all_of ? Kind::any_of : Kind::all_of;
      for (const auto& child : filter.children) inside.children.push_back(Filter::not_(child));
      return condition(inside, depth);
    }
    auto inner = condition(filter, depth);
    if (!inner) return inner;
    return "(not " + *inner + ")";
  }

  const FieldSchema* declared(const Filter& field) const {
    if (field.kind == Kind::id) return schema_.primary();
    if (field.kind != Kind::field) return nullptr;
    const auto* found = schema_.find(field.name);
    return found == nullptr || found->primary || is_vector(found->type) || found->dynamic ? nullptr : found;
  }

  // Its value is typed by the schema, not by what each record happens to hold.
  bool typed(const Filter& field) const {
    const auto* found = declared(field);
    if (found == nullptr) return false;
    return found->type != DataType::json;
  }

  Printed field(const Filter& filter) const {
    if (filter.kind == Kind::document) return cannot("document", "Milvus keeps no document apart");
    if (filter.kind == Kind::id_number)
      return cannot("operand", "Milvus cannot read a number in the text of an id");
    if (filter.kind == Kind::id) return schema_.primary() == nullptr ? "id" : schema_.primary()->name;
    std::string out;
    if (const auto* found = declared(filter)) {
      out = found->name;
    } else if (schema_.dynamic) {
      out = "$meta[" + quoted(name_in_meta(filter.name, schema_)) + "]";
    } else {
      return cannot("field", "the collection has no field '" + filter.name + "' and no dynamic fields");
    }
    for (const Value& step : filter.path) {
      out += step.is_string() ? "[" + quoted(step.string()) + "]" : "[" + wire::to_json(step) + "]";
    }
    return out;
  }

  static bool is_field(const Filter& filter) {
    return filter.kind == Kind::field || filter.kind == Kind::id || filter.kind == Kind::document;
  }

  // The field that a condition is about, through arithmetic and array_length.
  static const Filter* subject(const Filter& filter) {
    if (is_field(filter)) return &filter;
    for (const auto& child : filter.children) {
      if (const auto* found = subject(child)) return found;
    }
    return nullptr;
  }

  // `natively`: what Milvus answers for a record without the field.
  Printed guarded(const Filter& filter, bool natively, Printed printed) const {
    if (!printed) return printed;
    const Filter* about = subject(filter);
    if (about == nullptr || typed(*about) || about->kind != Kind::field) return printed;
    const bool wanted = filter.absent_matches;
    if (wanted == natively) return printed;
    auto name = field(*about);
    if (!name) return name;
    if (!grammar_.exists) return no_exists();
    if (wanted) return "((not (exists " + *name + ")) or " + *printed + ")";
    return "((exists " + *name + ") and " + *printed + ")";
  }

  Printed presence(const Filter& filter) const {
    const Filter& about = filter.children[0];
    if (about.kind != Kind::field) return filter.kind == Kind::exists ? everything() : nothing();
    if (const auto* found = declared(about); found != nullptr && found->type != DataType::json) {
      if (!about.path.empty()) return cannot("element", "whether an array has an element cannot be asked");
      if (!found->nullable) return filter.kind == Kind::exists ? everything() : nothing();
      return "(" + found->name + (filter.kind == Kind::exists ? " is not null)" : " is null)");
    }
    if (about.path.empty() && declared(about) != nullptr) {
      if (filter.kind == Kind::exists) return everything();
      return cannot("is_null", "a whole JSON field cannot be compared with null");
    }
    auto name = field(about);
    if (!name) return name;
    if (!grammar_.exists) return no_exists();
    return filter.kind == Kind::exists ? "(exists " + *name + ")" : "(not (exists " + *name + "))";
  }

  static Error no_exists() {
    return cannot("exists", "this Milvus cannot ask whether a record has a field, which the filter turns on");
  }

  Printed operand(const Filter& filter, int depth) const {
    if (depth > depth_max) return cannot("depth", "the filter is nested too deeply");
    static constexpr std::pair<Kind, std::string_view> signs[] = {{Kind::add, " + "},
                                                                  {Kind::subtract, " - "},
                                                                  {Kind::multiply, " * "},
                                                                  {Kind::divide, " / "},
                                                                  {Kind::modulo, " % "}};
    if (filter.kind == Kind::literal) return literal_text(filter.value);
    if (is_field(filter)) return field(filter);
    if (filter.kind == Kind::array_length) {
      auto name = field(filter.children[0]);
      if (!name) return name;
      return "array_length(" + *name + ")";
    }
    for (const auto& [kind, sign] : signs) {
      if (kind != filter.kind) continue;
      auto left = operand(filter.children[0], depth + 1);
      if (!left) return left;
      auto right = operand(filter.children[1], depth + 1);
      if (!right) return right;
      return "(" + *left + std::string(sign) + *right + ")";
    }
    return cannot("arithmetic", "Milvus cannot compute this operand");
  }

  static std::string_view sign(Kind kind) {
    switch (kind) {
      case Kind::equal: return " == ";
      case Kind::not_equal: return " != ";
      case Kind::less: return " < ";
      case Kind::less_equal: return " <= ";
      case Kind::greater: return " > ";
      default: return " >= ";
    }
  }

  Printed comparison(const Filter& filter, int depth) const {
    const Filter& left = filter.children[0];
    const Filter& right = filter.children[1];
    if (left.kind == Kind::literal && right.kind != Kind::literal)
      return compared(mirrored(filter.kind), right, left, filter.numbers_by_value, depth);
    return compared(filter.kind, left, right, filter.numbers_by_value, depth);
  }

  Printed compared(Kind kind, const Filter& left, const Filter& right, bool by_value, int depth) const {
    if (right.kind == Kind::literal) {
      const Value& value = right.value;
      if (const auto* field = declared(left); field != nullptr && typed(left) && left.path.empty()) {
        switch (fit(*field, value)) {
          case Fit::fits: break;
          case Fit::never: return kind == Kind::not_equal ? everything() : nothing();
          case Fit::integer_and_fraction: return against_fraction(kind, left, value.number(), depth);
        }
      } else if (value.is_number() && !by_value) {
        return cannot("number_type", "Milvus compares 1 and 1.0 as equal");
      }
      if (value.is_bool() && kind != Kind::equal && kind != Kind::not_equal)
        return ordered_boolean(kind, left, std::get<bool>(value.data), depth);
    }
    auto a = operand(left, depth + 1);
    if (!a) return a;
    auto b = operand(right, depth + 1);
    if (!b) return b;
    return "(" + *a + std::string(sign(kind)) + *b + ")";
  }

  // Milvus knows no order between false and true; here false is the smaller one.
  Printed ordered_boolean(Kind kind, const Filter& left, bool bound, int depth) const {
    auto name = operand(left, depth + 1);
    if (!name) return name;
    std::string any;
    bool both = false;
    for (const bool value : {false, true}) {
      const bool matches = kind == Kind::less         ? value < bound
                           : kind == Kind::less_equal ? value <= bound
                           : kind == Kind::greater    ? value > bound
                                                      : value >= bound;
      if (!matches) continue;
      both = !any.empty();
      if (both) any += " or ";
      any += "(" + *name + (value ? " == true)" : " == false)");
    }
    if (any.empty()) return nothing();
    return both ? "(" + any + ")" : any;
  }

  // An integer field and 2.5: Milvus refuses, the meaning is that of the next integer.
  Printed against_fraction(Kind kind, const Filter& left, double number, int depth) const {
    if (!(std::abs(number) < 9e18))
      return cannot("number", "an integer field compared with a number beyond int64");
    const bool whole = number == std::floor(number);
    if (!whole && (kind == Kind::equal || kind == Kind::not_equal))
      return kind == Kind::equal ? nothing() : everything();
    double bound = number;
    if (!whole)
      bound = kind == Kind::less || kind == Kind::greater_equal ? std::ceil(number) : std::floor(number);
    return compared(kind, left, Filter::literal_of(static_cast<int64_t>(bound)), true, depth + 1);
  }

  // Milvus wants lists of one type.
  Printed membership(const Filter& filter, int depth) const {
    const Filter& left = filter.children[0];
    if (filter.children[1].kind != Kind::literal || !filter.children[1].value.is_array())
      return cannot("in", "the list must be constant");
    const auto* declared_field = declared(left);
    const bool static_type = declared_field != nullptr && typed(left) && left.path.empty();
    model::Array groups[4];  // texts, integers, fractions, booleans
    for (const Value& value : filter.children[1].value.array()) {
      Value one = value;
      if (static_type) {
        const Fit fits = fit(*declared_field, value);
        if (fits == Fit::never) continue;
        if (fits == Fit::integer_and_fraction) {
          const double number = value.number();
          if (number != std::floor(number) || !(std::abs(number) < 9e18)) continue;
          one = static_cast<int64_t>(number);
        }
      } else if (value.is_number() && !filter.numbers_by_value) {
        return cannot("number_type", "Milvus compares 1 and 1.0 as equal");
      }
      const size_t group = one.is_string()    ? 0
                           : one.is_integer() ? 1
                           : one.is_number()  ? 2
                           : one.is_bool()    ? 3
                                              : 4;
      if (group == 4) return cannot("in", "null, arrays and objects cannot be in the list");
      groups[group].push_back(std::move(one));
    }
    auto name = operand(left, depth + 1);
    if (!name) return name;
    const bool in = filter.kind == Kind::in;
    std::string any;
    bool several = false;
    for (const auto& group : groups) {
      if (group.empty()) continue;
      auto list = literal_text(Value(group));
      if (!list) return list;
      several = !any.empty();
      if (several) any += in ? " or " : " and ";
      any += "(" + *name + (in ? " in " : " not in ") + *list + ")";
    }
    if (any.empty()) return in ? nothing() : everything();
    return several ? "(" + any + ")" : any;
  }

  Printed like(const Filter& filter) const {
    if (filter.children[1].kind != Kind::literal || !filter.children[1].value.is_string())
      return cannot("like", "the pattern must be a constant string");
    const std::string& given = filter.children[1].value.string();
    std::string pattern;
    if (filter.kind == Kind::contains_text) {
      pattern = "%";
      for (const char c : given) {
        if (c == '%' || c == '_' || c == '\\') pattern += '\\';
        pattern += c;
      }
      pattern += "%";
    } else {
      pattern = given;
    }
    if (!grammar_.like_anywhere) {
      auto plain = prefix_pattern(pattern);
      if (!plain) return plain;
      pattern = std::move(*plain);
    }
    auto name = field(filter.children[0]);
    if (!name) return name;
    return "(" + *name + " like " + quoted(pattern) + ")";
  }

  Printed contains(const Filter& filter) const {
    const Filter& about = filter.children[0];
    if (about.kind != Kind::field) return cannot("contains", "only fields can hold arrays");
    const auto* found = declared(about);
    const bool array = found != nullptr && found->type == DataType::array;
    if (found != nullptr && !array && found->type != DataType::json) return nothing();
    if (filter.children[1].kind != Kind::literal) return cannot("contains", "the elements must be constants");
    const Value& wanted = filter.children[1].value;
    if (filter.kind != Kind::array_contains && wanted.is_array() && wanted.array().empty()) {
      if (filter.kind == Kind::array_contains_any) return nothing();
      return cannot("contains", "Milvus refuses an empty list");
    }
    auto name = field(about);
    if (!name) return name;
    auto value = literal_text(wanted);
    if (!value) return value;
    const std::string prefix = array ? "array_contains" : "json_contains";
    const std::string suffix = filter.kind == Kind::array_contains       ? ""
                               : filter.kind == Kind::array_contains_all ? "_all"
                                                                         : "_any";
    return prefix + suffix + "(" + *name + ", " + *value + ")";
  }

  const CollectionSchema& schema_;
  const Grammar& grammar_;
};

}  // namespace

Result<std::string> print_expression(const Filter& filter, const CollectionSchema& schema,
                                     const Grammar& grammar) {
  return Printer(schema, grammar).condition(filter, 0);
}

}  // namespace vmproxy::protocols::milvus
