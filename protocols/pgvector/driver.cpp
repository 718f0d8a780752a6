#include "protocols/pgvector/driver.h"

#include <algorithm>

#include "protocols/pgvector/cell.h"
#include "protocols/pgvector/sqlstate.h"

namespace vmproxy::protocols::pgvector {
namespace {

Capabilities capabilities_here() {
  Capabilities here;
  here.read_after_write = true;
  here.max_exec = attempt_bound;
  here.max_zombie = attempt_bound;
  here.id_u64 = here.id_i64 = here.id_uuid = here.id_string = true;
  here.id_bytes_max = 2600;  // an entry of a btree index holds about 2700 bytes
  here.partitions = true;
  here.documents = true;
  here.named_vectors = true;
  here.sparse_vectors = true;
  here.vectors_f16 = true;
  here.dimension_max = dense_dimension_max;
  here.metadata_objects = here.metadata_arrays = here.metadata_arrays_any = true;
  here.metadata_nulls = here.metadata_empty = here.metadata_u64 = true;
  here.declared_fields = here.declared_nullable = true;
  here.exact_search = true;
  here.insert_only = true;
  here.batch_records_max = 5000;
  return here;
}

LeftOut left_out_table(const std::string& name, std::string why) {
  const std::string remedy =
      why.starts_with("table.primary_key")
          ? "give it a primary key of one column (ALTER TABLE ... ADD PRIMARY KEY)"
      : why.starts_with("id.kind") ? "give it a primary key of type text, integer, uuid or numeric(20,0)"
      : why.starts_with("table.materialized_view")
          ? "make it a table with a primary key (CREATE TABLE ... AS SELECT), or leave it out by name "
            "and make it anew on the target"
          : "copy it from the database that has its rows";
  return {{"", name}, std::move(why), remedy};
}

// A few steps only, so that a session seldom has to be told a new limit.
std::chrono::milliseconds step_at_least(Duration wanted) {
  for (const int ms : {250, 500, 1000, 2000, 5000, 15'000, 60'000, 300'000, 3'600'000}) {
    if (std::chrono::milliseconds(ms) >= wanted) return std::chrono::milliseconds(ms);
  }
  return std::chrono::milliseconds(86'400'000);
}

}  // namespace

PgvectorDriver::PgvectorDriver(Address address, Clock& clock, size_t connections_max)
    : pool_(std::move(address), clock, connections_max),
      tables_(pool_.address().schema, clock),
      clock_(clock),
      capabilities_(capabilities_here()) {}

Result<Pool::Lease> PgvectorDriver::connect(Duration limit, Deadline deadline) {
  auto connection = pool_.take(deadline);
  if (!connection) return connection.error();
  const Duration wanted = std::min<Duration>(limit, deadline - clock_.now());
  // Only for what may write is the limit a promise (max_exec); a session that reads and writes in turn need
  // not be told a new one each time.
  const bool or_more = limit != write_limit;
  if (auto limited = (*connection)->limit_statements(step_at_least(wanted), or_more, deadline); !limited) {
    // Only a setting was sent.
    return Error{limited.error().surely_not_done() ? limited.error().code : Code::refused_connection,
                 limited.error().message};
  }
  return connection;
}

Result<PgvectorDriver::Work> PgvectorDriver::begin(const model::Schema& schema, Duration limit,
                                                   Deadline deadline) {
  auto connection = connect(limit, deadline);
  if (!connection) return connection.error();
  auto table = tables_.get(**connection, schema, deadline);
  if (!table) {
    // Only the catalogue was read.
    return Error{table.error().surely_not_done() ? table.error().code : Code::refused_connection,
                 table.error().message};
  }
  return Work{std::move(*connection), std::move(*table)};
}

std::string PgvectorDriver::guard(const Connection& connection, Deadline deadline) const {
  return connection.guard(std::min(deadline, clock_.now() + start_window));
}

Result<void> PgvectorDriver::change(Connection& connection, const std::string& sql, Deadline deadline) {
  auto done = connection.script("SELECT " + guard(connection, deadline) + "; " + sql, deadline);
  return done ? Result<void>() : done.error();
}

Error PgvectorDriver::failed(const model::Schema& schema, const Connection& connection, const Error& error) {
  // The table is not what we knew: look again at the next call.
  if (error.code == Code::not_found || error.code == Code::precondition ||
      connection.sqlstate().starts_with("42"))
    tables_.forget(schema.name.name);
  return error.code == Code::unsupported ? error
                                         : error.within("table " + tables_.schema() + "." + schema.name.name);
}

Result<ServerInfo> PgvectorDriver::describe_server(Deadline deadline) {
  auto connection = connect(std::chrono::seconds(15), deadline);
  if (!connection) return connection.error();
  if ((*connection)->types().version.empty()) {
    if (auto learnt = (*connection)->learn_types(deadline); !learnt) return learnt.error();
  }
  auto state = (*connection)
                   ->run(
                       "SELECT current_database()::text, pg_is_in_recovery()::text, "
                       "current_setting('default_transaction_read_only'),"
                       " (SELECT count(*) FROM pg_namespace WHERE nspname = $1)::text",
                       std::vector<Parameter>{{oid::text, tables_.schema()}}, deadline);
  if (!state) return state.error();
  const auto& types = (*connection)->types();
  if (types.version.empty()) {
    return Error{Code::precondition, "database '" + state->text(0, 0) + "' at " + pool_.address().shown +
                                         " has no extension 'vector': run CREATE EXTENSION vector; in it"};
  }
  if (state->text(0, 3) == "0") {
    return Error{Code::not_found, "database '" + state->text(0, 0) + "' has no schema '" + tables_.schema() +
                                      "': create it, or name another with ?schema= in the url"};
  }
  ServerInfo info;
  info.version = "PostgreSQL " + (*connection)->server_version() + ", pgvector " + types.version;
  info.facts = model::Object{{"postgresql", (*connection)->server_version()},
                             {"pgvector", types.version},
                             {"database", state->text(0, 0)},
                             {"schema", tables_.schema()},
                             {"read_only", state->text(0, 1) == "true" || state->text(0, 2) == "on"}};
  return info;
}

Result<std::vector<Space>> PgvectorDriver::list_spaces(Deadline) {
  return std::vector<Space>();
}

Result<std::vector<model::Schema>> PgvectorDriver::list_collections(Deadline deadline) {
  auto found = list_all(deadline);
  if (!found) return found.error();
  return std::move(found->collections);
}

// All tables with a vector column: those that are collections, and the others.
Result<Holdings> PgvectorDriver::list_all(Deadline deadline) {
  auto connection = connect(std::chrono::seconds(60), deadline);
  if (!connection) return connection.error();
  auto names = (*connection)
                   ->run(
                       "SELECT DISTINCT c.relname::text, c.relkind::text FROM pg_class c JOIN pg_namespace n "
                       "ON n.oid = c.relnamespace AND n.nspname = $1"
                       " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
                       "JOIN pg_type t ON t.oid = a.atttypid"
                       " WHERE c.relkind IN ('r', 'p', 'f', 'm') AND NOT c.relispartition AND t.typname IN "
                       "('vector', 'halfvec', 'sparsevec') ORDER BY 1",
                       std::vector<Parameter>{{oid::text, tables_.schema()}}, deadline);
  if (!names) return names.error();
  Holdings found;
  for (int row = 0; row < names->rows(); ++row) {
    const std::string name = names->text(row, 0);
    if (names->text(row, 1) == "f") {
      found.left_out.push_back(left_out_table(name, "table.foreign: table " + tables_.schema() + "." + name +
                                                        " is a foreign table; another server has its rows"));
      continue;
    }
    if (names->text(row, 1) == "m") {
      found.left_out.push_back(
          left_out_table(name, "table.materialized_view: " + tables_.schema() + "." + name +
                                   " is a materialized view; its rows are made of other tables"));
      continue;
    }
    auto table = look_up(**connection, tables_.schema(), name, nullptr, deadline);
    if (!table && table.error().code == Code::unsupported) {
      found.left_out.push_back(left_out_table(name, table.error().message));
      continue;
    }
    if (!table) return table.error();
    if (*table) found.collections.push_back(schema_of(**table));
  }
  return found;
}

Result<std::optional<model::Schema>> PgvectorDriver::describe(const model::CollectionName& name,
                                                              Deadline deadline) {
  auto connection = connect(std::chrono::seconds(15), deadline);
  if (!connection) return connection.error();
  auto table = look_up(**connection, tables_.schema(), name.name, nullptr, deadline);
  if (!table) return table.error();
  if (!*table) {
    if (auto free = name_is_free(**connection, tables_.schema(), name.name, deadline); !free)
      return free.error();
    return std::optional<model::Schema>();
  }
  if ((*table)->vectors.empty()) {
    return Error{Code::unsupported, "table.vector: table " + tables_.schema() + "." + name.name +
                                        " has no column of type vector, halfvec or sparsevec"};
  }
  return std::optional(schema_of(**table));
}

model::CollectionName PgvectorDriver::name_for(const model::CollectionName& name) const {
  // The space that others use unless told otherwise has no say in the name; every other one stands in it.
  const bool plain =
      name.space.empty() || name.space == "default" || name.space == "default_tenant/default_database";
  std::string text = plain ? name.name : name.space + "/" + name.name;
  std::ranges::replace(text, '\0', '_');
  constexpr size_t identifier_bytes_max = 63;
  if (text.size() > identifier_bytes_max || text.empty() ||
      text != (plain ? name.name : name.space + "/" + name.name)) {
    size_t keep = std::min<size_t>(text.size(), identifier_bytes_max - 9);
    while (keep > 0 && keep < text.size() && (static_cast<uint8_t>(text[keep]) & 0xc0) == 0x80)
      --keep;  // whole characters
    text = text.substr(0, keep) + "_" + short_hash(model::to_string(name));
  }
  return {"", text};
}

}  // namespace vmproxy::protocols::pgvector
