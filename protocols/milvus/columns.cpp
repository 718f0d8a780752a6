// FieldData: schema.proto's ScalarField and VectorField under it.
//
//   FieldData   1 type  2 name  3 ScalarField  4 VectorField  5 id  6 dynamic  7 valid
//   ScalarField 1 bool 2 int 3 long 4 float 5 double 6 string 7 bytes 8 array 9 json 10 geometry: each a list
//   VectorField 1 dim  2 floats  3 binary  4 f16  5 bf16  6 sparse
#include <algorithm>

#include "protocols/milvus/messages.h"

namespace vmproxy::protocols::milvus {
namespace {

constexpr int array_depth_max = 8;

bool read_scalars(std::string_view bytes, Column& column, int depth);

// ArrayArray: 1 ScalarField for each row, 2 type of the elements.
bool read_arrays(std::string_view bytes, Column& column, int depth) {
  if (depth == 0) return false;
  ProtoReader reader(bytes);
  while (reader.next()) {
    if (reader.field() == 1) {
      Column row;
      if (!read_scalars(reader.bytes(), row, depth - 1)) return false;
      column.arrays.push_back(std::move(row));
    }
    if (reader.field() == 2) column.element = static_cast<DataType>(reader.i32());
  }
  return reader.ok();
}

bool read_scalars(std::string_view bytes, Column& column, int depth) {
  ProtoReader reader(bytes);
  while (reader.next()) {
    if (reader.field() > 10) continue;
    if (reader.field() == 8) {
      if (!read_arrays(reader.bytes(), column, depth)) return false;
      continue;
    }
    ProtoReader list(reader.bytes());
    while (list.next()) {
      if (list.field() != 1) continue;
      switch (reader.field()) {
        case 1: list.append(column.booleans); break;
        case 2: list.append(column.ints); break;
        case 3: list.append(column.longs); break;
        case 4: list.append(column.floats); break;
        case 5: list.append(column.doubles); break;
        case 6: column.texts.push_back(list.text()); break;
        default: column.texts.emplace_back(list.bytes());
      }
    }
    if (!list.ok()) return false;
  }
  return reader.ok();
}

bool read_vectors(std::string_view bytes, Column& column) {
  ProtoReader reader(bytes);
  while (reader.next()) {
    switch (reader.field()) {
      case 1: column.dimension = reader.i64(); break;
      case 2: {
        ProtoReader list(reader.bytes());
        while (list.next()) {
          if (list.field() == 1) list.append(column.floats);
        }
        if (!list.ok()) return false;
        break;
      }
      case 3:
      case 4:
      case 5: column.packed = std::string(reader.bytes()); break;
      case 6: {
        ProtoReader list(reader.bytes());
        while (list.next()) {
          if (list.field() == 1) column.texts.emplace_back(list.bytes());
          if (list.field() == 2 && column.dimension == 0) column.dimension = list.i64();
        }
        if (!list.ok()) return false;
        break;
      }
    }
  }
  return reader.ok();
}

// Bytes of one vector in `packed`.
size_t packed_bytes(DataType type, int64_t dimension) {
  if (dimension <= 0 || dimension > (1 << 20)) return 0;
  const auto n = static_cast<size_t>(dimension);
  if (type == DataType::binary_vector && n % 8 != 0) return 0;
  return type == DataType::binary_vector ? n / 8 : n * 2;
}

uint32_t scalar_field(DataType type) {
  switch (type) {
    case DataType::boolean: return 1;
    case DataType::int8:
    case DataType::int16:
    case DataType::int32: return 2;
    case DataType::int64: return 3;
    case DataType::float32: return 4;
    case DataType::float64: return 5;
    case DataType::array: return 8;
    case DataType::json: return 9;
    case DataType::geometry: return 10;
    default: return 6;
  }
}

std::string encode_scalars(const Column& column, DataType type) {
  ProtoWriter list;
  switch (scalar_field(type)) {
    case 1: list.packed_booleans(1, column.booleans); break;
    case 2: list.packed(1, column.ints); break;
    case 3: list.packed(1, column.longs); break;
    case 4: list.packed(1, column.floats); break;
    case 5: list.packed(1, column.doubles); break;
    case 8:
      for (const auto& row : column.arrays) list.always_bytes(1, encode_scalars(row, column.element));
      list.i32(2, static_cast<int32_t>(column.element));
      break;
    default:
      for (const auto& text : column.texts) list.always_bytes(1, text);
  }
  ProtoWriter out;
  out.always_bytes(scalar_field(type), list.view());
  return out.take();
}

std::string encode_vectors(const Column& column) {
  ProtoWriter out;
  out.i64(1, column.dimension);
  switch (column.type) {
    case DataType::float_vector: {
      ProtoWriter list;
      list.packed(1, column.floats);
      out.always_bytes(2, list.view());
      break;
    }
    case DataType::binary_vector: out.always_bytes(3, column.packed); break;
    case DataType::float16_vector: out.always_bytes(4, column.packed); break;
    case DataType::bfloat16_vector: out.always_bytes(5, column.packed); break;
    default: {
      ProtoWriter list;
      for (const auto& text : column.texts) list.always_bytes(1, text);
      list.i64(2, column.dimension);
      out.always_bytes(6, list.view());
    }
  }
  return out.take();
}

}  // namespace

size_t Column::values() const {
  switch (type) {
    case DataType::float_vector: return dimension <= 0 ? 0 : floats.size() / static_cast<size_t>(dimension);
    case DataType::binary_vector:
    case DataType::float16_vector:
    case DataType::bfloat16_vector: {
      const size_t bytes = packed_bytes(type, dimension);
      return bytes == 0 ? 0 : packed.size() / bytes;
    }
    default:
      return std::max({booleans.size(), ints.size(), longs.size(), floats.size(), doubles.size(),
                       texts.size(), arrays.size()});
  }
}

std::optional<Column> read_column(std::string_view bytes) {
  Column column;
  ProtoReader reader(bytes);
  while (reader.next()) {
    switch (reader.field()) {
      case 1: column.type = static_cast<DataType>(reader.i32()); break;
      case 2: column.name = reader.text(); break;
      case 3:
        if (!read_scalars(reader.bytes(), column, array_depth_max)) return std::nullopt;
        break;
      case 4:
        if (!read_vectors(reader.bytes(), column)) return std::nullopt;
        break;
      case 5: column.field_id = reader.i64(); break;
      case 6: column.dynamic = reader.boolean(); break;
      case 7: reader.append(column.valid); break;
    }
  }
  if (!reader.ok()) return std::nullopt;
  return column;
}

std::string encode(const Column& column) {
  ProtoWriter out;
  out.i32(1, static_cast<int32_t>(column.type));
  out.bytes(2, column.name);
  out.i64(5, column.field_id);
  out.boolean(6, column.dynamic);
  out.packed_booleans(7, column.valid);
  // Members of a oneof come last, as the server's own encoder writes them.
  if (is_vector(column.type)) {
    out.always_bytes(4, encode_vectors(column));
  } else {
    out.always_bytes(3, encode_scalars(column, column.type));
  }
  return out.take();
}

}  // namespace vmproxy::protocols::milvus
