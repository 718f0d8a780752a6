// Creating, altering and dropping tables.
#include <algorithm>
#include <set>

#include "protocols/pgvector/cell.h"
#include "protocols/pgvector/driver.h"

namespace vmproxy::protocols::pgvector {
namespace {

using model::FieldKind;
using model::IdKind;
using model::VectorKind;

Error refused(const std::string& code, const std::string& why) {
  return {Code::unsupported, code + ": " + why};
}

std::string id_type(IdKind kind) {
  switch (kind) {
    case IdKind::u64: return "numeric(20,0)";
    case IdKind::i64: return "bigint";
    case IdKind::uuid: return "uuid";
    case IdKind::string:
      return "text COLLATE \"C\"";  // ids have no language; byte order is also the order of scans
  }
  return "text";
}

std::string scalar_type(FieldKind kind) {
  switch (kind) {
    case FieldKind::boolean: return "boolean";
    case FieldKind::int8:
    case FieldKind::int16: return "smallint";
    case FieldKind::int32: return "integer";
    case FieldKind::int64: return "bigint";
    case FieldKind::float32: return "real";
    case FieldKind::float64: return "double precision";
    case FieldKind::string: return "text";
    default: return "jsonb";
  }
}

std::string field_type(const model::Field& field) {
  if (field.kind != FieldKind::array) return scalar_type(field.kind);
  const bool scalar = field.element != FieldKind::json && field.element != FieldKind::array;
  return scalar ? scalar_type(field.element) + "[]" : "jsonb";
}

Result<std::string> vector_type(const model::VectorField& field) {
  const std::string dimension = field.dimension == 0 ? "" : "(" + std::to_string(field.dimension) + ")";
  switch (field.kind) {
    case VectorKind::dense_f32: return "vector" + dimension;
    case VectorKind::dense_f16: return "halfvec" + dimension;
    case VectorKind::sparse:
      return "sparsevec(" + std::to_string(field.dimension == 0 ? sparse_dimension_max : field.dimension) +
             ")";
    default:
      return refused("vector.kind", "field '" + field.name + "' is of a kind that pgvector has no type for");
  }
}

std::string column_of(const model::VectorField& field) {
  return field.name.empty() ? std::string(nameless_column) : field.name;
}

// Text in quotes for DDL, which takes no parameters.
std::string literal(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') out += '\'';
    out += c;
  }
  return out + "'";
}

std::string comment_sql(const std::string& table, const model::VectorField& field) {
  // Where no index shows the metric (yet), describe() reads it here, and whether the field has a name.
  const std::string text = (field.name.empty() ? "" : "field " + field.name + ", ") +
                           "distance: " + std::string(name_of(field.metric));
  return "; COMMENT ON COLUMN " + table + "." + quoted(column_of(field)) + " IS " + literal(text);
}

Result<void> check_names(const std::vector<std::string>& names) {
  std::set<std::string> seen;
  for (const auto& name : names) {
    if (name.empty() || name.size() > 63 || text_fault(name)) {
      return refused("names.column", "a column cannot be called '" + name.substr(0, 80) +
                                         "'; PostgreSQL takes 1 to 63 bytes of UTF-8");
    }
    if (!seen.insert(name).second)
      return refused("names.column", "two parts of a record would share the column '" + name + "'");
  }
  return {};
}

}  // namespace

Result<void> PgvectorDriver::create(const model::Schema& schema, Deadline deadline) {
  const std::string table = quoted(tables_.schema()) + "." + quoted(schema.name.name);
  std::vector<std::string> names;
  std::string columns;
  std::string comments;
  const auto add = [&](const std::string& name, const std::string& type, bool not_null = false) {
    names.push_back(name);
    columns += (columns.empty() ? "" : ", ") + quoted(name) + " " + type + (not_null ? " NOT NULL" : "");
  };
  const bool partitioned = !schema.partitions.empty();
  const std::string id = schema.id_name.empty() ? "id" : schema.id_name;
  add(id, id_type(schema.id_kind), true);
  if (partitioned) add("partition", "text COLLATE \"C\"", true);
  for (const auto& field : schema.vectors) {
    auto type = vector_type(field);
    if (!type) return type.error();
    add(column_of(field), *type);
    comments += comment_sql(table, field);
  }
  if (schema.has_document) add("document", "text");
  for (const auto& field : schema.fields) add(field.name, field_type(field), !field.nullable);
  if (schema.dynamic) add("metadata", "jsonb");
  if (auto fine = check_names(names); !fine) return fine;
  if (auto fine = check_names({schema.name.name}); !fine) return fine;

  auto connection = connect(write_limit, deadline);
  if (!connection) return connection.error();
  if ((*connection)->types().version.empty()) {
    if (auto made = change(**connection, "CREATE EXTENSION IF NOT EXISTS vector", deadline); !made) {
      return made.error().within("database " + pool_.address().shown +
                                 " has no extension 'vector', and creating it failed");
    }
    if (auto learnt = (*connection)->learn_types(deadline); !learnt) return learnt.error();
  }
  const std::string key = partitioned ? quoted("partition") + ", " + quoted(id) : quoted(id);
  auto done =
      change(**connection,
             "CREATE TABLE " + table + " (" + columns + ", PRIMARY KEY (" + key + "))" + comments, deadline);
  tables_.forget(schema.name.name);
  return done ? done : failed(schema, **connection, done.error());
}

Result<void> PgvectorDriver::alter(const model::CollectionName& now, const model::Schema& wanted,
                                   Deadline deadline) {
  // Within the bound of any other write. Giving a vector column its dimension reads every row, so on a large
  // table this fails, changing nothing; build_indexes() does it with all the time it is given.
  auto connection = connect(write_limit, deadline);
  if (!connection) return connection.error();
  tables_.forget(now.name);
  tables_.forget(wanted.name.name);
  model::Schema as_wanted = wanted;
  as_wanted.name = now;
  auto found = look_up(**connection, tables_.schema(), now.name, &as_wanted, deadline);
  if (!found) return found.error();
  if (!*found)
    return Error{Code::not_found, "table " + tables_.schema() + "." + now.name + " does not exist"};
  const Table& table = **found;

  std::string changes;
  std::string comments;
  const auto change_column = [&](const std::string& change) {
    changes += (changes.empty() ? "" : ", ") + change;
  };
  for (const auto& field : wanted.vectors) {
    auto type = vector_type(field);
    if (!type) return type.error();
    const Column* column = table.vector_column(field.name);
    if (column == nullptr) {
      change_column("ADD COLUMN " + quoted(column_of(field)) + " " + *type);
      comments += comment_sql(table.qualified(), field);
      continue;
    }
    if (field.dimension != 0 && field.kind != VectorKind::sparse && column->dimension != field.dimension) {
      change_column("ALTER COLUMN " + quoted(column->name) + " TYPE " + *type);
    }
    const std::string metric(name_of(field.metric));
    if (!column->comment.empty() && !column->comment.ends_with("distance: " + metric))
      comments += comment_sql(table.qualified(), field);
  }
  if (wanted.has_document && !table.document) change_column("ADD COLUMN document text");
  if (wanted.dynamic && !table.metadata) change_column("ADD COLUMN metadata jsonb");
  for (const auto& field : wanted.fields) {
    if (table.field_column(field.name) == nullptr && field.name != table.id_column().name)
      change_column("ADD COLUMN " + quoted(field.name) + " " + field_type(field));
  }
  std::string sql = changes.empty() ? "" : "ALTER TABLE " + table.qualified() + " " + changes;
  if (!comments.empty()) sql += sql.empty() ? comments.substr(2) : comments;
  if (wanted.name.name != now.name) {
    if (auto fine = check_names({wanted.name.name}); !fine) return fine;
    sql += (sql.empty() ? "" : "; ") +
           ("ALTER TABLE " + table.qualified() + " RENAME TO " + quoted(wanted.name.name));
  }
  if (sql.empty()) return {};
  auto done = change(**connection, sql, deadline);
  tables_.forget(now.name);
  return done ? done : failed(as_wanted, **connection, done.error());
}

Result<void> PgvectorDriver::drop(const model::CollectionName& name, Deadline deadline) {
  auto connection = connect(write_limit, deadline);
  if (!connection) return connection.error();
  tables_.forget(name.name);
  auto done =
      change(**connection, "DROP TABLE " + quoted(tables_.schema()) + "." + quoted(name.name), deadline);
  return done ? done : done.error().within("table " + tables_.schema() + "." + name.name);
}

}  // namespace vmproxy::protocols::pgvector
