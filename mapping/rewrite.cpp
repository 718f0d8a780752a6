#include "mapping/rewrite.h"

#include <algorithm>
#include <cmath>

#include "mapping/identity.h"

namespace vmproxy::mapping {
namespace {

using model::Array;
using model::Filter;
using model::Value;
using Kind = Filter::Kind;

Error refused(std::string_view code, std::string_view why) {
  return {Code::unsupported, std::string(code) + ": " + std::string(why)};
}

Filter never() {
  return Filter::any({});
}
Filter unary(Kind kind, Filter operand) {
  Filter f;
  f.kind = kind;
  f.children.push_back(std::move(operand));
  return f;
}
Filter id_number() {
  Filter f;
  f.kind = Kind::id_number;
  return f;
}
Filter exists(const std::string& name) {
  return unary(Kind::exists, Filter::field_of(name));
}

bool is_condition(Kind kind) {
  return kind < Kind::literal;
}

// A field of the source as the target holds it.
struct Place {
  Filter plain;                     // where a value lies that fits
  std::vector<std::string> tagged;  // fields that exist instead when it does not
  std::string u64;                  // of these: the large integer as text; empty: not possible here
  std::string null;
  bool always = false;  // the source declares it, so that every record has it
};

bool is_integer(model::FieldKind kind) {
  using model::FieldKind;
  return kind == FieldKind::int8 || kind == FieldKind::int16 || kind == FieldKind::int32 ||
         kind == FieldKind::int64;
}

// The order that holds where this one does not.
std::optional<Kind> opposite(Kind order) {
  switch (order) {
    case Kind::less: return Kind::greater_equal;
    case Kind::less_equal: return Kind::greater;
    case Kind::greater: return Kind::less_equal;
    case Kind::greater_equal: return Kind::less;
    default: return std::nullopt;
  }
}

class Rewriter {
 public:
  explicit Rewriter(const FieldRules& rules) : rules_(rules) {}

  Result<Filter> condition(const Filter& filter) const {
    switch (filter.kind) {
      case Kind::always: return filter;
      case Kind::all_of:
      case Kind::any_of: return junction(filter);
      case Kind::negate: return negation(filter);
      case Kind::field: {
        auto found = place(filter);
        return found ? Result<Filter>(found->plain) : found.error();
      }
      case Kind::exists:
      case Kind::is_null: return presence(filter);
      default: return is_condition(filter.kind) ? comparison(filter) : Result<Filter>(filter);
    }
  }

 private:
  Result<Filter> junction(const Filter& filter) const {
    Filter out = filter;
    for (Filter& child : out.children) {
      auto rewritten = condition(child);
      if (!rewritten) return rewritten.error();
      child = std::move(*rewritten);
    }
    return out;
  }

  // A field of integers that every record has is on one side of a number or on the other, which more systems can answer
  // than "not".
  Result<Filter> negation(const Filter& filter) const {
    const Filter& inner = filter.children[0];
    const auto turned = opposite(inner.kind);
    if (!turned || !rules_.flatten || inner.children.size() < 2) return junction(filter);
    const model::Field* field = declared_as(inner.children[0]);
    const Filter& right = inner.children[1];
    if (field == nullptr || field->nullable || !is_integer(field->kind) || right.kind != Kind::literal ||
        !right.value.is_number() || std::isnan(right.value.number()) || !inner.numbers_by_value)
      return junction(filter);
    Filter other = inner;
    other.kind = *turned;
    return condition(other);
  }

  // What the source declares of this very field, not of something inside it.
  const model::Field* declared_as(const Filter& field) const {
    if (field.kind != Kind::field || !field.path.empty()) return nullptr;
    const auto found = rules_.typed.find(field.name);
    return found == rules_.typed.end() ? nullptr : &found->second;
  }

  Result<Place> place(const Filter& field) const {
    Place place;
    place.plain = field;
    if (rules_.declared.contains(field.name)) return place;
    if (!rules_.flatten) {
      place.plain.name = rules_.shifted(field.name);
      return place;
    }
    std::string name = escape_name(field.name);
    if (rules_.target.objects && !field.path.empty()) {
      // Inside an object that the target holds as it is.
      if (!field.path[0].is_string() && !rules_.target.arrays_any) {
        return refused("filter.array_index", "arrays may be held in two ways by the target, so element " +
                                                 field.name + "[] cannot be asked for");
      }
      place.plain.name = rules_.shifted(name);
      return place;
    }
    for (const Value& step : field.path) {
      // "a.0" is an element or a member called "0": only one of them is meant.
      if (!step.is_string() ||
          (!step.string().empty() && step.string().find_first_not_of("0123456789") == std::string::npos)) {
        return refused("filter.array_index",
                       "elements of arrays cannot be told from members of objects once '" + field.name +
                           "' is flattened");
      }
      name += "." + escape_name(step.string());
    }
    place.plain = Filter::field_of(rules_.shifted(name));
    using model::FieldKind;
    const model::Field* typed = declared_as(field);
    const bool any_type = typed == nullptr || typed->kind == FieldKind::json;
    place.always = !any_type && !typed->nullable;
    const auto tagged = [&](bool never, std::string_view tag) {
      if (never) return std::string();
      place.tagged.push_back(name + std::string(tag));
      return place.tagged.back();
    };
    tagged(rules_.target.objects || !any_type, tag_object);
    tagged(rules_.target.arrays_any || !(any_type || typed->kind == FieldKind::array), tag_array);
    place.null = tagged(rules_.target.nulls || place.always, tag_null);
    place.u64 = tagged(rules_.target.u64 || !any_type, tag_u64);
    return place;
  }

  Result<Filter> presence(const Filter& filter) const {
    const Filter& operand = filter.children[0];
    if (operand.kind != Kind::field) {
      auto rewritten = plain_operand(operand);
      return rewritten ? Result<Filter>(unary(filter.kind, std::move(*rewritten))) : rewritten.error();
    }
    auto found = place(operand);
    if (!found) return found.error();
    if (found->always) return filter.kind == Kind::exists ? Filter() : never();
    if (found->tagged.empty()) return unary(filter.kind, found->plain);
    std::vector<Filter> anywhere;
    if (filter.kind == Kind::exists) anywhere.push_back(unary(Kind::exists, found->plain));
    for (const auto& name : found->tagged) {
      if (filter.kind == Kind::exists || name != found->null) anywhere.push_back(exists(name));
    }
    if (filter.kind == Kind::exists) return Filter::any(std::move(anywhere));
    // Absent or null: null where the target holds it, and nothing of another type.
    return Filter::all({unary(Kind::is_null, found->plain), Filter::not_(Filter::any(std::move(anywhere)))});
  }

  Result<Filter> comparison(const Filter& filter) const {
    if (filter.children.size() < 2) return filter;
    const Filter& left = filter.children[0];
    const Filter& right = filter.children[1];
    if (ids_differ() && is_on_listed_ids(filter)) return on_listed_ids(filter);
    Filter out = filter;
    if (left.kind == Kind::field && right.kind == Kind::literal) {
      auto found = place(left);
      if (!found) return found.error();
      if (!found->tagged.empty()) return on_tagged(filter, *found);
      // It is there anyway: said so that more systems can answer it.
      if (found->always) out.absent_matches = filter.kind == Kind::not_equal || filter.kind == Kind::not_in;
    }
    for (Filter& child : out.children) {
      auto rewritten = plain_operand(child);
      if (!rewritten) return rewritten.error();
      child = std::move(*rewritten);
    }
    return out;
  }

  bool ids_differ() const { return rules_.source_id != rules_.target_id || !rules_.partition_field.empty(); }

  // An operand whose fields are all held as they are.
  Result<Filter> plain_operand(const Filter& operand) const {
    if (operand.kind == Kind::id && ids_differ()) {
      if (is_number(rules_.source_id) && rules_.target_id == model::IdKind::string) return id_number();
      return refused(
          "filter.id",
          "ids have another form in the target; only equality with constants can be asked exactly");
    }
    if (operand.kind == Kind::document && !rules_.document_field.empty())
      return Filter::field_of(rules_.document_field);
    if (operand.kind == Kind::field) {
      auto found = place(operand);
      if (!found) return found.error();
      if (!found->tagged.empty()) {
        return refused("filter.shape",
                       "the target holds '" + operand.name +
                           "' in several forms; only a comparison with a constant can be asked exactly");
      }
      return found->plain;
    }
    if (is_condition(operand.kind)) return condition(operand);
    Filter out = operand;
    for (Filter& child : out.children) {
      auto rewritten = plain_operand(child);
      if (!rewritten) return rewritten.error();
      child = std::move(*rewritten);
    }
    return out;
  }

  // The id compared with constants: each has its own form in the target, whatever kinds of ids they are.
  bool is_on_listed_ids(const Filter& filter) const {
    const Filter& right = filter.children[1];
    const bool one = filter.kind == Kind::equal || filter.kind == Kind::not_equal;
    const bool several = filter.kind == Kind::in || filter.kind == Kind::not_in;
    return rules_.partition_field.empty() && filter.children[0].kind == Kind::id &&
           right.kind == Kind::literal && (one || (several && right.value.is_array()));
  }

  Result<Filter> on_listed_ids(const Filter& filter) const {
    const Filter& right = filter.children[1];
    const bool one = filter.kind == Kind::equal || filter.kind == Kind::not_equal;
    const Array wanted = one ? Array{right.value} : right.value.array();
    Array there;
    for (const Value& value : wanted) {
      if (auto id = literal_id(value, filter.numbers_by_value)) there.push_back(std::move(*id));
    }
    Filter matched = never();
    if (!there.empty())
      matched = Filter::make(Kind::in, Filter::record_id(), Filter::literal_of(std::move(there)));
    return filter.kind == Kind::equal || filter.kind == Kind::in ? matched : Filter::not_(std::move(matched));
  }

  // The id that equals this literal, as the target's filters see it; nothing when no id does.
  std::optional<Value> literal_id(const Value& value, bool numbers_by_value) const {
    model::Id id;
    const bool text = rules_.source_id == model::IdKind::string || rules_.source_id == model::IdKind::uuid;
    if (text != value.is_string()) return std::nullopt;
    if (!text) {
      if (!value.is_number()) return std::nullopt;
      Value whole = value;
      if (const auto* d = std::get_if<double>(&value.data)) {
        if (!numbers_by_value || std::nearbyint(*d) != *d || *d < -0x1p63 || *d >= 0x1p64)
          return std::nullopt;
        whole = *d < 0 ? Value(static_cast<int64_t>(*d)) : Value(static_cast<uint64_t>(*d));
      }
      if (const auto* i = std::get_if<int64_t>(&whole.data)) {
        id.value = *i;
      } else {
        id.value = std::get<uint64_t>(whole.data);
      }
    } else {
      id.value = value.string();
    }
    auto source = convert(id, rules_.source_id);
    if (!source) return std::nullopt;
    auto there = convert(*source, rules_.target_id);
    if (!there) return std::nullopt;
    if (const auto* i = std::get_if<int64_t>(&there->value)) return Value(*i);
    if (const auto* u = std::get_if<uint64_t>(&there->value)) return Value(*u);
    return Value(model::to_string(*there));
  }

  // field OP constant, where the field may be tagged instead of plain.
  Result<Filter> on_tagged(const Filter& filter, const Place& field) const {
    const bool negative = filter.kind == Kind::not_equal || filter.kind == Kind::not_in;
    Filter positive = filter;
    positive.absent_matches = false;
    if (filter.kind == Kind::not_equal) positive.kind = Kind::equal;
    if (filter.kind == Kind::not_in) positive.kind = Kind::in;
    if (positive.kind == Kind::in && !filter.children[1].value.is_array())
      return refused("filter.in", "a list of constants is needed");
    auto matched = matches(positive, field);
    if (!matched) return matched.error();
    std::vector<Filter> present{unary(Kind::exists, field.plain)};
    for (const auto& name : field.tagged) present.push_back(exists(name));
    if (!negative) {
      if (!filter.absent_matches) return matched;
      return Filter::any({std::move(*matched), Filter::not_(Filter::any(std::move(present)))});
    }
    if (filter.absent_matches) {
      if (matched->kind != positive.kind) return Filter::not_(std::move(*matched));
      matched->kind = filter.kind;  // the same in one condition, which more systems can answer
      matched->absent_matches = true;
      return matched;
    }
    return Filter::all({Filter::any(std::move(present)), Filter::not_(std::move(*matched))});
  }

  Result<Filter> matches(const Filter& filter, const Place& field) const {
    const Value& literal = filter.children[1].value;
    switch (filter.kind) {
      case Kind::equal: return equals(filter, field, literal);
      case Kind::in: {
        Array plain;
        std::vector<Filter> parts;
        for (const Value& element : literal.array()) {
          auto part = equals(filter, field, element);
          if (!part) return part.error();
          if (part->kind == Kind::equal) {
            plain.push_back(element);
          } else {
            parts.push_back(std::move(*part));
          }
        }
        if (plain.empty() && parts.empty()) return never();
        if (!plain.empty()) {
          Filter in = Filter::make(Kind::in, field.plain, Filter::literal_of(std::move(plain)));
          in.numbers_by_value = filter.numbers_by_value;
          parts.push_back(std::move(in));
        }
        return parts.size() == 1 ? std::move(parts[0]) : Filter::any(std::move(parts));
      }
      case Kind::array_contains:
      case Kind::array_contains_all:
      case Kind::array_contains_any: return contains(filter, field);
      default: break;
    }
    Filter plain = filter;
    plain.children[0] = field.plain;
    auto large = field.u64.empty() || !literal.is_number() ? std::nullopt : order_of_large(filter, field.u64);
    return large ? Filter::any({std::move(plain), std::move(*large)}) : std::move(plain);
  }

  Result<Filter> equals(const Filter& filter, const Place& field, const Value& literal) const {
    Filter plain = Filter::make(Kind::equal, field.plain, Filter::literal_of(literal));
    plain.numbers_by_value = filter.numbers_by_value;
    if (literal.is_null()) return field.null.empty() ? plain : exists(field.null);
    if (literal.is_object() && !rules_.target.objects)
      return refused("filter.value_kind", "a field cannot be compared with an object once it is flattened");
    if (literal.is_array() && !rules_.target.arrays_any)
      return refused("filter.value_kind", "a field cannot be compared with an array once it is flattened");
    const auto large = field.u64.empty() ? std::nullopt : as_large(literal, filter.numbers_by_value);
    if (!large) return plain;
    Filter tagged =
        Filter::make(Kind::equal, Filter::field_of(field.u64), Filter::literal_of(u64_text(*large)));
    if (!filter.numbers_by_value) return Filter::any({std::move(tagged)});
    Filter as_number =
        Filter::make(Kind::equal, field.plain, Filter::literal_of(static_cast<double>(*large)));
    if (static_cast<double>(*large) >= 0x1p64 || static_cast<uint64_t>(static_cast<double>(*large)) != *large)
      return Filter::any({std::move(tagged)});
    return Filter::any({std::move(tagged), std::move(as_number)});
  }

  // The large integer that equals this number.
  static std::optional<uint64_t> as_large(const Value& number, bool by_value) {
    if (const auto* u = std::get_if<uint64_t>(&number.data)) return *u;
    const auto* d = std::get_if<double>(&number.data);
    if (d == nullptr || !by_value || !(*d >= 0x1p63) || *d >= 0x1p64) return std::nullopt;
    return static_cast<uint64_t>(*d);
  }

  // field OP number for records whose field is a large integer, by its 20 digits; nothing when none can
  // match.
  static std::optional<Filter> order_of_large(const Filter& filter, const std::string& name) {
    const Value& number = filter.children[1].value;
    const bool upwards = filter.kind == Kind::greater || filter.kind == Kind::greater_equal;
    const bool downwards = filter.kind == Kind::less || filter.kind == Kind::less_equal;
    if (!upwards && !downwards) return std::nullopt;
    if (!number.is_integer() && !filter.numbers_by_value) return std::nullopt;
    if (const auto large = as_large(number, true)) {
      return Filter::make(filter.kind, Filter::field_of(name), Filter::literal_of(u64_text(*large)));
    }
    const double d = number.number();
    if (std::isnan(d)) return std::nullopt;
    return (d >= 0x1p64 ? downwards : upwards) ? std::optional(exists(name)) : std::nullopt;
  }

  Result<Filter> contains(const Filter& filter, const Place& field) const {
    const auto typed = rules_.typed.find(filter.children[0].name);
    const bool declared = filter.children[0].path.empty() && typed != rules_.typed.end() &&
                          typed->second.kind == model::FieldKind::array &&
                          typed->second.element != model::FieldKind::json &&
                          typed->second.element != model::FieldKind::array;
    const bool one_type =
        declared || !(rules_.source.arrays_any || rules_.source.objects || rules_.source.u64);
    const Value& literal = filter.children[1].value;
    const bool nothing_wanted =
        filter.kind == Kind::array_contains_all && literal.is_array() && literal.array().empty();
    if (!rules_.target.arrays_any && (!rules_.target.arrays || !one_type || nothing_wanted)) {
      return refused("filter.array",
                     "the target does not hold every array of '" + filter.children[0].name + "' as an array");
    }
    Filter plain = filter;
    plain.children[0] = field.plain;
    return plain;
  }

  const FieldRules& rules_;
};

// How many '~' follow `base` in `name` when there is nothing else; nothing otherwise.
bool is_family(const std::string& base, const std::string& name) {
  return !base.empty() && name.starts_with(base) &&
         name.find_first_not_of('~', base.size()) == std::string::npos;
}

}  // namespace

std::string FieldRules::shifted(const std::string& name) const {
  return is_family(document_field, name) || is_family(partition_field, name) ? name + "~" : name;
}

std::string FieldRules::unshifted(const std::string& name) const {
  const bool ours = is_family(document_field, name) || is_family(partition_field, name);
  return ours && name.back() == '~' ? name.substr(0, name.size() - 1) : name;
}

bool FieldRules::is_ours(const std::string& name) const {
  return !name.empty() && (name == document_field || name == partition_field);
}

Result<Filter> rewrite(const Filter& filter, const FieldRules& rules) {
  return Rewriter(rules).condition(filter);
}

}  // namespace vmproxy::mapping
