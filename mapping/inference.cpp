#include "mapping/inference.h"

namespace vmproxy::mapping {
namespace {

using model::Field;
using model::FieldKind;
using model::Value;

FieldKind kind_of(const Value& value) {
  if (value.is_bool()) return FieldKind::boolean;
  if (std::holds_alternative<int64_t>(value.data)) return FieldKind::int64;
  if (std::holds_alternative<double>(value.data)) return FieldKind::float64;
  if (value.is_string()) return FieldKind::string;
  if (value.is_array()) return FieldKind::array;
  return FieldKind::json;  // objects, integers above int64
}

bool has_element_type(FieldKind kind) {
  return kind != FieldKind::json && kind != FieldKind::array;
}

// The type of an array's elements: json when they have none in common.
FieldKind element_of(const Value& array) {
  FieldKind element = FieldKind::json;
  for (size_t i = 0; i < array.array().size(); ++i) {
    const FieldKind kind = kind_of(array.array()[i]);
    if (array.array()[i].is_null() || !has_element_type(kind) || (i > 0 && kind != element))
      return FieldKind::json;
    element = kind;
  }
  return element;
}

void join(Inferred& so_far, bool& element_known, const Value& value) {
  const FieldKind kind = kind_of(value);
  if (so_far.present == 0) so_far.field.kind = kind;
  if (kind != so_far.field.kind) {
    so_far.mixed = true;
    so_far.field.kind = FieldKind::json;
  }
  if (so_far.mixed || kind != FieldKind::array || value.array().empty()) return;
  const FieldKind element = element_of(value);
  if (!element_known) so_far.field.element = element;
  if (element != so_far.field.element) so_far.field.element = FieldKind::json;
  element_known = true;
}

}  // namespace

std::map<std::string, Inferred> infer_fields(std::span<const model::Record> sample) {
  std::map<std::string, Inferred> fields;
  std::map<std::string, bool> element_known;
  uint64_t records = 0;
  for (const model::Record& record : sample) {
    ++records;
    if (!record.metadata) continue;
    for (const auto& [name, value] : *record.metadata) {
      Inferred& field = fields[name];
      field.field.name = name;
      if (value.is_null()) {
        ++field.null;
        continue;
      }
      join(field, element_known[name], value);
      ++field.present;
    }
  }
  for (auto& [name, field] : fields) field.field.nullable = field.present < records;
  return fields;
}

}  // namespace vmproxy::mapping
