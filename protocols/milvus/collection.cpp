#include "protocols/milvus/collection.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "protocols/milvus/open_dimension.h"
#include "protocols/milvus/rows.h"

namespace vmproxy::protocols::milvus {
namespace {

using model::FieldKind;
using model::Value;
using model::VectorKind;

std::string to_hex(std::string_view bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out += digits[static_cast<uint8_t>(c) >> 4];
    out += digits[c & 15];
  }
  return out;
}

std::optional<std::string> from_hex(std::string_view text) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  std::string out;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    if (digit(text[i]) < 0 || digit(text[i + 1]) < 0) return std::nullopt;
    out += static_cast<char>(digit(text[i]) << 4 | digit(text[i + 1]));
  }
  return text.size() % 2 == 0 ? std::optional(out) : std::nullopt;
}

bool read_into(ProtoReader& reader, Status* status) {
  auto read = read_status(reader.bytes());
  if (read && status != nullptr) *status = std::move(*read);
  return read.has_value();
}

std::optional<FieldKind> kind_of(DataType type) {
  switch (type) {
    case DataType::boolean:
      return FieldKind::boolean;
    case DataType::int8:
      return FieldKind::int8;
    case DataType::int16:
      return FieldKind::int16;
    case DataType::int32:
      return FieldKind::int32;
    case DataType::int64:
      return FieldKind::int64;
    case DataType::float32:
      return FieldKind::float32;
    case DataType::float64:
      return FieldKind::float64;
    case DataType::string:
    case DataType::varchar:
      return FieldKind::string;
    case DataType::array:
      return FieldKind::array;
    default:
      return FieldKind::json;
  }
}

DataType type_of(FieldKind kind) {
  switch (kind) {
    case FieldKind::boolean:
      return DataType::boolean;
    case FieldKind::int8:
      return DataType::int8;
    case FieldKind::int16:
      return DataType::int16;
    case FieldKind::int32:
      return DataType::int32;
    case FieldKind::int64:
      return DataType::int64;
    case FieldKind::float32:
      return DataType::float32;
    case FieldKind::float64:
      return DataType::float64;
    case FieldKind::string:
      return DataType::varchar;
    case FieldKind::array:
      return DataType::array;
    case FieldKind::json:
      break;
  }
  return DataType::json;
}

VectorKind vector_kind(DataType type) {
  switch (type) {
    case DataType::binary_vector:
      return VectorKind::binary;
    case DataType::float16_vector:
      return VectorKind::dense_f16;
    case DataType::bfloat16_vector:
      return VectorKind::dense_bf16;
    case DataType::sparse_vector:
      return VectorKind::sparse;
    default:
      return VectorKind::dense_f32;
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

std::optional<Described> read_described(std::string_view bytes, Status* status) {
  Described out;
  ProtoWriter rest;
  ProtoReader reader(bytes);
  while (reader.next()) {
    switch (reader.field()) {
      case 1:
        if (!read_into(reader, status)) return std::nullopt;
        break;
      case 2: {
        auto schema = read_collection_schema(reader.bytes());
        if (!schema) return std::nullopt;
        out.schema = std::move(*schema);
        break;
      }
      case 3:
        out.id = reader.i64();
        break;
      case 4:
        out.virtual_channels.push_back(reader.text());
        break;
      case 5:
        out.physical_channels.push_back(reader.text());
        break;
      case 6:
        out.created = reader.u64();
        break;
      case 7:
        out.created_utc = reader.u64();
        break;
      case 8:
        out.shards = reader.i32();
        break;
      case 9:
        out.aliases.push_back(reader.text());
        break;
      case 11:
        out.consistency = static_cast<Consistency>(reader.i32());
        break;
      case 12:
        out.name = reader.text();
        break;
      case 13:
        read_pair(reader, out.properties);
        break;
      case 14:
        out.database = reader.text();
        break;
      case 15:
        out.partitions = reader.i64();
        break;
      default:
        rest.raw(reader.raw());
    }
  }
  if (!reader.ok()) return std::nullopt;
  out.rest = rest.take();
  if (out.name.empty()) out.name = out.schema.name;
  return out;
}

std::string encode(const Described& described) {
  ProtoWriter out;
  out.always_bytes(1, encode(Status()));
  out.always_bytes(2, encode(described.schema));
  out.i64(3, described.id);
  for (const auto& channel : described.virtual_channels) out.always_bytes(4, channel);
  for (const auto& channel : described.physical_channels) out.always_bytes(5, channel);
  out.u64(6, described.created);
  out.u64(7, described.created_utc);
  out.i32(8, described.shards);
  for (const auto& alias : described.aliases) out.always_bytes(9, alias);
  out.i32(11, static_cast<int32_t>(described.consistency));
  out.bytes(12, described.name);
  write_pairs(out, 13, described.properties);
  out.bytes(14, described.database);
  out.i64(15, described.partitions);
  out.raw(described.rest);
  return out.take();
}

std::optional<std::vector<IndexInfo>> read_indexes(std::string_view bytes, Status* status) {
  std::vector<IndexInfo> indexes;
  ProtoReader reader(bytes);
  while (reader.next()) {
    if (reader.field() == 1 && !read_into(reader, status)) return std::nullopt;
    if (reader.field() != 2) continue;
    IndexInfo index;
    index.state = 0;
    ProtoReader one(reader.bytes());
    while (one.next()) {
      switch (one.field()) {
        case 1:
          index.name = one.text();
          break;
        case 2:
          index.id = one.i64();
          break;
        case 3:
          read_pair(one, index.params);
          break;
        case 4:
          index.field = one.text();
          break;
        case 5:
          index.indexed_rows = one.i64();
          break;
        case 6:
          index.total_rows = one.i64();
          break;
        case 7:
          index.state = one.i32();
          break;
        case 8:
          index.failure = one.text();
          break;
        case 9:
          index.pending_rows = one.i64();
          break;
      }
    }
    if (!one.ok()) return std::nullopt;
    indexes.push_back(std::move(index));
  }
  if (!reader.ok()) return std::nullopt;
  return indexes;
}

std::string encode(const std::vector<IndexInfo>& indexes) {
  ProtoWriter out;
  out.always_bytes(1, encode(Status()));
  for (const auto& index : indexes) {
    ProtoWriter one;
    one.bytes(1, index.name);
    one.i64(2, index.id);
    write_pairs(one, 3, index.params);
    one.bytes(4, index.field);
    one.i64(5, index.indexed_rows);
    one.i64(6, index.total_rows);
    one.i32(7, index.state);
    one.bytes(8, index.failure);
    one.i64(9, index.pending_rows);
    out.always_bytes(2, one.view());
  }
  return out.take();
}

std::optional<std::vector<PartitionInfo>> read_partitions(std::string_view bytes, Status* status) {
  std::vector<std::string> names;
  std::vector<int64_t> ids;
  std::vector<uint64_t> created, created_utc;
  ProtoReader reader(bytes);
  while (reader.next()) {
    switch (reader.field()) {
      case 1:
        if (!read_into(reader, status)) return std::nullopt;
        break;
      case 2:
        names.push_back(reader.text());
        break;
      case 3:
        reader.append(ids);
        break;
      case 4:
        reader.append(created);
        break;
      case 5:
        reader.append(created_utc);
        break;
    }
  }
  if (!reader.ok()) return std::nullopt;
  std::vector<PartitionInfo> partitions;
  for (size_t i = 0; i < names.size(); ++i) {
    partitions.push_back({names[i], i < ids.size() ? ids[i] : 0, i < created.size() ? created[i] : 0,
                          i < created_utc.size() ? created_utc[i] : 0});
  }
  return partitions;
}

std::string encode(const std::vector<PartitionInfo>& partitions) {
  ProtoWriter out;
  out.always_bytes(1, encode(Status()));
  std::vector<int64_t> ids;
  std::vector<uint64_t> created, created_utc;
  for (const auto& one : partitions) {
    out.always_bytes(2, one.name);
    ids.push_back(one.id);
    created.push_back(one.created);
    created_utc.push_back(one.created_utc);
  }
  out.packed(3, ids);
  out.packed(4, created);
  out.packed(5, created_utc);
  return out.take();
}

const IndexInfo* Collection::index_of(std::string_view field) const {
  const auto at = std::ranges::find_if(indexes, [&](const IndexInfo& index) { return index.field == field; });
  return at == indexes.end() ? nullptr : &*at;
}

model::Metric Collection::metric_of(std::string_view field) const {
  const IndexInfo* index = index_of(field);
  const std::string* metric = index == nullptr ? nullptr : find(index->params, "metric_type");
  // Without an index there is no metric yet; SDKs make one of COSINE unless told otherwise.
  return metric == nullptr ? model::Metric::cosine : metric_named(*metric);
}

bool Collection::released_partition(std::string_view name) const {
  return std::ranges::find(released, name) != released.end();
}

Value to_native(const Collection& collection) {
  model::Object native{{"describe", to_hex(encode(collection.described))},
                       {"indexes", to_hex(encode(collection.indexes))},
                       {"partitions", to_hex(encode(collection.partitions))},
                       {"loaded", collection.loaded}};
  if (!collection.released.empty()) {
    native["released"] = model::Array(collection.released.begin(), collection.released.end());
  }
  return native;
}

std::optional<Collection> from_native(const Value& native) {
  const auto bytes = [&](std::string_view name) -> std::optional<std::string> {
    const Value* member = native.find(name);
    return member == nullptr || !member->is_string() ? std::nullopt : from_hex(member->string());
  };
  const auto describe = bytes("describe"), indexes = bytes("indexes"), partitions = bytes("partitions");
  if (!describe || !indexes || !partitions) return std::nullopt;
  auto described = read_described(*describe);
  auto index_list = read_indexes(*indexes);
  auto partition_list = read_partitions(*partitions);
  if (!described || !index_list || !partition_list) return std::nullopt;
  const Value* loaded = native.find("loaded");
  Collection collection{std::move(*described), std::move(*index_list),
                        loaded == nullptr || *loaded == Value(true), std::move(*partition_list), {}};
  if (const Value* released = native.find("released"); released != nullptr && released->is_array()) {
    for (const Value& name : released->array()) {
      if (name.is_string()) collection.released.push_back(name.string());
    }
  }
  return collection;
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
      model::VectorField vector{field.name,
                                vector_kind(field.type),
                                dimension_of(field),
                                collection.metric_of(field.name),
                                {}};
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

}  // namespace vmproxy::protocols::milvus
