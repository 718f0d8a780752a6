// Messages that Milvus' calls share: status, schemas, columns, ids. Written from the field numbers of
// milvus-proto 2.5 (common.proto, schema.proto); what we do not use is kept as raw fields where it must
// survive.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "protocols/wire/protobuf.h"

namespace vmproxy::protocols::milvus {

inline constexpr uint64_t window_max = 16384;  // Milvus' own bound on offset + limit

using wire::ProtoReader;
using wire::ProtoWriter;

enum class DataType : int32_t {
  none = 0,
  boolean = 1,
  int8 = 2,
  int16 = 3,
  int32 = 4,
  int64 = 5,
  float32 = 10,
  float64 = 11,
  string = 20,
  varchar = 21,
  array = 22,
  json = 23,
  geometry = 24,
  binary_vector = 100,
  float_vector = 101,
  float16_vector = 102,
  bfloat16_vector = 103,
  sparse_vector = 104,
};
bool is_vector(DataType type);
std::string_view name_of(DataType type);  // "VarChar", as Milvus words it

enum class Consistency : int32_t { strong = 0, session = 1, bounded = 2, eventually = 3, customized = 4 };

enum class ReadCall { query, search };
// Behind a whole QueryRequest or SearchRequest: what it has to show, whatever it or its collection says. Everything up to this
// timestamp; 0: consistency level Strong. Of a field that comes twice the last one counts (protobuf's rule).
void ask_for(ProtoWriter& request, ReadCall call, uint64_t timestamp);

using Pairs = std::vector<std::pair<std::string, std::string>>;  // repeated KeyValuePair
const std::string* find(const Pairs& pairs, std::string_view key);
void set(Pairs& pairs, std::string_view key, std::string_view value);
// Of a repeated field of KeyValuePair.
void read_pair(ProtoReader& field, Pairs& pairs);
void write_pairs(ProtoWriter& out, uint32_t field, const Pairs& pairs);

// The outcome in every answer; the HTTP and gRPC status are those of a success even when the call failed.
struct Status {
  int32_t error_code = 0;  // before 2.3
  int32_t code = 0;        // since 2.3
  std::string reason;
  bool retriable = false;
  std::string detail;
  bool ok() const { return error_code == 0 && code == 0; }
};
std::optional<Status> read_status(std::string_view bytes);
std::string encode(const Status& status);

struct FieldSchema {
  int64_t id = 0;
  std::string name;
  bool primary = false;
  std::string description;
  DataType type = DataType::none;
  Pairs type_params;
  Pairs index_params;
  bool auto_id = false;
  DataType element = DataType::none;
  bool dynamic = false;
  bool partition_key = false;
  bool nullable = false;
  bool function_output = false;
  std::optional<std::string> default_value;  // a ValueField
  std::string rest;                          // fields we do not use
};
std::optional<FieldSchema> read_field_schema(std::string_view bytes);
std::string encode(const FieldSchema& field);
uint32_t number_param(const FieldSchema& field, std::string_view name);  // "dim", "max_length", ...; 0: none

struct CollectionSchema {
  std::string name;
  std::string description;
  bool auto_id = false;
  std::vector<FieldSchema> fields;
  bool dynamic = false;
  Pairs properties;
  std::string rest;

  const FieldSchema* primary() const;
  const FieldSchema* find(std::string_view name) const;
  bool partition_key() const;
};
std::optional<CollectionSchema> read_collection_schema(std::string_view bytes);
std::string encode(const CollectionSchema& schema);

// FieldData: one field of many rows. Which member holds the values follows from `type`.
struct Column {
  DataType type = DataType::none;
  std::string name;
  int64_t field_id = 0;
  bool dynamic = false;
  std::vector<uint8_t> valid;  // nullable fields: one for each row; the values may leave out the null rows

  std::vector<uint8_t> booleans;      // boolean
  std::vector<int32_t> ints;          // int8, int16, int32
  std::vector<int64_t> longs;         // int64
  std::vector<float> floats;          // float32, float_vector
  std::vector<double> doubles;        // float64
  std::vector<std::string> texts;     // string, varchar, json, geometry, sparse_vector
  std::vector<Column> arrays;         // array: a row each
  DataType element = DataType::none;  // array
  int64_t dimension = 0;              // vectors
  std::string packed;                 // binary_vector, float16_vector, bfloat16_vector

  size_t values() const;  // rows that have a value here
  size_t rows() const { return valid.empty() ? values() : valid.size(); }
};
std::optional<Column> read_column(std::string_view bytes);
std::string encode(const Column& column);

struct Ids {
  std::vector<int64_t> longs;
  std::vector<std::string> texts;
};
std::optional<Ids> read_ids(std::string_view bytes);
std::string encode(const Ids& ids);

}  // namespace vmproxy::protocols::milvus
