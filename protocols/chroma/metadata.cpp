#include "protocols/chroma/metadata.h"

#include <cmath>

#include "protocols/wire/json.h"

namespace vmproxy::protocols::chroma {
namespace {

using model::Array;
using model::Object;
using model::Value;

bool is_int(const Value& v) {
  return std::holds_alternative<int64_t>(v.data);
}

// Integers too large for the server's become floating-point numbers, as there.
void narrow(Value& v) {
  if (const auto* u = std::get_if<uint64_t>(&v.data)) v = Value(static_cast<double>(*u));
}

// False: no list of one type.
bool unify(Array& list) {
  bool ints = true, numbers = true, strings = true, bools = true;
  for (Value& element : list) {
    narrow(element);
    ints = ints && is_int(element);
    numbers = numbers && element.is_number();
    strings = strings && element.is_string();
    bools = bools && element.is_bool();
  }
  if (ints || strings || bools) return true;
  if (!numbers) return false;
  for (Value& element : list) element = Value(element.number());
  return true;
}

// {"indices": [...], "values": [...]}, with or without "#type".
bool is_sparse_vector(const Value& v) {
  const Value* indices = v.find("indices");
  const Value* values = v.find("values");
  if (indices == nullptr || values == nullptr || !indices->is_array() || !values->is_array()) return false;
  for (const Value& index : indices->array()) {
    const auto* i = std::get_if<int64_t>(&index.data);
    if (i == nullptr || *i < 0 || *i > UINT32_MAX) return false;
  }
  for (const Value& value : values->array()) {
    if (!value.is_number()) return false;
  }
  return true;
}

}  // namespace

bool read_metadata(BodyReader& in, bool nulls, Metadata& out) {
  const std::string_view type = nulls ? "UpdateMetadataValue" : "MetadataValue";
  return in.map([&](const std::string& name) {
    Value value;
    if (!in.value(value)) return false;
    std::erase(out.unset, name);  // of a name given twice the last counts
    out.set.erase(name);
    narrow(value);
    if (value.is_null() && nulls) {
      out.unset.push_back(name);
    } else if (value.is_object()) {
      if (!is_sparse_vector(value)) return in.no_variant(type);
      if (!out.sparse_vector_field) out.sparse_vector_field = name;
    } else if (value.is_null() || (value.is_array() && !unify(value.array()))) {
      return in.no_variant(type);
    } else {
      out.set.emplace(name, std::move(value));
    }
    return true;
  });
}

bool legal_record_metadata(const Metadata& metadata) {
  const auto legal = [](const std::string& name) {
    return !name.empty() && name[0] != '#' && name[0] != '$';
  };
  for (const auto& [name, value] : metadata.set) {
    if (!legal(name)) return false;
  }
  for (const auto& name : metadata.unset) {
    if (!legal(name)) return false;
  }
  return true;
}

void append_metadata(std::string& out, const std::optional<Object>& metadata) {
  if (!metadata || metadata->empty()) {
    out += "null";
    return;
  }
  out += '{';
  bool first = true;
  for (const auto& [name, value] : *metadata) {
    if (name.starts_with(reserved_prefix)) continue;
    if (!first) out += ',';
    first = false;
    wire::append_json_string(out, name);
    out += ':';
    wire::append_json(out, value);
  }
  out += '}';
}

std::optional<std::string> metadata_objection(const Object& metadata) {
  for (const auto& [name, value] : metadata) {
    const auto objection = [&](std::string_view why) { return "metadata." + name + ": " + std::string(why); };
    if (name.empty()) return "metadata: Chroma refuses an empty field name";
    if (name[0] == '#' || name[0] == '$')
      return objection("Chroma refuses field names that begin with # or $");
    if (name.starts_with(reserved_prefix) && (name != uri_key || !value.is_string())) {
      return objection("Chroma reserves and hides names that begin with 'chroma:'");
    }
    if (value.is_null()) return objection("Chroma keeps no null");
    if (value.is_object()) return objection("Chroma keeps no objects");
    const auto number = [&](const Value& v) -> std::optional<std::string> {
      const auto* d = std::get_if<double>(&v.data);
      if (d != nullptr && !std::isfinite(*d)) return objection("NaN and infinity cannot be sent to Chroma");
      if (std::holds_alternative<uint64_t>(v.data))
        return objection("integers beyond 2^63-1 would lose digits in Chroma");
      return std::nullopt;
    };
    if (auto why = number(value)) return why;
    if (!value.is_array()) continue;
    const Array& list = value.array();
    if (list.empty()) return objection("Chroma keeps no empty lists");
    for (const Value& element : list) {
      if (auto why = number(element)) return why;
      if (element.is_null() || element.is_array() || element.is_object() ||
          element.data.index() != list[0].data.index()) {
        return objection("Chroma keeps lists of one scalar type only");
      }
    }
  }
  return std::nullopt;
}

}  // namespace vmproxy::protocols::chroma
