// Reading and writing records by key.
//
// Two ways into a table, by measurement (README): binary COPY straight into it, the fastest, for records that
// are new; and one INSERT .. SELECT FROM unnest(arrays) .. ON CONFLICT, which also replaces or leaves alone
// what exists. Either is one statement that commits by itself, so an ERROR proves that none of its records
// was stored, and a refused record is found by halving.
#include <algorithm>
#include <map>

#include "protocols/pgvector/cell.h"
#include "protocols/pgvector/driver.h"
#include "protocols/pgvector/sqlstate.h"

namespace vmproxy::protocols::pgvector {
namespace {

constexpr size_t statement_rows_max = 2000;
constexpr size_t statement_bytes_max = 8 << 20;
constexpr size_t piece_bytes = 256 << 10;  // of a COPY, given to libpq at once
constexpr int deadlock_tries = 3;

struct Numbered {
  size_t index;  // in the caller's batch
  Row row;
};

// Writes encoded rows with one connection, halving what fails because of a record.
class Writer {
 public:
  Writer(Connection& connection, const Table& table, UpsertMode mode, std::function<std::string()> guard,
         Deadline deadline)
      : connection_(connection),
        table_(table),
        mode_(mode),
        guard_(std::move(guard)),
        deadline_(deadline),
        columns_(written_columns(table)) {
    copies_ = mode == UpsertMode::insert_only &&
              std::ranges::all_of(columns_, [&](size_t i) { return table.columns[i].copies(); });
  }

  Result<void> write(std::span<const Numbered> rows) {
    while (!rows.empty()) {
      size_t count = 0;
      for (size_t bytes = 0;
           count < rows.size() && count < statement_rows_max && (count == 0 || bytes < statement_bytes_max);
           ++count) {
        bytes += rows[count].row.cells.size();
      }
      if (auto done = write_some(rows.first(count)); !done) return done;
      rows = rows.subspan(count);
    }
    return {};
  }

  ApplyResult result;
  std::optional<Error> refusal;  // of the whole call: all or none
  bool wrote = false;            // some records are stored for certain

 private:
  Result<void> write_some(std::span<const Numbered> rows) {
    Result<void> done = copies_ ? copy(rows) : insert(rows);
    if (!done && copies_ && connection_.sqlstate() == sqlstate::unique_violation) {
      // A record exists already: our own from before, or a newer one of the application.
      copies_ = false;
      done = insert(rows);
    }
    for (int tries = 1; !done && connection_.sqlstate() == sqlstate::deadlock && tries < deadlock_tries;
         ++tries)
      done = insert(rows);
    if (done) {
      wrote = true;
      return done;
    }
    const bool too_long = connection_.sqlstate() == sqlstate::query_canceled;
    if (!connection_.usable() || !(too_long || is_fault_of_a_record(connection_.sqlstate())) ||
        (too_long && rows.size() == 1))
      return done;
    if (all_or_none(mode_) && !wrote && !too_long) {
      refusal = Error{Code::invalid, done.error().message};
      return done;
    }
    if (rows.size() == 1) {
      result.refused.push_back({rows[0].index, Error{Code::invalid, done.error().message}});
      return {};
    }
    const size_t half = rows.size() / 2;
    if (auto first = write_some(rows.first(half)); !first) return first;
    return write_some(rows.subspan(half));
  }

  std::string column_list() const {
    std::string list;
    for (const size_t i : columns_) list += (list.empty() ? "" : ", ") + quoted(table_.columns[i].name);
    return list;
  }

  // Header (signature, flags, extension), rows (int16 count, cells), trailer.
  Result<void> copy(std::span<const Numbered> rows) {
    std::vector<std::string> pieces(1, std::string("PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", 19));
    for (const auto& row : rows) {
      if (pieces.back().size() > piece_bytes)
        pieces.emplace_back().reserve(piece_bytes + row.row.cells.size() + 2);
      put_int(pieces.back(), static_cast<int16_t>(columns_.size()));
      pieces.back() += row.row.cells;
    }
    put_int(pieces.back(), int16_t{-1});
    return connection_.copy_in("COPY " + table_.qualified() + " (" + column_list() +
                                   ") FROM STDIN (FORMAT binary) WHERE " + guard_(),
                               pieces, deadline_);
  }

  Result<void> insert(std::span<const Numbered> rows) {
    std::vector<Parameter> parameters;
    std::string arrays, names, values, updates;
    for (size_t at = 0; at < columns_.size(); ++at) {
      const Column& column = table_.columns[columns_[at]];
      std::string cells;
      for (const auto& row : rows) cells += row.row.cell(at);
      parameters.push_back({0, array_of(column.cell_type(connection_.types()), rows.size(), cells)});
      const std::string number = std::to_string(at + 1);
      arrays += (at == 0 ? "$" : ", $") + number + "::" + column.array_type();
      names += (at == 0 ? "c" : ", c") + number;
      values += (at == 0 ? "" : ", ") + column.assign("u.c" + number);
      if (columns_[at] != table_.id && columns_[at] != table_.partition) {
        updates += (updates.empty() ? "" : ", ") + quoted(column.name) + " = excluded." + quoted(column.name);
      }
    }
    const bool replace = !inserts(mode_) && !updates.empty();
    const std::string key =
        (table_.partition ? quoted("partition") + ", " : std::string()) + quoted(table_.id_column().name);
    const std::string sql = "INSERT INTO " + table_.qualified() + " (" + column_list() + ") SELECT " +
                            values + " FROM unnest(" + arrays + ") AS u(" + names + ") WHERE " + guard_() +
                            " ON CONFLICT (" + key + ") DO " +
                            (replace ? "UPDATE SET " + updates : "NOTHING");
    auto done = connection_.run(sql, parameters, deadline_);
    return done ? Result<void>() : done.error();
  }

  Connection& connection_;
  const Table& table_;
  const UpsertMode mode_;
  const std::function<std::string()> guard_;
  const Deadline deadline_;
  const std::vector<size_t> columns_;
  bool copies_ = false;
};

// Distinct keys as array parameters; keys that the table cannot hold are in no record of it.
struct KeyArrays {
  size_t count = 0;
  std::vector<Parameter> parameters;  // ids, partitions
  std::string join;                   // "unnest($1, $2) AS k(id, partition)" and the condition

  KeyArrays(const Table& table, std::span<const model::Key> keys) {
    std::string ids, partitions;
    for (const auto& key : keys) {
      auto cell = id_cell(table.id_column(), key.id);
      if (!cell || text_fault(key.partition) || (!table.partition && !key.partition.empty())) continue;
      ids += *cell;
      put_cell(partitions, key.partition);
      ++count;
    }
    parameters.push_back(id_array(table, count, ids));
    if (table.partition) parameters.push_back({oid::text_array, array_of(oid::text, count, partitions)});
  }

  // Where table `t` has one of the keys.
  static std::string condition(const Table& table) {
    const std::string id = "t." + quoted(table.id_column().name);
    if (!table.partition) return id + " = ANY($1)";
    return "(" + id +
           ", t.\"partition\") IN (SELECT k.id, k.partition FROM unnest($1, $2) AS k(id, partition))";
  }
};

}  // namespace

Result<std::vector<model::Record>> PgvectorDriver::read(const model::Schema& schema,
                                                        std::span<const model::Key> keys, ReadParts parts,
                                                        Deadline deadline) {
  std::vector<model::Record> records;
  if (keys.empty()) return records;
  auto work =
      begin(schema, write_limit, deadline);  // as a write, so that a session of the mirror keeps its limit
  if (!work) return work.error();
  const Table& table = *work->table;
  const Selection selection(table, schema, {parts.vectors, parts.content, parts.content});
  const std::string sql =
      "SELECT " + selection.list() + " FROM " + table.qualified() + " t WHERE " + KeyArrays::condition(table);
  for (size_t begin = 0; begin < keys.size(); begin += statement_rows_max) {
    const KeyArrays wanted(table, keys.subspan(begin, std::min(statement_rows_max, keys.size() - begin)));
    auto answer = work->connection->run(sql, wanted.parameters, deadline);
    if (!answer) return failed(schema, *work->connection, answer.error());
    for (int row = 0; row < answer->rows(); ++row) {
      auto record = selection.record(*answer, row);
      if (!record) return failed(schema, *work->connection, record.error());
      records.push_back(std::move(*record));
    }
  }
  return records;
}

Result<ApplyResult> PgvectorDriver::upsert(const model::Schema& schema,
                                           std::span<const model::Record> records, UpsertMode mode,
                                           Deadline deadline) {
  if (records.empty()) return ApplyResult{};
  auto work = begin(schema, write_limit, deadline);
  if (!work) return work.error();
  const Table& table = *work->table;
  Writer writer(*work->connection, table, mode, [&] { return guard(*work->connection, deadline); }, deadline);

  // One statement cannot touch a row twice. Sorted by key, so that batches that share keys lock them in one
  // order.
  std::map<model::Key, size_t> last;
  for (size_t i = 0; i < records.size(); ++i) {
    if (!inserts(mode)) {
      last[records[i].key] = i;
    } else {
      last.emplace(records[i].key, i);
    }
  }
  const auto columns = written_columns(table);
  std::vector<Numbered> rows;
  rows.reserve(last.size());
  for (const auto& [key, index] : last) {
    auto row = to_row(table, columns, records[index]);
    if (row) {
      rows.push_back({index, std::move(*row)});
    } else {
      writer.result.refused.push_back({index, row.error()});
    }
  }
  if (all_or_none(mode) && !writer.result.refused.empty()) return writer.result.refused.front().error;
  if (auto done = writer.write(rows); !done) {
    if (writer.refusal) return *writer.refusal;
    return failed(schema, *work->connection, done.error()).not_whole(writer.wrote);
  }
  std::ranges::sort(writer.result.refused, {}, &Refusal::index);
  return std::move(writer.result);
}

Result<ApplyResult> PgvectorDriver::erase(const model::Schema& schema, std::span<const model::Key> keys,
                                          Deadline deadline) {
  if (keys.empty()) return ApplyResult{};
  auto work = begin(schema, write_limit, deadline);
  if (!work) return work.error();
  const Table& table = *work->table;
  ApplyResult result;
  bool some_done = false;
  // A record that another table refers to cannot go, which must not keep the others: halved like an upsert.
  struct Part {
    size_t begin, count;
  };
  std::vector<Part> parts;
  for (size_t begin = 0; begin < keys.size(); begin += statement_rows_max)
    parts.push_back({begin, std::min(statement_rows_max, keys.size() - begin)});
  std::ranges::reverse(parts);
  int deadlocks = 0;
  while (!parts.empty()) {
    const Part part = parts.back();
    parts.pop_back();
    const KeyArrays wanted(table, keys.subspan(part.begin, part.count));
    if (wanted.count == 0) continue;
    auto done =
        work->connection->run("DELETE FROM " + table.qualified() + " t WHERE " + KeyArrays::condition(table) +
                                  " AND " + guard(*work->connection, deadline),
                              wanted.parameters, deadline);
    if (done) {
      some_done = true;
      continue;
    }
    const std::string& state = work->connection->sqlstate();
    if (work->connection->usable() && state == sqlstate::deadlock && ++deadlocks < deadlock_tries) {
      parts.push_back(part);
    } else if (work->connection->usable() && is_fault_of_a_record(state) && part.count == 1) {
      result.refused.push_back({part.begin, Error{Code::invalid, done.error().message}});
    } else if (work->connection->usable() && part.count > 1 &&
               (is_fault_of_a_record(state) || state == sqlstate::query_canceled)) {
      parts.push_back({part.begin + part.count / 2, part.count - part.count / 2});
      parts.push_back({part.begin, part.count / 2});
    } else {
      return failed(schema, *work->connection, done.error()).not_whole(some_done);
    }
  }
  return result;
}

}  // namespace vmproxy::protocols::pgvector
