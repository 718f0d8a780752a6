#include "mapping/flatten.h"

#include <charconv>
#include <map>

namespace vmproxy::mapping {
namespace {

using model::Array;
using model::Object;
using model::Value;

bool is_u64(const Value& value) {
  return std::holds_alternative<uint64_t>(value.data);
}

bool scalars_of_one_type(const Array& array) {
  if (array.empty()) return false;
  for (const Value& element : array) {
    if (element.is_null() || element.is_array() || element.is_object() ||
        element.data.index() != array[0].data.index())
      return false;
  }
  return true;
}

void put(Object& out, const std::string& name, const Value& value, const Holds& target) {
  if (target.fits(value)) {
    out[name] = value;
  } else if (value.is_null()) {
    out[name + std::string(tag_null)] = true;
  } else if (is_u64(value)) {
    out[name + std::string(tag_u64)] = u64_text(std::get<uint64_t>(value.data));
  } else if (value.is_object()) {
    out[name + std::string(tag_object)] = true;
    for (const auto& [member, inner] : value.object())
      put(out, name + "." + escape_name(member), inner, target);
  } else {
    out[name + std::string(tag_array)] = static_cast<int64_t>(value.array().size());
    for (size_t i = 0; i < value.array().size(); ++i)
      put(out, name + "." + std::to_string(i), value.array()[i], target);
  }
}

// What flat fields say of one place in the metadata.
struct Node {
  std::optional<Value> value;  // a plain field, or one whose tag says it all
  bool object = false;
  std::optional<int64_t> array;
  std::map<std::string, Node> children;
};

struct FlatName {
  std::vector<std::string> path;
  std::string tag;  // with its '~', or empty
};

FlatName parse_name(std::string_view text) {
  FlatName name;
  name.path.emplace_back();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '.') {
      name.path.emplace_back();
    } else if (text[i] != '~') {
      name.path.back() += text[i];
    } else if (i + 1 < text.size() && (text[i + 1] == '~' || text[i + 1] == '.')) {
      name.path.back() += text[++i];
    } else {
      name.tag = text.substr(i);
      break;
    }
  }
  return name;
}

Error malformed(const std::string& name, std::string_view why) {
  return {Code::invalid, "metadata." + name.substr(0, 80) + ": " + std::string(why) +
                             "; the field was not written by this mapping"};
}

std::optional<uint64_t> parse_u64(const Value& value) {
  if (!value.is_string() || value.string().size() != 20) return std::nullopt;
  uint64_t number = 0;
  const char* end = value.string().data() + 20;
  const auto [at, error] = std::from_chars(value.string().data(), end, number);
  return error == std::errc() && at == end ? std::optional(number) : std::nullopt;
}

Result<void> place(Node& root, const std::string& name, const Value& value) {
  const FlatName parsed = parse_name(name);
  Node* node = &root;
  for (const std::string& step : parsed.path) node = &node->children[step];
  if (node->value) return malformed(name, "two fields say what it holds");
  if (parsed.tag.empty()) {
    node->value = value;
  } else if (parsed.tag == tag_null) {
    node->value = Value(nullptr);
  } else if (parsed.tag == tag_object) {
    node->object = true;
  } else if (parsed.tag == tag_array && std::holds_alternative<int64_t>(value.data)) {
    node->array = std::get<int64_t>(value.data);
  } else if (const auto number = parsed.tag == tag_u64 ? parse_u64(value) : std::nullopt) {
    node->value = Value(*number);
  } else {
    return malformed(name, "unknown tag '" + parsed.tag + "'");
  }
  return {};
}

Result<Value> build(const Node& node, const std::string& name) {
  if ((node.value ? 1 : 0) + (node.object ? 1 : 0) + (node.array ? 1 : 0) != 1)
    return malformed(name, "contradicting or missing tags");
  if (node.value) {
    if (!node.children.empty()) return malformed(name, "a plain field with members");
    return *node.value;
  }
  if (node.object) {
    Object object;
    for (const auto& [member, child] : node.children) {
      auto value = build(child, name + "." + member);
      if (!value) return value.error();
      object.emplace(member, std::move(*value));
    }
    return Value(std::move(object));
  }
  if (*node.array < 0 || static_cast<size_t>(*node.array) != node.children.size())
    return malformed(name, "elements are missing");
  Array array;
  for (size_t i = 0; i < node.children.size(); ++i) {
    const auto child = node.children.find(std::to_string(i));
    if (child == node.children.end()) return malformed(name, "elements are missing");
    auto value = build(child->second, name + "." + child->first);
    if (!value) return value.error();
    array.push_back(std::move(*value));
  }
  return Value(std::move(array));
}

}  // namespace

Holds Holds::of(const model::Capabilities& side) {
  return {side.metadata_objects,    side.metadata_arrays || side.metadata_arrays_any,
          side.metadata_arrays_any, side.metadata_nulls,
          side.metadata_empty,      side.metadata_u64};
}

bool Holds::covers(const Holds& other) const {
  return objects >= other.objects && arrays >= other.arrays && arrays_any >= other.arrays_any &&
         nulls >= other.nulls && empty >= other.empty && u64 >= other.u64;
}

bool Holds::fits(const Value& value) const {
  if (value.is_null()) return nulls;
  if (is_u64(value)) return u64;
  if (value.is_object()) return objects;
  if (!value.is_array() || arrays_any) return true;
  return arrays && scalars_of_one_type(value.array()) && (u64 || !is_u64(value.array()[0]));
}

bool contains_u64(const Value& value) {
  if (value.is_array()) {
    for (const Value& element : value.array()) {
      if (contains_u64(element)) return true;
    }
  }
  if (value.is_object()) {
    for (const auto& [name, member] : value.object()) {
      if (contains_u64(member)) return true;
    }
  }
  return is_u64(value);
}

std::string escape_name(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c == '.' || c == '~') out += '~';
    out += c;
  }
  return out;
}

std::string u64_text(uint64_t number) {
  const std::string digits = std::to_string(number);
  return std::string(20 - digits.size(), '0') + digits;
}

Object flatten(const Object& metadata, const Holds& target) {
  Object out;
  for (const auto& [name, value] : metadata) put(out, escape_name(name), value, target);
  if (metadata.empty() && !target.empty) out[std::string(tag_empty)] = true;
  return out;
}

Result<Object> unflatten(const Object& flat) {
  if (flat.size() == 1 && flat.begin()->first == tag_empty) return Object{};
  Node root;
  for (const auto& [name, value] : flat) {
    if (auto placed = place(root, name, value); !placed) return placed.error();
  }
  Object metadata;
  for (const auto& [name, child] : root.children) {
    auto value = build(child, name);
    if (!value) return value.error();
    metadata.emplace(name, std::move(*value));
  }
  return metadata;
}

}  // namespace vmproxy::mapping
