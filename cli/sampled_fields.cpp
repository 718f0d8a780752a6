#include "cli/sampled_fields.h"

namespace vmproxy::cli {
namespace json = boost::json;
namespace {

constexpr uint64_t sample_records = 200;

}  // namespace

Result<std::optional<SampledFields>> sample_fields(protocols::Driver& driver, const model::Schema& schema,
                                                   Deadline deadline) {
  if (!schema.dynamic) return std::optional<SampledFields>();
  model::Query first;
  first.collection = schema.name;
  first.limit = sample_records;
  first.with_document = false;
  auto found = driver.query(schema, first, deadline);
  if (!found) return found.error();
  SampledFields sample{found->records.size(), mapping::infer_fields(found->records)};
  for (const auto& declared : schema.fields) sample.fields.erase(declared.name);
  return std::optional(std::move(sample));
}

std::string describe_fields(const SampledFields& sample) {
  std::string out;
  for (const auto& [name, field] : sample.fields) {
    if (!out.empty()) out += ", ";
    out += name + ' ';
    if (field.mixed) {
      out += "of several types";
    } else if (field.present == 0) {
      out += "always null";
    } else {
      out += name_of(field.field.kind);
      if (field.field.kind == model::FieldKind::array && field.field.element != model::FieldKind::json)
        out += " of " + std::string(name_of(field.field.element));
    }
  }
  return out.empty() ? "none" : out;
}

json::object json_of(const SampledFields& sample) {
  json::array fields;
  for (const auto& [name, field] : sample.fields) {
    json::object one{{"name", name},
                     {"type", name_of(field.field.kind)},
                     {"present", field.present},
                     {"null", field.null},
                     {"mixed", field.mixed}};
    if (field.field.kind == model::FieldKind::array) one["element"] = name_of(field.field.element);
    fields.push_back(std::move(one));
  }
  return {{"records", sample.records}, {"fields", std::move(fields)}};
}

std::string_view name_of(model::FieldKind kind) {
  static constexpr std::string_view names[] = {"boolean", "int8",    "int16",  "int32", "int64",
                                               "float32", "float64", "string", "json",  "array"};
  return names[static_cast<size_t>(kind)];
}

}  // namespace vmproxy::cli
