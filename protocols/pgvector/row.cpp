#include "protocols/pgvector/row.h"

#include <algorithm>
#include <cmath>

#include "protocols/pgvector/cell.h"
#include "protocols/pgvector/json_cell.h"
#include "protocols/wire/json.h"

namespace vmproxy::protocols::pgvector {
namespace {

using model::FieldKind;
using model::Id;
using model::Value;

Error wrong(const std::string& what, const std::string& why) {
  return {Code::invalid, what + " " + why};
}

// The server takes blanks beyond the length away without a word.
std::optional<std::string> length_fault(const Column& column, std::string_view text) {
  const auto characters =
      std::ranges::count_if(text, [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; });
  if (column.length_max == 0 || characters <= column.length_max) return std::nullopt;
  return "has " + std::to_string(characters) + " characters, the column's type is " + column.type;
}

Result<std::string> text_cell(const std::string& what, const Column& column, std::string_view text) {
  if (auto fault = text_fault(text)) return wrong(what, *fault);
  if (auto fault = length_fault(column, text)) return wrong(what, *fault);
  std::string cell;
  put_cell(cell, text);
  return cell;
}

template <class Int>
Result<std::string> integer_cell(const std::string& what, const Column& column, int64_t number) {
  if (number < std::numeric_limits<Int>::min() || number > std::numeric_limits<Int>::max()) {
    return wrong(what,
                 "is " + std::to_string(number) + ", outside the range of the column's type " + column.type);
  }
  std::string bytes, cell;
  put_int(bytes, static_cast<Int>(number));
  put_cell(cell, bytes);
  return cell;
}

Result<std::string> integer_cell(const std::string& what, const Column& column, int64_t number) {
  if (column.codec == Codec::int2) return integer_cell<int16_t>(what, column, number);
  if (column.codec == Codec::int4) return integer_cell<int32_t>(what, column, number);
  return integer_cell<int64_t>(what, column, number);
}

// '{1,NULL,"x"}'
Result<std::string> array_text(const std::string& what, const Column& column, const model::Array& array) {
  std::string out = "{";
  for (const Value& element : array) {
    if (out.size() > 1) out += ',';
    const bool fits = element.is_null() || (column.element == FieldKind::boolean && element.is_bool()) ||
                      (column.element == FieldKind::string && element.is_string()) ||
                      ((column.element == FieldKind::float32 || column.element == FieldKind::float64) &&
                       std::holds_alternative<double>(element.data)) ||
                      ((column.element == FieldKind::int16 || column.element == FieldKind::int32 ||
                        column.element == FieldKind::int64) &&
                       element.is_integer()) ||
                      column.element == FieldKind::json;
    if (!fits) return wrong(what, "has an element of another type than the column's " + column.type);
    if (element.is_null()) {
      out += "NULL";
    } else if (element.is_string() || column.element == FieldKind::json) {
      auto text = element.is_string() && column.element != FieldKind::json
                      ? Result<std::string>(element.string())
                      : json_text(element);
      if (!text) return wrong(what, text.error().message);
      if (auto fault = text_fault(*text)) return wrong(what, *fault);
      if (auto fault = length_fault(column, *text)) return wrong(what, *fault);
      out += '"';
      for (const char c : *text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
      }
      out += '"';
    } else {
      auto text = json_text(element);
      if (!text) return wrong(what, text.error().message);
      out += *text;
    }
  }
  return out + "}";
}

Result<std::string> field_cell(const Column& column, const Value& value) {
  const std::string what = "metadata." + column.name;
  const auto other_type = [&] { return wrong(what, "is of another type than the column's " + column.type); };
  std::string cell;
  switch (column.codec) {
    case Codec::boolean:
      if (!value.is_bool()) return other_type();
      put_cell(cell, std::string(1, std::get<bool>(value.data) ? '\1' : '\0'));
      return cell;
    case Codec::int2:
    case Codec::int4:
    case Codec::int8:
      if (!std::holds_alternative<int64_t>(value.data)) return other_type();
      return integer_cell(what, column, std::get<int64_t>(value.data));
    case Codec::float4:
    case Codec::float8: {
      const auto* number = std::get_if<double>(&value.data);
      if (number == nullptr) return other_type();
      if (column.codec == Codec::float8) {
        put_cell(cell, bytes_of(*number));
        return cell;
      }
      const auto narrow = static_cast<float>(*number);
      if (std::isfinite(*number) && static_cast<double>(narrow) != *number)
        return wrong(what, "has more digits than the column's type real holds");
      put_cell(cell, bytes_of(narrow));
      return cell;
    }
    case Codec::text:
    case Codec::as_text:
      if (!value.is_string()) return other_type();
      return text_cell(what, column, value.string());
    case Codec::jsonb: {
      auto bytes = jsonb_bytes(value);
      if (!bytes) return bytes.error().within(what);
      put_cell(cell, *bytes);
      return cell;
    }
    case Codec::array: {
      if (!value.is_array()) return other_type();
      auto text = array_text(what, column, value.array());
      if (!text) return text.error();
      put_cell(cell, *text);
      return cell;
    }
    default: return other_type();
  }
}

Result<std::string> vector_cell(const Column& column, const std::string& name, const model::Vector& vector) {
  const std::string what = name.empty() ? "vector" : "vector." + name;
  const auto* dense = std::get_if<model::DenseVector>(&vector);
  if ((dense != nullptr) == (column.codec == Codec::sparsevec)) {
    return wrong(what, std::string("is ") + (dense != nullptr ? "dense" : "sparse") + ", the column is " +
                           column.type);
  }
  if (dense != nullptr && column.dimension > 0 && dense->size() != column.dimension) {
    return wrong(what, "has " + std::to_string(dense->size()) + " dimensions, the column holds " +
                           std::to_string(column.dimension));
  }
  auto bytes = dense == nullptr ? sparsevec_bytes(std::get<model::SparseVector>(vector), column.dimension)
               : column.codec == Codec::halfvec ? halfvec_bytes(*dense)
                                                : vector_bytes(*dense);
  if (!bytes) return wrong(what, bytes.error().message);
  std::string cell;
  put_cell(cell, *bytes);
  return cell;
}

Result<std::string> metadata_cell(const Table& table, const model::Record& record) {
  std::string cell;
  if (!record.metadata) {
    put_null(cell);
    return cell;
  }
  model::Object rest;
  bool in_columns = false;
  for (const auto& [name, value] : *record.metadata) {
    if (table.field_column(name) == nullptr) {
      rest.emplace(name, value);
    } else {
      in_columns = in_columns || !value.is_null();
    }
  }
  // With a field in a column of its own there is metadata anyway; '{}' would say no more.
  if (rest.empty() && in_columns) {
    put_null(cell);
    return cell;
  }
  auto bytes = jsonb_bytes(std::move(rest));
  if (!bytes) return Error{Code::invalid, "metadata." + bytes.error().message};
  put_cell(cell, *bytes);
  return cell;
}

Result<std::string> cell_of(const Table& table, size_t column_index, const model::Record& record) {
  const Column& column = table.columns[column_index];
  std::string null;
  put_null(null);
  if (column_index == table.id) return id_cell(column, record.key.id);
  if (column_index == table.partition) return text_cell("partition", column, record.key.partition);
  if (column_index == table.document)
    return record.document ? text_cell("document", column, *record.document) : Result<std::string>(null);
  if (column_index == table.metadata) return metadata_cell(table, record);
  if (std::ranges::find(table.vectors, column_index) != table.vectors.end()) {
    for (const auto& [name, vector] : record.vectors) {
      if (table.vector_column(name) == &column) return vector_cell(column, name, vector);
    }
    return null;
  }
  if (!record.metadata) return null;
  const auto value = record.metadata->find(column.name);
  // JSON null is a value of a json column, elsewhere it is absence.
  if (value == record.metadata->end() || (value->second.is_null() && column.codec != Codec::jsonb))
    return null;
  return field_cell(column, value->second);
}

// Parts that have no column at all.
Result<void> check_parts(const Table& table, const model::Record& record) {
  for (const auto& [name, vector] : record.vectors) {
    if (table.vector_column(name) == nullptr)
      return wrong("vector." + name, "has no column in table " + table.name);
  }
  if (record.document && !table.document) return wrong("document", "has no column in table " + table.name);
  if (!record.key.partition.empty() && !table.partition)
    return wrong("partition", "has no column in table " + table.name);
  if (!record.metadata || table.metadata) return {};
  for (const auto& [name, value] : *record.metadata) {
    const Column* column = table.field_column(name);
    if (column == nullptr)
      return wrong("metadata." + name.substr(0, 80),
                   "has no column in table " + table.name + ", which has no column 'metadata' either");
  }
  return {};
}

}  // namespace

std::vector<size_t> written_columns(const Table& table) {
  std::vector<size_t> columns;
  if (table.partition) columns.push_back(*table.partition);
  columns.push_back(*table.id);
  for (size_t i = 0; i < table.columns.size(); ++i) {
    if (i != table.id && i != table.partition && !table.columns[i].generated) columns.push_back(i);
  }
  return columns;
}

Result<Row> to_row(const Table& table, std::span<const size_t> columns, const model::Record& record) {
  if (auto fine = check_parts(table, record); !fine) return fine.error();
  Row row;
  for (const size_t column : columns) {
    auto cell = cell_of(table, column, record);
    if (!cell) return cell.error();
    row.cells += *cell;
    row.ends.push_back(static_cast<uint32_t>(row.cells.size()));
  }
  return row;
}

Result<std::string> id_cell(const Column& column, const Id& id) {
  const auto other_kind = [&] {
    return wrong("id '" + model::to_string(id).substr(0, 80) + "'",
                 "is of another kind than the column's " + column.type);
  };
  std::string cell;
  switch (column.codec) {
    case Codec::text:
      if (id.kind() != model::IdKind::string) return other_kind();
      return text_cell("id", column, std::get<std::string>(id.value));
    case Codec::uuid: {
      if (id.kind() != model::IdKind::uuid) return other_kind();
      const auto& bytes = std::get<model::Uuid>(id.value).bytes;
      put_cell(cell, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
      return cell;
    }
    case Codec::numeric:
      if (id.kind() != model::IdKind::u64) return other_kind();
      put_cell(cell, numeric_of(std::get<uint64_t>(id.value)));
      return cell;
    default:
      if (id.kind() != model::IdKind::i64) return other_kind();
      return integer_cell("id", column, std::get<int64_t>(id.value));
  }
}

Parameter id_array(const Table& table, size_t count, std::string_view cells) {
  const Column& column = table.id_column();
  const unsigned element = column.cell_type({});
  switch (column.codec) {
    case Codec::text: return {oid::text_array, array_of(element, count, cells)};
    case Codec::uuid: return {oid::uuid_array, array_of(element, count, cells)};
    case Codec::numeric: return {oid::numeric_array, array_of(element, count, cells)};
    case Codec::int2: return {oid::int2_array, array_of(element, count, cells)};
    case Codec::int4: return {oid::int4_array, array_of(element, count, cells)};
    default: return {oid::int8_array, array_of(element, count, cells)};
  }
}

Parameter id_parameter(const Table& table, const Id& id) {
  const auto cell = id_cell(table.id_column(), id);
  return {table.id_column().cell_type({}), cell ? cell->substr(4) : std::string()};
}

// --- back

Selection::Selection(const Table& table, const model::Schema& schema, Parts parts)
    : table_(table), parts_(parts), vector_names_(table.columns.size()) {
  columns_ = {*table.id};
  if (table.partition) columns_.push_back(*table.partition);
  if (parts.vectors) columns_.insert(columns_.end(), table.vectors.begin(), table.vectors.end());
  if (parts.document && table.document) columns_.push_back(*table.document);
  if (parts.metadata && table.metadata) columns_.push_back(*table.metadata);
  if (parts.metadata) {
    for (const size_t i : table.fields) {
      if (!table.columns[i].generated) columns_.push_back(i);
    }
  }
  for (const size_t i : table.vectors) vector_names_[i] = table.columns[i].name;
  for (const auto& field : schema.vectors) {
    if (const Column* column = table.vector_column(field.name))
      vector_names_[static_cast<size_t>(column - table.columns.data())] = field.name;
  }
  for (const size_t i : columns_) list_ += (list_.empty() ? "" : ", ") + table.columns[i].select();
}

Result<model::Record> Selection::record(const Answer& answer, int row, int first) const {
  model::Record record;
  for (size_t i = 0; i < columns_.size(); ++i) {
    const int at = first + static_cast<int>(i);
    if (answer.is_null(row, at)) continue;
    const size_t index = columns_[i];
    const Column& column = table_.columns[index];
    const std::string_view bytes = answer.at(row, at);
    if (index == table_.id) {
      if (column.codec == Codec::text) {
        record.key.id.value = std::string(bytes);
      } else if (column.codec == Codec::uuid) {
        model::Uuid uuid;
        std::copy_n(bytes.begin(), std::min<size_t>(bytes.size(), 16), uuid.bytes.begin());
        record.key.id.value = uuid;
      } else if (column.codec == Codec::numeric) {
        auto number = u64_of_numeric(bytes);
        if (!number) return number.error();
        record.key.id.value = *number;
      } else {
        record.key.id.value = column.codec == Codec::int2   ? static_cast<int64_t>(get_int<int16_t>(bytes))
                              : column.codec == Codec::int4 ? static_cast<int64_t>(get_int<int32_t>(bytes))
                                                            : get_int<int64_t>(bytes);
      }
    } else if (index == table_.partition) {
      record.key.partition = bytes;
    } else if (index == table_.document) {
      record.document = std::string(bytes);
    } else if (column.codec == Codec::vector || column.codec == Codec::halfvec) {
      auto vector = column.codec == Codec::vector ? vector_of(bytes) : halfvec_of(bytes);
      if (!vector) return vector.error();
      record.vectors.emplace(vector_names_[index], std::move(*vector));
    } else if (column.codec == Codec::sparsevec) {
      auto vector = sparsevec_of(bytes);
      if (!vector) return vector.error();
      record.vectors.emplace(vector_names_[index], std::move(*vector));
    } else if (index == table_.metadata) {
      auto value = value_of_jsonb(bytes);
      if (!value) return value.error().within("metadata of record '" + model::to_string(record.key.id) + "'");
      if (!record.metadata) record.metadata.emplace();
      if (value->is_object()) {
        record.metadata->merge(value->object());
      } else {
        (*record.metadata)[column.name] = std::move(*value);  // not ours: carried under the column's name
      }
    } else {
      if (!record.metadata) record.metadata.emplace();
      if (record.metadata->contains(column.name)) {
        return Error{Code::precondition,
                     "record '" + model::to_string(record.key.id) + "' of table " + table_.name + " has '" +
                         column.name + "' twice, as a column and inside 'metadata': take one of them away"};
      }
      if (auto done = take_field(*record.metadata, column, bytes); !done) return done.error();
    }
  }
  return record;
}

Result<void> Selection::take_field(model::Object& metadata, const Column& column,
                                   std::string_view bytes) const {
  Value& field = metadata[column.name];
  switch (column.codec) {
    case Codec::boolean: field = Value(bytes == std::string_view("\1", 1)); break;
    case Codec::int2: field = Value(static_cast<int64_t>(get_int<int16_t>(bytes))); break;
    case Codec::int4: field = Value(static_cast<int64_t>(get_int<int32_t>(bytes))); break;
    case Codec::int8: field = Value(get_int<int64_t>(bytes)); break;
    case Codec::float4: field = Value(static_cast<double>(get_float(bytes))); break;
    case Codec::float8: field = Value(get_double(bytes)); break;
    case Codec::text:
    case Codec::as_text: field = Value(bytes); break;
    default: {  // jsonb, and arrays as jsonb
      auto value = value_of_jsonb(bytes);
      if (!value) return value.error().within("metadata." + column.name);
      const bool real = column.codec == Codec::array &&
                        (column.element == FieldKind::float32 || column.element == FieldKind::float64);
      if (real && value->is_array()) {
        for (Value& element : value->array()) {
          if (element.is_integer()) element = Value(element.number());  // to_jsonb writes 1.0 as 1
        }
      }
      field = std::move(*value);
    }
  }
  return {};
}

}  // namespace vmproxy::protocols::pgvector
