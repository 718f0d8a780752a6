// Indexes, built after the copy. HNSW with the metric's operator class, without stopping writes
// (CONCURRENTLY). Where an index could refuse a record there is none: searches are exact then.
#include "base/log.h"
#include "protocols/pgvector/cell.h"
#include "protocols/pgvector/driver.h"
#include "protocols/pgvector/shown_number.h"

namespace vmproxy::protocols::pgvector {
namespace {

// Above these an HNSW index of pgvector refuses the column.
constexpr uint32_t vector_index_max = 2000;
constexpr uint32_t halfvec_index_max = 4000;

// Nothing, or why this column gets no index: searches are then exact, by reading every row.
std::optional<std::string> no_index_because(const Column& column) {
  // One vector with more would end the build for ever, and be refused once there is an index.
  if (column.codec == Codec::sparsevec)
    return "an HNSW index on sparsevec holds vectors of at most 1000 entries, the column up to 16000";
  if (column.dimension == 0) return "its dimension is not known";
  if (column.codec == Codec::vector && column.dimension > vector_index_max)
    return "an HNSW index on vector holds at most 2000 dimensions";
  if (column.codec == Codec::halfvec && column.dimension > halfvec_index_max)
    return "an HNSW index on halfvec holds at most 4000 dimensions";
  return std::nullopt;
}

// The first is for people; the others are for where somebody else has that one.
std::string index_name(const Table& table, const Column& column, int choice) {
  std::string name = table.name + "_" + column.name + "_hnsw";
  if (choice > 0)
    name = "vector_" + short_hash(table.qualified() + "." + quoted(column.name) + std::to_string(choice)) +
           "_hnsw";
  if (name.size() > 63) name = "vector_" + short_hash(name) + "_hnsw";
  return name;
}

// A name that nothing has. What a build of this table that did not end left under it is dropped; everything else is not ours: the
// index of a table that was renamed, or whose name and column read the same when joined.
Result<std::string> free_name(Connection& connection, const Table& table, const Column& column,
                              Deadline deadline) {
  for (int choice = 0;; ++choice) {
    const std::string name = index_name(table, column, choice);
    auto holder = connection.run(
        "SELECT CASE WHEN t.relname = $3 AND NOT i.indisvalid THEN 't' ELSE 'f' END FROM pg_class c JOIN "
        "pg_namespace n ON n.oid = c.relnamespace AND n.nspname = $1 AND c.relname = $2"
        " LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_class t ON t.oid = i.indrelid",
        std::vector<Parameter>{{oid::text, table.schema}, {oid::text, name}, {oid::text, table.name}},
        deadline);
    if (!holder) return holder.error();
    if (holder->rows() == 0) return name;
    if (holder->at(0, 0) != "t") continue;
    auto cleared =
        connection.script("DROP INDEX IF EXISTS " + quoted(table.schema) + "." + quoted(name), deadline);
    if (!cleared) return cleared.error();
    return name;
  }
}

// m and ef_construction, when the schema names them in pgvector's own words.
std::string storage_parameters(const model::Value& index) {
  std::string out;
  for (const char* name : {"m", "ef_construction"}) {
    const model::Value* value = index.find(name);
    if (value == nullptr || !value->is_integer()) continue;
    out += (out.empty() ? " WITH (" : ", ") + std::string(name) + " = " +
           std::to_string(static_cast<int64_t>(value->number()));
  }
  return out.empty() ? out : out + ")";
}

// The one dimension that all vectors of a column without a declared one have; 0 when they differ or there are
// none.
Result<uint32_t> dimension_found(Connection& connection, const Table& table, const Column& column,
                                 Deadline deadline) {
  const std::string name = quoted(column.name);
  auto found =
      connection.run("SELECT coalesce(min(vector_dims(" + name + ")), 0)::text, coalesce(max(vector_dims(" +
                         name + ")), 0)::text FROM " + table.qualified(),
                     {}, deadline);
  if (!found) return found.error();
  const auto least = shown_number<uint32_t>(found->at(0, 0), "the least dimension in " + name);
  if (!least) return least.error();
  return found->at(0, 0) == found->at(0, 1) ? *least : 0U;
}

}  // namespace

Result<void> PgvectorDriver::build_indexes(const model::Schema& schema, Deadline deadline) {
  tables_.forget(schema.name.name);
  auto work = begin(schema, deadline - clock_.now(), deadline);
  if (!work) return work.error();
  Connection& connection = *work->connection;
  const Table& table = *work->table;
  // The build sorts in memory as long as it can; two workers beside the leader would leave nothing for the
  // application on a small machine.
  auto tuned = connection.script(
      "SET maintenance_work_mem = '256MB'; SET max_parallel_maintenance_workers = 1", deadline);
  if (!tuned) return tuned.error();

  for (const auto& field : schema.vectors) {
    const Column* declared = table.vector_column(field.name);
    if (declared == nullptr)
      return Error{Code::precondition, "vector." + field.name + ": has no column in table " + table.name};
    Column column = *declared;
    if (column.dimension == 0 && column.codec != Codec::sparsevec) {
      auto dimension = dimension_found(connection, table, column, deadline);
      if (!dimension) return failed(schema, connection, dimension.error());
      if (*dimension != 0) {
        const std::string type =
            (column.codec == Codec::halfvec ? "halfvec(" : "vector(") + std::to_string(*dimension) + ")";
        auto typed = change(
            connection,
            "ALTER TABLE " + table.qualified() + " ALTER COLUMN " + quoted(column.name) + " TYPE " + type,
            deadline);
        if (!typed) return failed(schema, connection, typed.error());
        column.dimension = *dimension;
      }
    }
    if (const auto why = no_index_because(column)) {
      log::info("no index; searches read every row",
                {{"table", table.name}, {"column", column.name}, {"why", *why}});
      continue;
    }
    if (table.index_for(column, field.metric) != nullptr) continue;
    const auto name = free_name(connection, table, column, deadline);
    if (!name) return failed(schema, connection, name.error());
    auto built =
        connection.script("CREATE INDEX CONCURRENTLY " + quoted(*name) + " ON " + table.qualified() +
                              " USING hnsw (" + quoted(column.name) + " " + opclass_of(column, field.metric) +
                              ")" + storage_parameters(field.index),
                          deadline);
    if (!built) return failed(schema, connection, built.error());
  }
  auto analysed = connection.script("ANALYZE " + table.qualified(), deadline);
  if (!analysed) return failed(schema, connection, analysed.error());
  auto reset =
      connection.script("RESET maintenance_work_mem; RESET max_parallel_maintenance_workers", deadline);
  tables_.forget(schema.name.name);
  return reset ? Result<void>() : reset.error();
}

}  // namespace vmproxy::protocols::pgvector
