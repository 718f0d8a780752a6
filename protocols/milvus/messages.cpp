#include "protocols/milvus/messages.h"

#include <algorithm>
#include <charconv>

namespace vmproxy::protocols::milvus {

bool is_vector(DataType type) {
  return static_cast<int32_t>(type) >= 100;
}

std::string_view name_of(DataType type) {
  switch (type) {
    case DataType::none: return "None";
    case DataType::boolean: return "Bool";
    case DataType::int8: return "Int8";
    case DataType::int16: return "Int16";
    case DataType::int32: return "Int32";
    case DataType::int64: return "Int64";
    case DataType::float32: return "Float";
    case DataType::float64: return "Double";
    case DataType::string: return "String";
    case DataType::varchar: return "VarChar";
    case DataType::array: return "Array";
    case DataType::json: return "JSON";
    case DataType::geometry: return "Geometry";
    case DataType::binary_vector: return "BinaryVector";
    case DataType::float_vector: return "FloatVector";
    case DataType::float16_vector: return "Float16Vector";
    case DataType::bfloat16_vector: return "BFloat16Vector";
    case DataType::sparse_vector: return "SparseFloatVector";
  }
  return "unknown";
}

// Fields: milvus.proto, QueryRequest and SearchRequest.
void ask_for(ProtoWriter& request, ReadCall call, uint64_t timestamp) {
  const bool query = call == ReadCall::query;
  const auto level = timestamp == 0 ? Consistency::strong : Consistency::customized;
  request.always_u64(query ? 8 : 11, timestamp);  // guarantee_timestamp
  request.always_u64(query ? 11 : 14, static_cast<uint64_t>(level));
  request.always_u64(query ? 12 : 15, 0);  // use_default_consistency
}

const std::string* find(const Pairs& pairs, std::string_view key) {
  for (const auto& [name, value] : pairs) {
    if (name == key) return &value;
  }
  return nullptr;
}

void set(Pairs& pairs, std::string_view key, std::string_view value) {
  for (auto& [name, held] : pairs) {
    if (name == key) {
      held = value;
      return;
    }
  }
  pairs.emplace_back(key, value);
}

void read_pair(ProtoReader& field, Pairs& pairs) {
  ProtoReader reader(field.bytes());
  std::pair<std::string, std::string> pair;
  while (reader.next()) {
    if (reader.field() == 1) pair.first = reader.text();
    if (reader.field() == 2) pair.second = reader.text();
  }
  if (!reader.ok()) return field.fail();
  pairs.push_back(std::move(pair));
}

void write_pairs(ProtoWriter& out, uint32_t field, const Pairs& pairs) {
  for (const auto& [key, value] : pairs) {
    ProtoWriter pair;
    pair.bytes(1, key);
    pair.bytes(2, value);
    out.always_bytes(field, pair.view());
  }
}

std::optional<Status> read_status(std::string_view bytes) {
  Status status;
  ProtoReader reader(bytes);
  while (reader.next()) {
    switch (reader.field()) {
      case 1: status.error_code = reader.i32(); break;
      case 2: status.reason = reader.text(); break;
      case 3: status.code = reader.i32(); break;
      case 4: status.retriable = reader.boolean(); break;
      case 5: status.detail = reader.text(); break;
    }
  }
  if (!reader.ok()) return std::nullopt;
  return status;
}

std::string encode(const Status& status) {
  ProtoWriter out;
  out.i32(1, status.error_code);
  out.bytes(2, status.reason);
  out.i32(3, status.code);
  out.boolean(4, status.retriable);
  out.bytes(5, status.detail);
  return out.take();
}

std::optional<FieldSchema> read_field_schema(std::string_view bytes) {
  FieldSchema field;
  ProtoWriter rest;
  ProtoReader reader(bytes);
  while (reader.next()) {
    switch (reader.field()) {
      case 1: field.id = reader.i64(); break;
      case 2: field.name = reader.text(); break;
      case 3: field.primary = reader.boolean(); break;
      case 4: field.description = reader.text(); break;
      case 5: field.type = static_cast<DataType>(reader.i32()); break;
      case 6: read_pair(reader, field.type_params); break;
      case 7: read_pair(reader, field.index_params); break;
      case 8: field.auto_id = reader.boolean(); break;
      case 10: field.element = static_cast<DataType>(reader.i32()); break;
      case 11: field.default_value = std::string(reader.bytes()); break;
      case 12: field.dynamic = reader.boolean(); break;
      case 13: field.partition_key = reader.boolean(); break;
      case 15: field.nullable = reader.boolean(); break;
      case 16: field.function_output = reader.boolean(); break;
      default: rest.raw(reader.raw());
    }
  }
  if (!reader.ok()) return std::nullopt;
  field.rest = rest.take();
  return field;
}

std::string encode(const FieldSchema& field) {
  ProtoWriter out;
  out.i64(1, field.id);
  out.bytes(2, field.name);
  out.boolean(3, field.primary);
  out.bytes(4, field.description);
  out.i32(5, static_cast<int32_t>(field.type));
  write_pairs(out, 6, field.type_params);
  write_pairs(out, 7, field.index_params);
  out.boolean(8, field.auto_id);
  out.i32(10, static_cast<int32_t>(field.element));
  if (field.default_value) out.always_bytes(11, *field.default_value);
  out.boolean(12, field.dynamic);
  out.boolean(13, field.partition_key);
  out.boolean(15, field.nullable);
  out.boolean(16, field.function_output);
  out.raw(field.rest);
  return out.take();
}

uint32_t number_param(const FieldSchema& field, std::string_view name) {
  const std::string* text = find(field.type_params, name);
  uint32_t number = 0;
  if (text != nullptr) std::from_chars(text->data(), text->data() + text->size(), number);
  return number;
}

const FieldSchema* CollectionSchema::primary() const {
  const auto at = std::ranges::find_if(fields, [](const FieldSchema& field) { return field.primary; });
  return at == fields.end() ? nullptr : &*at;
}

const FieldSchema* CollectionSchema::find(std::string_view wanted) const {
  const auto at =
      std::ranges::find_if(fields, [&](const FieldSchema& field) { return field.name == wanted; });
  return at == fields.end() ? nullptr : &*at;
}

bool CollectionSchema::partition_key() const {
  return std::ranges::any_of(fields, [](const FieldSchema& field) { return field.partition_key; });
}

std::optional<CollectionSchema> read_collection_schema(std::string_view bytes) {
  CollectionSchema schema;
  ProtoWriter rest;
  ProtoReader reader(bytes);
  while (reader.next()) {
    switch (reader.field()) {
      case 1: schema.name = reader.text(); break;
      case 2: schema.description = reader.text(); break;
      case 3: schema.auto_id = reader.boolean(); break;
      case 4: {
        auto field = read_field_schema(reader.bytes());
        if (!field) return std::nullopt;
        schema.fields.push_back(std::move(*field));
        break;
      }
      case 5: schema.dynamic = reader.boolean(); break;
      case 6: read_pair(reader, schema.properties); break;
      default: rest.raw(reader.raw());
    }
  }
  if (!reader.ok()) return std::nullopt;
  schema.rest = rest.take();
  return schema;
}

std::string encode(const CollectionSchema& schema) {
  ProtoWriter out;
  out.bytes(1, schema.name);
  out.bytes(2, schema.description);
  out.boolean(3, schema.auto_id);
  for (const auto& field : schema.fields) out.always_bytes(4, encode(field));
  out.boolean(5, schema.dynamic);
  write_pairs(out, 6, schema.properties);
  out.raw(schema.rest);
  return out.take();
}

std::optional<Ids> read_ids(std::string_view bytes) {
  Ids ids;
  ProtoReader reader(bytes);
  while (reader.next()) {
    if (reader.field() != 1 && reader.field() != 2) continue;
    ProtoReader list(reader.bytes());
    const bool longs = reader.field() == 1;
    while (list.next()) {
      if (list.field() != 1) continue;
      if (longs) {
        list.append(ids.longs);
      } else {
        ids.texts.push_back(list.text());
      }
    }
    if (!list.ok()) return std::nullopt;
  }
  if (!reader.ok()) return std::nullopt;
  return ids;
}

std::string encode(const Ids& ids) {
  ProtoWriter list;
  ProtoWriter out;
  if (!ids.texts.empty()) {
    for (const auto& text : ids.texts) list.always_bytes(1, text);
    out.always_bytes(2, list.view());
  } else {
    list.packed(1, ids.longs);
    out.always_bytes(1, list.view());
  }
  return out.take();
}

}  // namespace vmproxy::protocols::milvus
