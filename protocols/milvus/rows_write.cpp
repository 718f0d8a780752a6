// Records as columns: of an Upsert, and of an answer.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "protocols/milvus/half.h"
#include "protocols/milvus/rows.h"
#include "protocols/wire/json.h"

namespace vmproxy::protocols::milvus {
namespace {

using model::Record;
using model::Value;

// Milvus' own bounds on what a JSON value may take.
constexpr size_t json_bytes_max = 65536;

struct Misfit {
  std::string reason;
};

bool append_integer(Column& column, DataType type, int64_t number) {
  const auto within = [&](int64_t low, int64_t high) { return number >= low && number <= high; };
  switch (type) {
    case DataType::int8:
      if (!within(INT8_MIN, INT8_MAX)) return false;
      break;
    case DataType::int16:
      if (!within(INT16_MIN, INT16_MAX)) return false;
      break;
    case DataType::int32:
      if (!within(INT32_MIN, INT32_MAX)) return false;
      break;
    default: column.longs.push_back(number); return true;
  }
  column.ints.push_back(static_cast<int32_t>(number));
  return true;
}

bool append_scalar(Column& column, DataType type, DataType element, const Value& value);

bool append_array(Column& column, DataType element, const Value& value) {
  if (!value.is_array()) return false;
  Column row;
  for (const Value& one : value.array()) {
    if (!append_scalar(row, element, DataType::none, one)) return false;
  }
  column.element = element;
  column.arrays.push_back(std::move(row));
  return true;
}

bool append_scalar(Column& column, DataType type, DataType element, const Value& value) {
  switch (type) {
    case DataType::boolean: {
      const auto* flag = std::get_if<bool>(&value.data);
      if (flag != nullptr) column.booleans.push_back(*flag);
      return flag != nullptr;
    }
    case DataType::int8:
    case DataType::int16:
    case DataType::int32:
    case DataType::int64: {
      const auto* number = std::get_if<int64_t>(&value.data);
      return number != nullptr && append_integer(column, type, *number);
    }
    case DataType::float32: {
      if (!value.is_number()) return false;
      const double number = value.number();
      if (std::isfinite(number) && std::abs(number) > std::numeric_limits<float>::max()) return false;
      column.floats.push_back(static_cast<float>(number));
      return true;
    }
    case DataType::float64:
      if (value.is_number()) column.doubles.push_back(value.number());
      return value.is_number();
    case DataType::array: return append_array(column, element, value);
    case DataType::json: column.texts.push_back(wire::to_json(value)); return true;
    default:
      if (value.is_string()) column.texts.push_back(value.string());
      return value.is_string();
  }
}

// What stands where a row is null.
void append_nothing(Column& column) {
  switch (column.type) {
    case DataType::boolean: column.booleans.push_back(0); break;
    case DataType::int8:
    case DataType::int16:
    case DataType::int32: column.ints.push_back(0); break;
    case DataType::int64: column.longs.push_back(0); break;
    case DataType::float32: column.floats.push_back(0); break;
    case DataType::float64: column.doubles.push_back(0); break;
    case DataType::array: column.arrays.emplace_back(); break;
    default: column.texts.emplace_back();
  }
}

void append_vector(Column& column, const model::Vector& vector) {
  if (const auto* sparse = std::get_if<model::SparseVector>(&vector)) {
    std::string bytes(sparse->indices.size() * 8, '\0');
    for (size_t i = 0; i < sparse->indices.size(); ++i) {
      std::memcpy(bytes.data() + 8 * i, &sparse->indices[i], 4);
      std::memcpy(bytes.data() + 8 * i + 4, &sparse->values[i], 4);
    }
    if (!sparse->indices.empty())
      column.dimension = std::max<int64_t>(column.dimension, int64_t{sparse->indices.back()} + 1);
    column.texts.push_back(std::move(bytes));
    return;
  }
  const auto& dense = std::get<model::DenseVector>(vector);
  column.dimension = static_cast<int64_t>(dense.size());
  switch (column.type) {
    case DataType::binary_vector:
      for (size_t i = 0; i < dense.size(); i += 8) {
        uint8_t byte = 0;
        for (size_t bit = 0; bit < 8 && i + bit < dense.size(); ++bit) {
          if (dense[i + bit] != 0) byte = static_cast<uint8_t>(byte | 0x80 >> bit);
        }
        column.packed += static_cast<char>(byte);
      }
      return;
    case DataType::float16_vector:
    case DataType::bfloat16_vector:
      for (const float value : dense) {
        const uint16_t bits =
            column.type == DataType::float16_vector ? to_float16(value) : to_bfloat16(value);
        column.packed.append(reinterpret_cast<const char*>(&bits), sizeof bits);
      }
      return;
    default: column.floats.insert(column.floats.end(), dense.begin(), dense.end());
  }
}

std::string meta_text(const CollectionSchema& schema, const Record& record) {
  model::Object dynamic;
  if (record.metadata) {
    for (const auto& [name, value] : *record.metadata) {
      const auto* field = schema.find(name);
      if (field == nullptr || field->primary || is_vector(field->type))
        dynamic.emplace(name_in_meta(name, schema), value);
    }
  }
  return wire::to_json(Value(std::move(dynamic)));
}

const Value* member(const Record& record, const std::string& name) {
  if (!record.metadata) return nullptr;
  const auto at = record.metadata->find(name);
  return at == record.metadata->end() ? nullptr : &at->second;
}

std::optional<Misfit> vector_misfit(const FieldSchema& field, const Record& record) {
  const auto at = record.vectors.find(field.name);
  if (at == record.vectors.end())
    return Misfit{"vector '" + field.name + "': absent, Milvus needs one in each record"};
  const bool sparse = std::holds_alternative<model::SparseVector>(at->second);
  if (sparse != (field.type == DataType::sparse_vector))
    return Misfit{"vector '" + field.name + "': dense and sparse do not fit each other"};
  if (sparse) {
    const auto& values = std::get<model::SparseVector>(at->second).values;
    if (!std::ranges::all_of(values, [](float x) { return std::isfinite(x); }))
      return Misfit{"vector '" + field.name + "': holds NaN or an infinity"};
    return std::nullopt;
  }
  const auto& dense = std::get<model::DenseVector>(at->second);
  const uint32_t dimension = number_param(field, "dim");
  if (field.type != DataType::float_vector)
    return Misfit{"vector '" + field.name + "': " + std::string(name_of(field.type)) +
                  " is not written by vmproxy"};
  if (dense.size() != dimension) {
    return Misfit{"vector '" + field.name + "': " + std::to_string(dense.size()) +
                  " dimensions, the collection has " + std::to_string(dimension)};
  }
  if (!std::ranges::all_of(dense, [](float x) { return std::isfinite(x); }))
    return Misfit{"vector '" + field.name + "': holds NaN or an infinity, which Milvus refuses"};
  return std::nullopt;
}

std::optional<Misfit> text_misfit(const FieldSchema& field, const std::string& text) {
  if (!wire::valid_utf8(text)) return Misfit{"field '" + field.name + "': no valid UTF-8"};
  const uint32_t length = number_param(field, "max_length");
  if (field.type == DataType::varchar && length > 0 && text.size() > length) {
    return Misfit{"field '" + field.name + "': " + std::to_string(text.size()) + " bytes, at most " +
                  std::to_string(length) + " are taken"};
  }
  return std::nullopt;
}

std::optional<Misfit> misfit(const CollectionSchema& schema, const Record& record) {
  for (const auto& field : schema.fields) {
    if (field.dynamic || field.function_output) continue;
    if (is_vector(field.type)) {
      if (auto found = vector_misfit(field, record)) return found;
      continue;
    }
    if (field.primary) {
      const bool text = field.type == DataType::varchar;
      const auto* id = std::get_if<std::string>(&record.key.id.value);
      if (text != (id != nullptr) || (!text && !std::holds_alternative<int64_t>(record.key.id.value)))
        return Misfit{"id: not of the kind that the collection has"};
      if (id != nullptr) {
        if (auto found = text_misfit(field, *id)) return found;
      }
      continue;
    }
    const Value* value = member(record, field.name);
    if (value == nullptr || (value->is_null() && field.type != DataType::json)) {
      if (field.nullable || field.default_value) continue;
      return Misfit{"field '" + field.name + "': absent, and it may not be null"};
    }
    Column probe;
    if (!append_scalar(probe, field.type, field.element, *value))
      return Misfit{"field '" + field.name + "': the value is no " + std::string(name_of(field.type))};
    if (value->is_string() && field.type != DataType::json) {
      if (auto found = text_misfit(field, value->string())) return found;
    }
    if (field.type == DataType::json && probe.texts[0].size() > json_bytes_max)
      return Misfit{"field '" + field.name +
                    "': more than the 65536 bytes that Milvus takes in a JSON value"};
  }
  if (schema.dynamic) {
    const size_t bytes = meta_text(schema, record).size();
    if (bytes > json_bytes_max) {
      return Misfit{"metadata: " + std::to_string(bytes) +
                    " bytes as JSON, Milvus takes 65536 in all dynamic fields of a record"};
    }
  } else if (record.metadata) {
    for (const auto& [name, value] : *record.metadata) {
      const auto* field = schema.find(name);
      if (field == nullptr || field->primary || is_vector(field->type))
        return Misfit{"field '" + name + "': the collection has no such field and no dynamic fields"};
    }
  }
  return std::nullopt;
}

}  // namespace

std::vector<Column> write_rows(const CollectionSchema& schema, std::span<const Record> records,
                               std::vector<Refused>& refused) {
  std::vector<Column> columns;
  for (const auto& field : schema.fields) {
    if (field.dynamic || field.function_output) continue;
    Column& column = columns.emplace_back();
    column.type = field.type;
    column.name = field.name;
    column.element = field.element;
    if (is_vector(field.type)) column.dimension = number_param(field, "dim");
  }
  if (schema.dynamic) {
    Column& column = columns.emplace_back();
    column.type = DataType::json;
    column.name = meta_field;
    column.dynamic = true;
  }
  for (size_t i = 0; i < records.size(); ++i) {
    const Record& record = records[i];
    if (auto found = misfit(schema, record)) {
      refused.push_back({i, std::move(found->reason)});
      continue;
    }
    for (auto& column : columns) {
      if (column.dynamic) {
        column.texts.push_back(meta_text(schema, record));
        continue;
      }
      const FieldSchema& field = *schema.find(column.name);
      if (is_vector(field.type)) {
        append_vector(column, record.vectors.at(field.name));
      } else if (field.primary) {
        if (const auto* text = std::get_if<std::string>(&record.key.id.value)) {
          column.texts.push_back(*text);
        } else {
          column.longs.push_back(std::get<int64_t>(record.key.id.value));
        }
      } else {
        const Value* value = member(record, field.name);
        const bool null = value == nullptr || (value->is_null() && field.type != DataType::json);
        if (field.nullable || field.default_value) column.valid.push_back(null ? 0 : 1);
        if (!null) append_scalar(column, field.type, field.element, *value);
      }
    }
  }
  return columns;
}

Result<std::vector<Column>> write_output(const CollectionSchema& schema, const Output& output,
                                         const std::vector<const Record*>& records) {
  std::vector<Column> columns;
  for (const auto& name : output.fields) {
    const FieldSchema* field = schema.find(name);
    if (field == nullptr) continue;
    Column column;
    column.type = field->type;
    column.name = field->name;
    column.field_id = field->id;
    column.element = field->element;
    if (is_vector(field->type)) column.dimension = number_param(*field, "dim");
    for (const Record* record : records) {
      if (is_vector(field->type)) {
        const auto at = record->vectors.find(field->name);
        // A row left out would give its place to the next one.
        if (at == record->vectors.end())
          return Error(Code::unsupported, "vector.absent: record '" + model::to_string(record->key.id) +
                                              "' has no vector '" + field->name +
                                              "', which Milvus cannot show");
        append_vector(column, at->second);
      } else if (field->primary) {
        if (const auto* text = std::get_if<std::string>(&record->key.id.value)) {
          column.texts.push_back(*text);
        } else if (const auto* number = std::get_if<int64_t>(&record->key.id.value)) {
          column.longs.push_back(*number);
        }
      } else {
        const Value* value = member(*record, field->name);
        const bool there = value != nullptr && append_scalar(column, field->type, field->element, *value);
        if (field->nullable) column.valid.push_back(there ? 1 : 0);
        if (!there) append_nothing(column);
      }
    }
    columns.push_back(std::move(column));
  }
  if (!output.meta) return columns;
  Column column;
  column.type = DataType::json;
  column.name = meta_field;
  column.dynamic = true;
  for (const auto& field : schema.fields) column.field_id = std::max(column.field_id, field.id + 1);
  for (const Record* record : records) {
    if (output.meta_whole) {
      column.texts.push_back(meta_text(schema, *record));
      continue;
    }
    model::Object members;
    for (const auto& name : output.members) {
      if (const Value* value = member(*record, name)) members.emplace(name, *value);
    }
    column.texts.push_back(wire::to_json(Value(std::move(members))));
  }
  columns.push_back(std::move(column));
  return columns;
}

}  // namespace vmproxy::protocols::milvus
