// The copy's side: ranges of the primary key, and pages of a range in key order.
//
// A range is [from, to) in the order of the table's own primary key index, either end open; its bytes hold
// the two keys, so it means the same after a restart, whatever was written meanwhile. A cursor is the key of
// the last record seen.
#include <algorithm>
#include <cmath>

#include "model/codec.h"
#include "protocols/pgvector/cell.h"
#include "protocols/pgvector/driver.h"

namespace vmproxy::protocols::pgvector {
namespace {

constexpr uint8_t format = 1;
constexpr double count_exactly_below = 50'000;
constexpr size_t samples_per_range = 200;

struct Bounds {
  std::optional<model::Key> from, to;
};

ScanRange encode_range(const Bounds& bounds) {
  model::Writer out;
  out.u8(format);
  for (const auto* end : {&bounds.from, &bounds.to}) {
    out.u8(end->has_value());
    if (*end) out.key(**end);
  }
  return {out.take()};
}

Result<Bounds> decode_range(const std::string& bytes) {
  model::Reader in(bytes);
  Bounds bounds;
  const uint8_t version = in.u8();
  for (auto* end : {&bounds.from, &bounds.to}) {
    if (in.u8() != 0) *end = in.key();
  }
  if (version != format || !in.done())
    return Error{Code::corrupt, "a scan range of an unknown form (version " + std::to_string(version) + ")"};
  return bounds;
}

std::string order_columns(const Table& table) {
  const std::string id = "t." + quoted(table.id_column().name);
  return table.partition ? "t.\"partition\", " + id : id;
}

// "(t.partition, t.id) > ($1, $2)"
std::string bound(const Table& table, std::string_view comparison, const model::Key& key,
                  std::vector<Parameter>& parameters) {
  std::string values;
  if (table.partition) {
    parameters.push_back({oid::text, key.partition});
    values = "$" + std::to_string(parameters.size()) + ", ";
  }
  parameters.push_back(id_parameter(table, key.id));
  values += "$" + std::to_string(parameters.size());
  return "(" + order_columns(table) + ") " + std::string(comparison) + " (" + values + ")";
}

}  // namespace

Result<std::vector<ScanRange>> PgvectorDriver::plan_scan(const model::Schema& schema, size_t ranges_wanted,
                                                         Deadline deadline) {
  auto work = begin(schema, std::chrono::minutes(5), deadline);
  if (!work) return work.error();
  const Table& table = *work->table;
  std::vector<ScanRange> ranges;
  if (ranges_wanted <= 1) {
    ranges.push_back(encode_range({}));
    return ranges;
  }
  // Bounds from a sample of the keys: pages of the table at random when it is large, else all keys.
  std::string sample;
  const double wanted = static_cast<double>(ranges_wanted * samples_per_range);
  if (table.rows_estimate > std::max(count_exactly_below, 2 * wanted)) {
    const double percent = std::min(100.0, std::max(0.01, 100 * wanted / table.rows_estimate));
    sample = " TABLESAMPLE SYSTEM (" + std::to_string(percent) + ")";
  }
  const Selection keys(table, schema, {false, false, false});
  const std::string order = order_columns(table);
  auto answer = work->connection->run(
      "SELECT " + keys.list() + " FROM (SELECT t.*, row_number() OVER (ORDER BY " + order +
          ") AS place, count(*) OVER () AS total FROM (SELECT " + order + " FROM " + table.qualified() +
          " t" + sample +
          ") t) t WHERE place > 1 AND ((place - 1) * $1) / total > ((place - 2) * $1) / total ORDER BY place",
      std::vector<Parameter>{{oid::int8, bytes_of(static_cast<int64_t>(ranges_wanted))}}, deadline);
  if (!answer) return failed(schema, *work->connection, answer.error());
  Bounds bounds;
  for (int row = 0; row < answer->rows(); ++row) {
    auto record = keys.record(*answer, row);
    if (!record) return failed(schema, *work->connection, record.error());
    bounds.to = record->key;
    ranges.push_back(encode_range(bounds));
    bounds.from = std::move(bounds.to);
    bounds.to.reset();
  }
  ranges.push_back(encode_range(bounds));
  return ranges;
}

Result<ScanPage> PgvectorDriver::scan(const model::Schema& schema, const ScanRange& range,
                                      const std::string& cursor, size_t records_max, ReadParts parts,
                                      Deadline deadline) {
  auto bounds = decode_range(range.bytes);
  if (!bounds) return bounds.error();
  std::optional<model::Key> last;
  if (!cursor.empty()) {
    last = model::decode_key(cursor);
    if (!last) return Error{Code::corrupt, "a scan cursor of an unknown form"};
  }
  auto work = begin(schema, std::chrono::minutes(1), deadline);
  if (!work) return work.error();
  const Table& table = *work->table;
  for (const auto* key : {&last, &bounds->from, &bounds->to}) {
    if (*key && (*key)->id.kind() != table.id_kind()) {
      return Error{
          Code::precondition,
          "table " + table.name + " has ids of another type than when the scan was planned; plan it again"};
    }
  }
  std::vector<Parameter> parameters;
  std::string where;
  const auto also = [&](std::string condition) {
    where += (where.empty() ? " WHERE " : " AND ") + std::move(condition);
  };
  if (last) {
    also(bound(table, ">", *last, parameters));
  } else if (bounds->from) {
    also(bound(table, ">=", *bounds->from, parameters));
  }
  if (bounds->to) also(bound(table, "<", *bounds->to, parameters));
  records_max = std::clamp<size_t>(records_max, 1, 100'000);
  const Selection selection(table, schema, {parts.vectors, parts.content, parts.content});
  auto answer =
      work->connection->run("SELECT " + selection.list() + " FROM " + table.qualified() + " t" + where +
                                " ORDER BY " + order_columns(table) + " LIMIT " + std::to_string(records_max),
                            parameters, deadline);
  if (!answer) return failed(schema, *work->connection, answer.error());
  ScanPage page;
  page.records.reserve(static_cast<size_t>(answer->rows()));
  for (int row = 0; row < answer->rows(); ++row) {
    auto record = selection.record(*answer, row);
    if (!record) return failed(schema, *work->connection, record.error());
    page.records.push_back(std::move(*record));
  }
  page.done = page.records.size() < records_max;
  page.cursor = page.records.empty() ? cursor : model::encode(page.records.back().key);
  return page;
}

}  // namespace vmproxy::protocols::pgvector
