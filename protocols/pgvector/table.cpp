#include "protocols/pgvector/table.h"

#include <algorithm>
#include <array>

#include "protocols/pgvector/address.h"
#include "protocols/pgvector/cell.h"
#include "protocols/pgvector/shown_number.h"

namespace vmproxy::protocols::pgvector {
namespace {

using model::FieldKind;
using model::IdKind;
using model::Metric;

// What is known of a type: its codec, the field it declares, its array.
struct TypeRow {
  std::string_view name;  // pg_type.typname
  Codec codec;
  FieldKind kind;
  unsigned cell;
  std::string_view array;
};
constexpr std::array types{
    TypeRow{"bool", Codec::boolean, FieldKind::boolean, oid::boolean, "boolean[]"},
    TypeRow{"int2", Codec::int2, FieldKind::int16, oid::int2, "smallint[]"},
    TypeRow{"int4", Codec::int4, FieldKind::int32, oid::int4, "integer[]"},
    TypeRow{"int8", Codec::int8, FieldKind::int64, oid::int8, "bigint[]"},
    TypeRow{"float4", Codec::float4, FieldKind::float32, oid::float4, "real[]"},
    TypeRow{"float8", Codec::float8, FieldKind::float64, oid::float8, "double precision[]"},
    TypeRow{"text", Codec::text, FieldKind::string, oid::text, "text[]"},
    TypeRow{"varchar", Codec::text, FieldKind::string, oid::text, "text[]"},
    TypeRow{"uuid", Codec::uuid, FieldKind::string, oid::uuid, "uuid[]"},
    TypeRow{"numeric", Codec::numeric, FieldKind::string, oid::numeric, "numeric[]"},
    TypeRow{"jsonb", Codec::jsonb, FieldKind::json, oid::jsonb, "jsonb[]"},
    TypeRow{"json", Codec::jsonb, FieldKind::json, oid::jsonb, "jsonb[]"},
    TypeRow{"vector", Codec::vector, FieldKind::array, 0, "vector[]"},
    TypeRow{"halfvec", Codec::halfvec, FieldKind::array, 0, "halfvec[]"},
    TypeRow{"sparsevec", Codec::sparsevec, FieldKind::array, 0, "sparsevec[]"},
};

const TypeRow* row_of(std::string_view name) {
  const auto* row = std::ranges::find(types, name, &TypeRow::name);
  return row == types.end() ? nullptr : row;
}
const TypeRow& row_of(Codec codec) {
  const auto* row = std::ranges::find(types, codec, &TypeRow::codec);
  return row == types.end() ? *row_of("text") : *row;  // arrays and others travel as text
}

bool is_vector(Codec codec) {
  return codec == Codec::vector || codec == Codec::halfvec || codec == Codec::sparsevec;
}

}  // namespace

std::string Column::select() const {
  const std::string self = "t." + quoted(name);
  if (codec == Codec::text || codec == Codec::as_text) return self + "::text";
  if (type == "json") return self + "::jsonb";
  if (codec != Codec::array) return self;
  const bool real = element == FieldKind::float32;  // 0.1 as real must not become the double 0.1
  return "to_jsonb(" + self + (real ? "::double precision[])" : ")");
}

unsigned Column::cell_type(const ExtensionTypes& extension) const {
  if (codec == Codec::vector) return extension.vector;
  if (codec == Codec::halfvec) return extension.halfvec;
  if (codec == Codec::sparsevec) return extension.sparsevec;
  return row_of(codec).cell;
}

std::string Column::array_type() const {
  return std::string(row_of(codec).array);
}

std::string Column::assign(const std::string& cell) const {
  return copies() ? cell : cell + "::" + bare;
}

std::string Table::qualified() const {
  return quoted(schema) + "." + quoted(name);
}

IdKind Table::id_kind() const {
  switch (id_column().codec) {
    case Codec::uuid: return IdKind::uuid;
    case Codec::numeric: return IdKind::u64;
    case Codec::text: return IdKind::string;
    default: return IdKind::i64;
  }
}

const Column* Table::vector_column(const std::string& field) const {
  for (const size_t i : vectors) {
    if (columns[i].name == (field.empty() ? nameless_column : field)) return &columns[i];
  }
  return field.empty() && vectors.size() == 1 ? &columns[vectors[0]] : nullptr;
}

const Column* Table::field_column(const std::string& field) const {
  for (const size_t i : fields) {
    if (columns[i].name == field) return &columns[i];
  }
  return nullptr;
}

const VectorIndex* Table::index_for(const Column& column, Metric metric) const {
  for (const auto& index : indexes) {
    if (index.valid && index.method == "hnsw" && index.column == column.name &&
        index.opclass == opclass_of(column, metric))
      return &index;
  }
  return nullptr;
}

std::string opclass_of(const Column& column, Metric metric) {
  const std::string_view prefix = column.codec == Codec::halfvec     ? "halfvec"
                                  : column.codec == Codec::sparsevec ? "sparsevec"
                                                                     : "vector";
  const std::string_view kind = metric == Metric::l2       ? "_l2_ops"
                                : metric == Metric::cosine ? "_cosine_ops"
                                                           : "_ip_ops";
  return std::string(prefix) + std::string(kind);
}

std::optional<Metric> metric_of_opclass(std::string_view opclass) {
  if (opclass.ends_with("_cosine_ops")) return Metric::cosine;
  if (opclass.ends_with("_ip_ops")) return Metric::inner_product;
  if (opclass.ends_with("_l2_ops")) return Metric::l2;
  return std::nullopt;
}

std::string_view name_of(Metric metric) {
  switch (metric) {
    case Metric::l2: return "l2";
    case Metric::cosine: return "cosine";
    case Metric::inner_product: return "inner_product";
  }
  return "l2";
}

// --- from the catalogue

namespace {

Error refused(const Table& table, const std::string& code, const std::string& why) {
  return {Code::unsupported, code + ": table " + table.schema + "." + table.name + " " + why};
}

Result<Column> column_from(const Table& table, const Answer& answer, int row) {
  Column column;
  column.name = answer.text(row, 0);
  column.type = answer.text(row, 1);
  const std::string type = answer.text(row, 2);
  const std::string element = answer.text(row, 3);
  const auto shown = shown_number<int>(
      answer.at(row, 4), "the type's modifier of " + table.schema + "." + table.name + "." + column.name);
  if (!shown) return shown.error();
  const int modifier = *shown;
  column.not_null = answer.at(row, 5) == "t";
  column.generated = answer.at(row, 6) == "t";
  column.comment = answer.text(row, 7);
  column.bare = answer.text(row, 9);
  constexpr int header_bytes = 4;  // counted in the modifier
  if ((type == "varchar" || element == "varchar") && modifier > header_bytes)
    column.length_max = static_cast<uint32_t>(modifier - header_bytes);
  if (const TypeRow* known = row_of(type)) {
    column.codec = known->codec;
    if (is_vector(known->codec) && modifier > 0) column.dimension = static_cast<uint32_t>(modifier);
  } else if (const TypeRow* of = row_of(element); of != nullptr && !is_vector(of->codec) &&
                                                  of->codec != Codec::uuid && of->codec != Codec::numeric) {
    column.codec = Codec::array;
    column.element = of->kind;
  }
  return column;
}

Result<void> give_roles(Table& table, const std::vector<std::string>& primary,
                        const model::Schema* declared) {
  if (primary.empty())
    return refused(table, "table.primary_key", "has no primary key; a record cannot be named");
  const bool partitioned = primary.size() == 2 && primary[0] == "partition";
  if (primary.size() > 1 && !partitioned) {
    return refused(table, "table.primary_key",
                   "has a primary key of " + std::to_string(primary.size()) + " columns; one is needed");
  }
  const auto is_declared = [&](const std::string& name) {
    return declared != nullptr &&
           std::ranges::find(declared->fields, name, &model::Field::name) != declared->fields.end();
  };
  for (size_t i = 0; i < table.columns.size(); ++i) {
    Column& column = table.columns[i];
    if (column.name == primary.back()) {
      table.id = i;
    } else if (partitioned && column.name == primary[0]) {
      if (column.codec != Codec::text)
        return refused(table, "table.primary_key", "has a column 'partition' that is not text");
      table.partition = i;
    } else if (is_vector(column.codec)) {
      table.vectors.push_back(i);
    } else if (column.name == "document" && column.codec == Codec::text && !is_declared(column.name)) {
      table.document = i;
    } else if (column.name == "metadata" && column.codec == Codec::jsonb && !is_declared(column.name)) {
      table.metadata = i;
    } else {
      if (column.codec == Codec::uuid || column.codec == Codec::numeric) column.codec = Codec::as_text;
      table.fields.push_back(i);
    }
  }
  if (!table.id || (partitioned && !table.partition)) {
    // The columns and the key were asked for one after the other; they are of one table at the next look.
    const std::string& unknown = table.id ? primary.front() : primary.back();
    return Error{Code::precondition, "table " + table.schema + "." + table.name +
                                         " was altered meanwhile: its primary key has '" + unknown +
                                         "', which was no column of it yet"};
  }
  const Column& id = table.id_column();
  const bool whole = id.codec != Codec::numeric || id.type.ends_with(",0)") || id.type == "numeric";
  if (id.codec == Codec::uuid || id.codec == Codec::int2 || id.codec == Codec::int4 ||
      id.codec == Codec::int8 || id.codec == Codec::text || (id.codec == Codec::numeric && whole)) {
    return {};
  }
  return refused(table, "id.kind",
                 "has ids of type " + id.type + "; text, integers, uuid and numeric(20,0) can be carried");
}

}  // namespace

Result<std::optional<Table>> look_up(Connection& connection, const std::string& schema,
                                     const std::string& name, const model::Schema* declared,
                                     Deadline deadline) {
  const std::vector<Parameter> which{{oid::text, schema}, {oid::text, name}};
  const std::string from =
      " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = $1 AND c.relname = $2 "
      "AND c.relkind IN ('r', 'p') ";
  auto columns = connection.run(
      "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), CASE WHEN t.typtype = 'b' THEN "
      "t.typname::text ELSE '' END,"
      " CASE WHEN t.typcategory = 'A' THEN coalesce(e.typname::text, '') ELSE '' END, a.atttypmod::text,"
      " CASE WHEN a.attnotnull THEN 't' ELSE 'f' END, CASE WHEN a.attgenerated <> '' OR a.attidentity = 'a' "
      "THEN 't' ELSE 'f' END,"
      " coalesce(col_description(c.oid, a.attnum), ''), c.reltuples::text, (WITH RECURSIVE b(type) AS (SELECT "
      "a.atttypid UNION ALL SELECT d.typbasetype FROM b JOIN pg_type d ON d.oid = b.type AND d.typtype = 'd') "
      "SELECT format_type(b.type, -1) FROM b JOIN pg_type d ON d.oid = b.type AND d.typtype <> 'd')" +
          from +
          "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped JOIN pg_type t "
          "ON t.oid = a.atttypid"
          " LEFT JOIN pg_type e ON e.oid = t.typelem ORDER BY a.attnum",
      which, deadline);
  if (!columns) return columns.error();
  if (columns->rows() == 0) return std::optional<Table>();
  Table table;
  table.schema = schema;
  table.name = name;
  for (int row = 0; row < columns->rows(); ++row) {
    auto column = column_from(table, *columns, row);
    if (!column) return column.error();
    table.columns.push_back(std::move(*column));
  }
  const auto estimate =
      shown_number<double>(columns->at(0, 8), "the number of rows of " + schema + "." + name);
  if (!estimate) return estimate.error();
  table.rows_estimate = *estimate;

  auto indexes = connection.run(
      "SELECT ic.relname::text, a.attname::text, m.amname::text, o.opcname::text, CASE WHEN i.indisvalid "
      "THEN 't' ELSE 'f' END,"
      " CASE WHEN i.indisprimary THEN 't' ELSE 'f' END" +
          from +
          "JOIN pg_index i ON i.indrelid = c.oid AND (i.indisprimary OR (i.indpred IS NULL AND i.indexprs IS "
          "NULL))"
          " JOIN pg_class ic ON ic.oid = i.indexrelid JOIN pg_am m ON m.oid = ic.relam"
          " CROSS JOIN LATERAL unnest(i.indkey::int2[], i.indclass::oid[]) WITH ORDINALITY k(attnum, "
          "opclass, position)"
          " JOIN pg_opclass o ON o.oid = k.opclass JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = "
          "k.attnum"
          " WHERE i.indisprimary OR m.amname IN ('hnsw', 'ivfflat') ORDER BY ic.relname, k.position",
      which, deadline);
  if (!indexes) return indexes.error();
  std::vector<std::string> primary;
  for (int row = 0; row < indexes->rows(); ++row) {
    if (indexes->at(row, 5) == "t") {
      primary.push_back(indexes->text(row, 1));
    } else {
      table.indexes.push_back({indexes->text(row, 0), indexes->text(row, 1), indexes->text(row, 2),
                               indexes->text(row, 3), indexes->at(row, 4) == "t"});
    }
  }
  if (auto fine = give_roles(table, primary, declared); !fine) return fine.error();
  return std::optional(std::move(table));
}

Result<void> name_is_free(Connection& connection, const std::string& schema, const std::string& name,
                          Deadline deadline) {
  // A table may have been made since. It is also a type of its name, and pushes aside an array type that has it.
  auto taken = connection.run(
      "SELECT CASE c.relkind WHEN 'v' THEN 'a view' WHEN 'm' THEN 'a materialized view' WHEN 'S' THEN 'a "
      "sequence' WHEN 'i' THEN 'an index' WHEN 'I' THEN 'an index' WHEN 'f' THEN 'a foreign table' ELSE 'a "
      "type' END FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = $1 AND "
      "c.relname = $2 AND c.relkind NOT IN ('r', 'p') UNION ALL SELECT 'a type' FROM pg_type t JOIN "
      "pg_namespace n ON n.oid = t.typnamespace AND n.nspname = $1 AND t.typname = $2 AND t.typrelid = 0"
      " WHERE NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)",
      std::vector<Parameter>{{oid::text, schema}, {oid::text, name}}, deadline);
  if (!taken) return taken.error();
  if (taken->rows() == 0) return {};
  return Error{Code::unsupported, "table.name: " + schema + "." + name + " is " + taken->text(0, 0) +
                                      ", and no table can be made under its name"};
}

// --- as the model says it

namespace {

model::VectorField vector_field(const Table& table, const Column& column) {
  model::VectorField field;
  // Nameless only where create() said so: in somebody else's table "embedding" is a name like any other.
  const bool nameless = column.name == nameless_column && column.comment.starts_with("distance: ");
  field.name = nameless ? "" : column.name;
  field.kind = column.codec == Codec::sparsevec ? model::VectorKind::sparse
               : column.codec == Codec::halfvec ? model::VectorKind::dense_f16
                                                : model::VectorKind::dense_f32;
  field.dimension =
      column.codec == Codec::sparsevec && column.dimension == sparse_dimension_max ? 0 : column.dimension;
  // The column's comment is what create() left there; an index says more about how the column is really used.
  for (const Metric metric : {Metric::l2, Metric::cosine, Metric::inner_product}) {
    if (column.comment.ends_with("distance: " + std::string(name_of(metric)))) field.metric = metric;
  }
  for (const auto& index : table.indexes) {
    if (index.column != column.name) continue;
    if (const auto metric = metric_of_opclass(index.opclass)) field.metric = *metric;
    field.index = model::Object{{"type", index.method}, {"opclass", index.opclass}, {"name", index.name}};
  }
  return field;
}

model::Field declared_field(const Column& column) {
  model::Field field;
  field.name = column.name;
  field.nullable = !column.not_null;
  field.kind = column.codec == Codec::array     ? FieldKind::array
               : column.codec == Codec::as_text ? FieldKind::string
                                                : row_of(column.codec).kind;
  field.element = column.element;
  field.length_max = column.length_max;
  return field;
}

}  // namespace

model::Schema schema_of(const Table& table) {
  model::Schema schema;
  schema.name.name = table.name;
  schema.id_name = table.id_column().name;
  schema.id_kind = table.id_kind();
  for (const size_t i : table.vectors) schema.vectors.push_back(vector_field(table, table.columns[i]));
  for (const size_t i : table.fields) {
    if (!table.columns[i].generated) schema.fields.push_back(declared_field(table.columns[i]));
  }
  schema.dynamic = table.metadata.has_value();
  schema.has_document = table.document.has_value();
  if (table.partition) schema.partitions = {""};
  model::Object types_of_columns;
  for (const auto& column : table.columns) types_of_columns[column.name] = column.type;
  schema.native = model::Object{{"schema", table.schema},
                                {"rows_estimate", table.rows_estimate},
                                {"columns", std::move(types_of_columns)}};
  return schema;
}

}  // namespace vmproxy::protocols::pgvector
