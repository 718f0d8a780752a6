// A collection of Milvus as a model::Schema and back; metrics, scores and distances.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <set>

#include "protocols/milvus/collection.h"
#include "protocols/milvus/open_dimension.h"
#include "protocols/milvus/rows.h"

namespace vmproxy::protocols::milvus {
namespace {

using model::FieldKind;
using model::Value;
using model::VectorKind;

std::optional<FieldKind> kind_of(DataType type) {
  switch (type) {
    case DataType::boolean: return FieldKind::boolean;
    case DataType::int8: return FieldKind::int8;
    case DataType::int16: return FieldKind::int16;
    case DataType::int32: return FieldKind::int32;
    case DataType::int64: return FieldKind::int64;
    case DataType::float32: return FieldKind::float32;
    case DataType::float64: return FieldKind::float64;
    case DataType::string:
    case DataType::varchar: return FieldKind::string;
    case DataType::array: return FieldKind::array;
    default: return FieldKind::json;
  }
}

DataType type_of(FieldKind kind) {
  switch (kind) {
    case FieldKind::boolean: return DataType::boolean;
    case FieldKind::int8: return DataType::int8;
    case FieldKind::int16: return DataType::int16;
    case FieldKind::int32: return DataType::int32;
    case FieldKind::int64: return DataType::int64;
    case FieldKind::float32: return DataType::float32;
    case FieldKind::float64: return DataType::float64;
    case FieldKind::string: return DataType::varchar;
    case FieldKind::array: return DataType::array;
    case FieldKind::json: break;
  }
  return DataType::json;
}

VectorKind vector_kind(DataType type) {
  switch (type) {
    case DataType::binary_vector: return VectorKind::binary;
    case DataType::float16_vector: return VectorKind::dense_f16;
    case DataType::bfloat16_vector: return VectorKind::dense_bf16;
    case DataType::sparse_vector: return VectorKind::sparse;
    default: return VectorKind::dense_f32;
  }
}

// Letters, digits and '_', not a digit first, at most 255 bytes.
bool legal_name(std::string_view name) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  if (name.empty() || name.size() > 255 || !letter(name[0])) return false;
  return std::ranges::all_of(name, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

}  // namespace

std::string space_of(std::string_view database) {
  return database == default_database ? std::string() : std::string(database);
}

std::string database_of(std::string_view space) {
  return std::string(space.empty() ? default_database : space);
}

model::Metric Collection::metric_of(std::string_view field) const {
  const IndexInfo* index = index_of(field);
  const std::string* metric = index == nullptr ? find(metrics, field) : find(index->params, "metric_type");
  // Without an index there is no metric yet; SDKs make one of COSINE unless told otherwise.
  return metric == nullptr ? model::Metric::cosine : metric_named(*metric);
}

model::Schema to_schema(const Collection& collection) {
  const Described& d = collection.described;
  model::Schema schema;
  schema.name = {space_of(d.database.empty() ? default_database : std::string_view(d.database)), d.name};
  if (d.id != 0) schema.native_id = std::to_string(d.id);
  schema.dynamic = d.schema.dynamic;
  for (const auto& field : d.schema.fields) {
    if (field.primary) {
      schema.id_name = field.name;
      schema.id_kind = field.type == DataType::varchar ? model::IdKind::string : model::IdKind::i64;
      schema.id_length_max = number_param(field, "max_length");
      schema.generated_ids = field.auto_id || d.schema.auto_id;
    } else if (is_vector(field.type)) {
      model::VectorField vector{
          field.name, vector_kind(field.type), dimension_of(field), collection.metric_of(field.name), {}};
      if (const auto* index = collection.index_of(field.name)) {
        model::Object params;
        for (const auto& [key, value] : index->params) params[key] = value;
        vector.index = std::move(params);
      }
      schema.vectors.push_back(std::move(vector));
    } else if (!field.dynamic) {
      model::Field out{field.name, kind_of(field.type).value_or(FieldKind::json), FieldKind::json,
                       number_param(field, field.type == DataType::array ? "max_capacity" : "max_length"),
                       field.nullable};
      if (field.type == DataType::array) out.element = kind_of(field.element).value_or(FieldKind::json);
      schema.fields.push_back(std::move(out));
    }
  }
  if (!d.schema.partition_key()) {
    for (const auto& partition : collection.partitions) {
      if (partition.name != default_partition) schema.partitions.push_back(partition.name);
    }
  }
  model::Object about;
  if (!d.schema.description.empty()) about["description"] = d.schema.description;
  for (const auto& [key, value] : d.properties) about[key] = value;
  if (!about.empty()) schema.metadata = std::move(about);
  schema.native = to_native(collection);
  return schema;
}

Result<CollectionSchema> to_milvus(const model::Schema& schema) {
  constexpr uint32_t varchar_bytes_max = 65535;
  CollectionSchema out;
  out.name = schema.name.name;
  out.dynamic = schema.dynamic;
  if (const Value* text = schema.metadata.find("description"); text != nullptr && text->is_string())
    out.description = text->string();
  std::set<std::string> names{std::string(meta_field)};
  FieldSchema key;
  key.name = legal_name(schema.id_name) ? schema.id_name : "id";
  key.primary = true;
  if (schema.id_kind == model::IdKind::i64) {
    key.type = DataType::int64;
  } else if (schema.id_kind == model::IdKind::string) {
    key.type = DataType::varchar;
    const uint32_t length = schema.id_length_max == 0 ? varchar_bytes_max : schema.id_length_max;
    set(key.type_params, "max_length", std::to_string(std::min(length, varchar_bytes_max)));
  } else {
    return Error(Code::unsupported, "id.kind: Milvus' keys are int64 or text");
  }
  names.insert(key.name);
  out.fields.push_back(std::move(key));
  for (const auto& vector : schema.vectors) {
    FieldSchema field;
    field.name = vector.name.empty() ? "vector" : vector.name;
    if (!legal_name(field.name))
      return Error(Code::unsupported,
                   "vector.name: '" + field.name + "' cannot be the name of a field in Milvus");
    field.type = vector.kind == VectorKind::sparse ? DataType::sparse_vector : DataType::float_vector;
    if (vector.kind != VectorKind::sparse) {
      const bool open = vector.dimension == 0;
      if (open) field.description = open_mark;
      set(field.type_params, "dim", std::to_string(open ? open_dimension : vector.dimension));
    }
    if (!names.insert(field.name).second)
      return Error(Code::unsupported, "vector.name: '" + field.name + "' is the name of two fields");
    out.fields.push_back(std::move(field));
  }
  for (const auto& declared : schema.fields) {
    FieldSchema field;
    field.name = declared.name;
    if (!legal_name(field.name) || !names.insert(field.name).second)
      return Error(Code::unsupported,
                   "field.name: '" + field.name + "' cannot be the name of a field in Milvus, or is taken");
    field.type = type_of(declared.kind);
    field.nullable = declared.nullable;
    const auto length = [varchar_bytes_max](uint32_t wanted) {
      return std::to_string(wanted == 0 ? varchar_bytes_max : std::min(wanted, varchar_bytes_max));
    };
    if (field.type == DataType::varchar) set(field.type_params, "max_length", length(declared.length_max));
    if (field.type == DataType::array) {
      constexpr uint32_t capacity_max = 4096;
      field.element = type_of(declared.element);
      if (field.element == DataType::json || field.element == DataType::array)
        return Error(Code::unsupported, "field.array: '" + field.name + "' holds what Milvus' arrays cannot");
      const uint32_t capacity =
          declared.length_max == 0 ? capacity_max : std::min(declared.length_max, capacity_max);
      set(field.type_params, "max_capacity", std::to_string(capacity));
      if (field.element == DataType::varchar) set(field.type_params, "max_length", length(0));
    }
    out.fields.push_back(std::move(field));
  }
  return out;
}

model::Metric metric_named(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (upper == "COSINE") return model::Metric::cosine;
  if (upper == "IP") return model::Metric::inner_product;
  return model::Metric::l2;
}

std::string_view name_of(model::Metric metric) {
  return metric == model::Metric::cosine ? "COSINE" : metric == model::Metric::inner_product ? "IP" : "L2";
}

double score_of(model::Metric metric, double distance) {
  return metric == model::Metric::l2 ? distance : 1 - distance;
}

double distance_of(model::Metric metric, double score) {
  return metric == model::Metric::l2 ? score : 1 - score;
}

double bound_of(model::Metric metric, double score) {
  const auto shown = static_cast<float>(score);
  // Towards the better: small distances, large scores.
  const bool less_is_better = metric == model::Metric::l2;
  const float better = std::nextafter(shown, less_is_better ? -INFINITY : INFINITY);
  if (!std::isfinite(shown) || !std::isfinite(better)) return distance_of(metric, score);
  const double between = (static_cast<double>(shown) + static_cast<double>(better)) / 2;
  const double edge = distance_of(metric, between);
  return static_cast<float>(between) == shown ? edge : std::nextafter(edge, INFINITY);  // half goes to even
}

}  // namespace vmproxy::protocols::milvus
