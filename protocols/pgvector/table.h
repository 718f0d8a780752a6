// Table: one table of the database as it really is, and which column holds what part of a record.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/schema.h"
#include "protocols/pgvector/connection.h"

namespace vmproxy::protocols::pgvector {

enum class Codec : uint8_t {
  boolean,
  int2,
  int4,
  int8,
  float4,
  float8,
  text,
  uuid,
  numeric,
  jsonb,
  vector,
  halfvec,
  sparsevec,
  array,    // of a scalar type: carried as JSON
  as_text,  // any other type, by its text form
};

struct Column {
  std::string name;
  std::string type;  // as SQL writes it: "vector(384)", "bigint", "my.enum"
  std::string bare;  // the same behind its domains and without its length: a cast to varchar(4) would cut
  Codec codec = Codec::as_text;
  model::FieldKind element = model::FieldKind::json;  // of an array
  uint32_t dimension = 0;                             // of a vector; 0: any
  uint32_t length_max = 0;                            // of varchar(n), in characters; 0: any
  bool not_null = false;
  bool generated = false;  // the database writes it
  std::string comment;

  // How a row of the table t shows it, so that the answer is in the codec's form.
  std::string select() const;
  // The type of its cells in an array that is unnested into the table, and what turns one into the column's
  // type.
  unsigned cell_type(const ExtensionTypes& types) const;
  std::string array_type() const;
  std::string assign(const std::string& cell) const;
  // Its cells can stand in a row of binary COPY.
  bool copies() const { return codec != Codec::array && codec != Codec::as_text && type != "json"; }
};

struct VectorIndex {
  std::string name;
  std::string column;
  std::string method;   // "hnsw", "ivfflat"
  std::string opclass;  // "vector_cosine_ops"
  bool valid = true;
};

struct Table {
  std::string schema, name;
  std::vector<Column> columns;  // all, in the table's order
  std::optional<size_t> id, partition, document, metadata;
  std::vector<size_t> vectors, fields;
  std::vector<VectorIndex> indexes;
  double rows_estimate = -1;  // of the planner; -1: never analysed

  std::string qualified() const;  // "schema"."name"
  const Column& id_column() const { return columns[*id]; }
  model::IdKind id_kind() const;
  // The column of a vector field; the nameless one is "embedding" or the only one there is.
  const Column* vector_column(const std::string& field) const;
  const Column* field_column(const std::string& field) const;
  // Whether an index answers nearest-neighbour queries of this metric exactly in order.
  const VectorIndex* index_for(const Column& column, model::Metric metric) const;
};

inline constexpr std::string_view nameless_column = "embedding";

// The operator class for an index of this column and metric: "vector_cosine_ops".
std::string opclass_of(const Column& column, model::Metric metric);
std::optional<model::Metric> metric_of_opclass(std::string_view opclass);
std::string_view name_of(model::Metric metric);

// Nothing: there is no such table. Error unsupported ("table.primary_key: ..."): it cannot be a collection,
// and why. With `declared` the columns are given the roles that this schema says; else they are guessed by
// name and type.
Result<std::optional<Table>> look_up(Connection& connection, const std::string& schema,
                                     const std::string& name, const model::Schema* declared,
                                     Deadline deadline);
// Where look_up() found nothing. Error unsupported ("table.name: ..."): something that is no table keeps one from being made.
Result<void> name_is_free(Connection& connection, const std::string& schema, const std::string& name,
                          Deadline deadline);
// What the table declares, as the model says it.
model::Schema schema_of(const Table& table);

}  // namespace vmproxy::protocols::pgvector
