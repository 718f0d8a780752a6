#include "protocols/milvus/rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>

#include "protocols/milvus/half.h"
#include "protocols/wire/json.h"

namespace vmproxy::protocols::milvus {
namespace {

using model::Record;
using model::Value;

// More than the other systems' documents have when they are read: what came here from them has one level on top.
constexpr int json_depth_max = 1024;
// Of one value; any other error is of the whole message.
constexpr Code of_one_row = Code::corrupt;

bool is_taken(std::string_view name, const CollectionSchema& schema) {
  if (name == meta_field) return true;
  const auto* field = schema.find(name);
  return field != nullptr && (field->primary || is_vector(field->type));
}

std::string_view without_marks(std::string_view name) {
  while (name.ends_with('#')) name.remove_suffix(1);
  return name;
}

Error broken(const Column& column, std::string_view what) {
  const auto name = column.name.empty() ? std::string(meta_field) : column.name;
  return {Code::invalid, "field '" + name + "': " + std::string(what)};
}

Error cannot_carry(const Column& column, const std::string& why) {
  return {of_one_row, broken(column, "holds JSON that cannot be carried exactly: " + why).message};
}

Result<Value> parsed(const Column& column, const std::string& text) {
  auto value = read_json(text);
  if (!value) return cannot_carry(column, value.error().message);
  return value;
}

Result<Value> array_of(const Column& column, const Column& row) {
  model::Array array;
  for (const auto v : row.booleans) array.emplace_back(v != 0);
  for (const auto v : row.ints) array.emplace_back(static_cast<int64_t>(v));
  for (const auto v : row.longs) array.emplace_back(v);
  for (const auto v : row.floats) array.emplace_back(static_cast<double>(v));
  for (const auto v : row.doubles) array.emplace_back(v);
  for (const auto& v : row.texts) array.emplace_back(v);
  for (const auto& inner : row.arrays) {
    auto value = array_of(column, inner);
    if (!value) return value;
    array.push_back(std::move(*value));
  }
  return Value(std::move(array));
}

// Which value of the column belongs to the row; nothing: null.
std::optional<size_t> place_of(const Column& column, size_t row, bool dense) {
  if (column.valid.empty()) return row;
  if (column.valid[row] == 0) return std::nullopt;
  if (dense) return row;
  size_t place = 0;
  for (size_t i = 0; i < row; ++i) place += column.valid[i];
  return place;
}

Result<Value> scalar_at(const Column& column, DataType type, size_t place) {
  const auto missing = [&] { return broken(column, "its values are not of its type"); };
  switch (type) {
    case DataType::boolean:
      if (place >= column.booleans.size()) return missing();
      return Value(column.booleans[place] != 0);
    case DataType::int8:
    case DataType::int16:
    case DataType::int32:
      if (place >= column.ints.size()) return missing();
      return Value(static_cast<int64_t>(column.ints[place]));
    case DataType::int64:
      if (place >= column.longs.size()) return missing();
      return Value(column.longs[place]);
    case DataType::float32:
      if (place >= column.floats.size()) return missing();
      return Value(static_cast<double>(column.floats[place]));
    case DataType::float64:
      if (place >= column.doubles.size()) return missing();
      return Value(column.doubles[place]);
    case DataType::array:
      if (place >= column.arrays.size()) return missing();
      return array_of(column, column.arrays[place]);
    case DataType::json:
      if (place >= column.texts.size()) return missing();
      return parsed(column, column.texts[place]);
    default:
      if (place >= column.texts.size()) return missing();
      return Value(column.texts[place]);
  }
}

Result<model::Vector> sparse_of(const Column& column, const std::string& bytes) {
  if (bytes.size() % 8 != 0) return broken(column, "a sparse vector is cut short");
  std::vector<std::pair<uint32_t, float>> pairs(bytes.size() / 8);
  for (size_t i = 0; i < pairs.size(); ++i) {
    std::memcpy(&pairs[i].first, bytes.data() + 8 * i, 4);
    std::memcpy(&pairs[i].second, bytes.data() + 8 * i + 4, 4);
  }
  std::ranges::sort(pairs, {}, &std::pair<uint32_t, float>::first);
  model::SparseVector sparse;
  for (const auto& [index, value] : pairs) {
    if (!sparse.indices.empty() && sparse.indices.back() == index)
      return broken(column, "a sparse vector has an index twice");
    sparse.indices.push_back(index);
    sparse.values.push_back(value);
  }
  return model::Vector(std::move(sparse));
}

Result<model::Vector> vector_at(const Column& column, size_t place) {
  const auto dimension = static_cast<size_t>(column.dimension);
  model::DenseVector dense;
  switch (column.type) {
    case DataType::sparse_vector:
      if (place >= column.texts.size()) return broken(column, "it has too few vectors");
      return sparse_of(column, column.texts[place]);
    case DataType::float_vector: {
      const auto begin = column.floats.begin() + static_cast<std::ptrdiff_t>(place * dimension);
      dense.assign(begin, begin + static_cast<std::ptrdiff_t>(dimension));
      return model::Vector(std::move(dense));
    }
    case DataType::binary_vector:
      for (size_t i = 0; i < dimension; ++i) {
        const auto byte = static_cast<uint8_t>(column.packed[place * (dimension / 8) + i / 8]);
        dense.push_back((byte >> (7 - i % 8) & 1) != 0 ? 1.0f : 0.0f);
      }
      return model::Vector(std::move(dense));
    default:
      for (size_t i = 0; i < dimension; ++i) {
        uint16_t bits = 0;
        std::memcpy(&bits, column.packed.data() + (place * dimension + i) * 2, 2);
        dense.push_back(column.type == DataType::float16_vector ? from_float16(bits) : from_bfloat16(bits));
      }
      return model::Vector(std::move(dense));
  }
}

Result<void> read_meta(const CollectionSchema& schema, const Column& column, size_t place, Record& record) {
  if (place >= column.texts.size()) return broken(column, "it has too few values");
  if (column.texts[place].empty()) return {};
  auto value = parsed(column, column.texts[place]);
  if (!value) return value.error();
  if (value->is_null()) return {};
  if (!value->is_object()) return cannot_carry(column, "dynamic fields must be an object");
  for (auto& [name, member] : value->object())
    (*record.metadata)[name_from_meta(name, schema)] = std::move(member);
  return {};
}

Result<void> read_cell(const CollectionSchema& schema, const Column& column, const FieldSchema* field,
                       size_t place, std::string_view partition, Record& record) {
  if (field == nullptr) return read_meta(schema, column, place, record);
  if (is_vector(field->type)) {
    auto vector = vector_at(column, place);
    if (!vector) return vector.error();
    record.vectors.emplace(field->name, std::move(*vector));
    return {};
  }
  auto value = scalar_at(column, field->type, place);
  if (!value) return value.error();
  if (field->primary) {
    const auto* number = std::get_if<int64_t>(&value->data);
    if (number == nullptr && !value->is_string()) return broken(column, "no key is of this type");
    record.key = number == nullptr ? key_of(value->string(), partition) : key_of(*number, partition);
  } else {
    (*record.metadata)[field->name] = std::move(*value);
  }
  return {};
}

}  // namespace

std::string name_in_meta(const std::string& name, const CollectionSchema& schema) {
  return is_taken(without_marks(name), schema) ? name + "#" : name;
}

std::string name_from_meta(const std::string& name, const CollectionSchema& schema) {
  if (!name.ends_with('#') || !is_taken(without_marks(name), schema)) return name;
  return name.substr(0, name.size() - 1);
}

model::Key key_of(int64_t id, std::string_view partition) {
  return {partition == default_partition ? std::string() : std::string(partition), {id}};
}

model::Key key_of(std::string_view id, std::string_view partition) {
  return {partition == default_partition ? std::string() : std::string(partition), {std::string(id)}};
}

Result<Value> value_at(const Column& column, const FieldSchema& field, size_t row) {
  const auto place = place_of(column, row, column.values() == column.rows());
  if (!place) return Value();
  return scalar_at(column, field.type, *place);
}

Result<std::vector<model::Key>> read_keys(const Column& column, std::string_view partition) {
  std::vector<model::Key> keys;
  keys.reserve(column.rows());
  for (const auto id : column.longs) keys.push_back(key_of(id, partition));
  for (const auto& id : column.texts) keys.push_back(key_of(id, partition));
  return keys;
}

Result<Value> read_json(std::string_view text) {
  return wire::parse_json(text, json_depth_max);
}

Result<ShownRows> read_shown_rows(const CollectionSchema& schema, const std::vector<Column>& columns,
                                  size_t rows, std::string_view partition) {
  // Before there is memory for them: their number is what a peer says.
  for (const auto& column : columns) {
    if (column.rows() != rows) {
      return broken(column, "it has " + std::to_string(column.rows()) + " rows, " + std::to_string(rows) +
                                " were announced");
    }
  }
  std::vector<Record> records(rows);
  for (auto& record : records) record.metadata.emplace();
  std::map<size_t, Error> unread;  // by row
  for (const auto& column : columns) {
    const bool meta = column.dynamic || column.name == meta_field;
    const FieldSchema* field = meta ? nullptr : schema.find(column.name);
    if (!meta && field == nullptr) return broken(column, "the collection has no such field");
    const size_t values = column.values();
    if (field != nullptr && (is_vector(field->type) != is_vector(column.type) ||
                             (is_vector(field->type) && field->type != column.type)))
      return broken(column, "its values are not of its type");
    const bool dense = values == rows;
    const auto valid = static_cast<size_t>(std::accumulate(column.valid.begin(), column.valid.end(), 0));
    if (!dense && values != valid) return broken(column, "it has too few values");
    size_t place = 0;
    for (size_t row = 0; row < rows; ++row) {
      const bool null = !column.valid.empty() && column.valid[row] == 0;
      if (null) {
        if (field != nullptr && field->primary) return broken(column, "a key is null");
        place += dense ? 1 : 0;
        continue;
      }
      auto read = read_cell(schema, column, field, place++, partition, records[row]);
      if (read) continue;
      if (read.error().code != of_one_row) return read.error();
      unread.emplace(row, read.error());
    }
  }
  for (auto& record : records) {
    if (record.metadata->empty()) record.metadata.reset();
  }
  ShownRows shown;
  for (auto& [row, error] : unread) shown.unread.push_back({std::move(records[row].key), std::move(error)});
  size_t row = 0;
  std::erase_if(records, [&](const Record&) { return unread.contains(row++); });
  shown.records = std::move(records);
  return shown;
}

Result<std::vector<Record>> read_rows(const CollectionSchema& schema, const std::vector<Column>& columns,
                                      size_t rows, std::string_view partition) {
  auto shown = read_shown_rows(schema, columns, rows, partition);
  if (!shown) return shown.error();
  if (!shown->unread.empty()) return std::move(shown->unread.front().error);
  return std::move(shown->records);
}

}  // namespace vmproxy::protocols::milvus
