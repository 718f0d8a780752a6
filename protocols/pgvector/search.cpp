// Queries: get, count and nearest neighbours.
//
// A search reads every row (exact) unless an HNSW index of this metric exists and the table is large; then
// the index is used with strict order, as long as what it gives is provably what was asked for: if it gives
// fewer hits than wanted, the search is done again exactly. (An index leaves out zero vectors under cosine,
// and may stop early behind a filter that few records pass.) A radius is always asked exactly, because the
// index knows nothing of one.
#include <algorithm>
#include <cmath>

#include "protocols/pgvector/cell.h"
#include "protocols/pgvector/driver.h"
#include "protocols/pgvector/filter_sql.h"

namespace vmproxy::protocols::pgvector {
namespace {

using model::Metric;
using model::Query;

// Below this reading all rows is as quick as an index, and exact.
constexpr double index_worth_rows = 10'000;
constexpr uint64_t index_hits_max = 1000;  // hnsw.ef_search goes no higher

struct Where {
  std::string sql = " WHERE TRUE";
  std::vector<Parameter> parameters;
};

Result<Where> where_of(const Table& table, const Query& query) {
  Where where;
  if (!query.partitions.empty()) {
    if (!table.partition)
      return Error{Code::unsupported, "partition: table " + table.name + " has no partitions"};
    std::string cells;
    for (const auto& name : query.partitions) put_cell(cells, name);
    where.parameters.push_back({oid::text_array, array_of(oid::text, query.partitions.size(), cells)});
    where.sql += " AND t.\"partition\" = ANY($" + std::to_string(where.parameters.size()) + ")";
  }
  if (query.keys) {
    std::string ids, partitions;
    size_t count = 0;
    for (const auto& key : *query.keys) {
      auto cell = id_cell(table.id_column(), key.id);
      if (!cell || text_fault(key.partition)) continue;  // in no row
      ids += *cell;
      put_cell(partitions, key.partition);
      ++count;
    }
    const std::string id = "t." + quoted(table.id_column().name);
    where.parameters.push_back(id_array(table, count, ids));
    const std::string first = "$" + std::to_string(where.parameters.size());
    if (table.partition) {
      where.parameters.push_back({oid::text_array, array_of(oid::text, count, partitions)});
      where.sql += " AND (" + id + ", t.\"partition\") IN (SELECT k.id, k.partition FROM unnest(" + first +
                   ", $" + std::to_string(where.parameters.size()) + ") AS k(id, partition))";
    } else {
      where.sql += " AND " + id + " = ANY(" + first + ")";
    }
  }
  if (query.filter) {
    auto condition = filter_sql(table, *query.filter, where.parameters);
    if (!condition) return condition.error();
    where.sql += " AND " + *condition;
  }
  return where;
}

// By id in byte order, whatever the column's own collation; of equal ids by partition.
std::string id_order(const Table& table) {
  const std::string id = "t." + quoted(table.id_column().name) +
                         (table.id_column().codec == Codec::text ? " COLLATE \"C\"" : "");
  return table.partition ? id + ", t.\"partition\" COLLATE \"C\"" : id;
}

// The first `count` records in id_order. The primary key begins with the partition, so in the order of ids it gives
// those of one partition only: each partition's first ones are taken from it, and what comes first among them.
std::string first_of_partitions(const Table& table, const std::string& list, const std::string& where,
                                uint64_t count) {
  const std::string t = table.qualified() + " t";
  return "WITH RECURSIVE p(name) AS ((SELECT t.\"partition\" FROM " + t +
         " ORDER BY 1 LIMIT 1) UNION ALL SELECT (SELECT t.\"partition\" FROM " + t +
         " WHERE t.\"partition\" > p.name ORDER BY 1 LIMIT 1) FROM p WHERE p.name IS NOT NULL) SELECT " +
         list + " FROM p CROSS JOIN LATERAL (SELECT t.* FROM " + t + where +
         " AND t.\"partition\" = p.name ORDER BY " + id_order(table) + " LIMIT " + std::to_string(count) +
         ") t ORDER BY " + id_order(table);
}

// Only the fields asked for.
void project(model::Record& record, const Query& query) {
  if (!query.fields || !record.metadata) return;
  std::erase_if(*record.metadata, [&](const auto& field) {
    return std::ranges::find(*query.fields, field.first) == query.fields->end();
  });
}

struct Search {
  const Table& table;
  const model::Schema& schema;
  const Query& query;
  const Column& column;
  Metric metric;
  const Where& where;
  const Selection& selection;

  std::string_view operation() const {
    return metric == Metric::l2 ? "<->" : metric == Metric::cosine ? "<=>" : "<#>";
  }

  // As the model has it, from what the operator gives. Cosine has no value for a zero vector (NaN): it points
  // nowhere, so its similarity to everything is 0.
  std::string distance(const std::string& given) const {
    switch (metric) {
      case Metric::l2: return "(" + given + ") * (" + given + ")";
      case Metric::cosine: return "coalesce(nullif(" + given + ", 'NaN'::double precision), 1)";
      case Metric::inner_product: return "1 + (" + given + ")";
    }
    return given;
  }

  Result<Parameter> parameter(const model::Vector& vector, const ExtensionTypes& types) const {
    const auto* dense = std::get_if<model::DenseVector>(&vector);
    const auto wrong = [&](const std::string& why) {
      return Error{Code::invalid, "the query's vector " + why};
    };
    if ((dense != nullptr) == (column.codec == Codec::sparsevec)) {
      return wrong(std::string("is ") + (dense != nullptr ? "dense" : "sparse") + ", the column '" +
                   column.name + "' is " + column.type);
    }
    if (dense != nullptr && column.dimension > 0 && dense->size() != column.dimension) {
      return wrong("has " + std::to_string(dense->size()) + " dimensions, the collection has " +
                   std::to_string(column.dimension));
    }
    auto bytes = dense == nullptr ? sparsevec_bytes(std::get<model::SparseVector>(vector), column.dimension)
                 : column.codec == Codec::halfvec ? halfvec_bytes(*dense)
                                                  : vector_bytes(*dense);
    if (!bytes) return wrong(bytes.error().message);
    return Parameter{column.cell_type(types), std::move(*bytes)};
  }

  std::string exact_sql(std::vector<Parameter>& parameters) const {
    const std::string given = "(t." + quoted(column.name) + " " + std::string(operation()) + " $" +
                              std::to_string(parameters.size()) + ")";
    // The distance is worked out in a subquery of its own, so that ORDER BY is no form that an index could
    // answer.
    std::string sql = "SELECT t.\"vmproxy distance\", " + selection.list() + " FROM (SELECT t.*, " +
                      distance(given) + " AS \"vmproxy distance\" FROM " + table.qualified() + " t" +
                      where.sql + " AND t." + quoted(column.name) + " IS NOT NULL OFFSET 0) t WHERE TRUE";
    const auto bound = [&](const std::optional<double>& limit, std::string_view sign) {
      if (!limit) return;
      parameters.push_back({oid::float8, bytes_of(*limit)});
      sql += " AND t.\"vmproxy distance\"" + std::string(sign) + "$" + std::to_string(parameters.size());
    };
    bound(query.radius, " < ");
    bound(query.range_filter, " >= ");
    return sql + " ORDER BY 1, " + id_order(table) + limits();
  }

  std::string index_sql(size_t vector) const {
    const std::string given =
        "t." + quoted(column.name) + " " + std::string(operation()) + " $" + std::to_string(vector);
    return "SELECT t.\"vmproxy distance\", " + selection.list() + " FROM (SELECT t.*, " + distance(given) +
           " AS \"vmproxy distance\" FROM " + table.qualified() + " t" + where.sql + " AND t." +
           quoted(column.name) + " IS NOT NULL ORDER BY " + given + " LIMIT " +
           std::to_string(query.top_k + query.search_offset) + ") t ORDER BY 1, " + id_order(table) +
           limits();
  }

  std::string limits() const {
    return " LIMIT " + std::to_string(query.top_k) +
           (query.search_offset > 0 ? " OFFSET " + std::to_string(query.search_offset) : "");
  }

  Result<std::vector<model::Hit>> hits(const Answer& answer) const {
    std::vector<model::Hit> hits;
    for (int row = 0; row < answer.rows(); ++row) {
      auto record = selection.record(answer, row, 1);
      if (!record) return record.error();
      project(*record, query);
      hits.push_back({std::move(*record), get_double(answer.at(row, 0))});
    }
    return hits;
  }

  Result<std::vector<model::Hit>> run(Connection& connection, const model::Vector& vector,
                                      Deadline deadline) const {
    auto parameters = where.parameters;
    auto wanted = parameter(vector, connection.types());
    if (!wanted) return wanted.error();
    parameters.push_back(std::move(*wanted));
    const uint64_t depth = query.top_k + query.search_offset;
    const bool index = table.index_for(column, metric) != nullptr && connection.types().iterative_scan &&
                       table.rows_estimate >= index_worth_rows && depth <= index_hits_max && !query.keys &&
                       !query.radius && !query.range_filter;
    if (index) {
      if (auto widened = connection.widen_search(static_cast<int>(std::max<uint64_t>(depth, 100)), deadline);
          !widened)
        return widened.error();
      auto answer = connection.run(index_sql(parameters.size()), parameters, deadline);
      if (!answer) return answer.error();
      auto found = hits(*answer);
      if (!found) return found.error();
      // Under cosine a zero vector is at distance 1, so none can be among hits that are all nearer.
      const bool whole = found->size() == query.top_k &&
                         (metric != Metric::cosine || found->empty() || found->back().distance < 1);
      if (whole) return found;
    }
    const std::string sql = exact_sql(parameters);
    auto answer = connection.run(sql, parameters, deadline);
    if (!answer) return answer.error();
    return hits(*answer);
  }
};

}  // namespace

Result<model::QueryResult> PgvectorDriver::query(const model::Schema& schema, const Query& query,
                                                 Deadline deadline) {
  auto work = begin(schema, std::chrono::minutes(1), deadline);
  if (!work) return work.error();
  Connection& connection = *work->connection;
  const Table& table = *work->table;
  auto where = where_of(table, query);
  if (!where) return where.error();
  model::QueryResult result;

  if (query.kind == Query::Kind::count) {
    auto answer = connection.run("SELECT count(*) FROM " + table.qualified() + " t" + where->sql,
                                 where->parameters, deadline);
    if (!answer) return failed(schema, connection, answer.error());
    result.count = static_cast<uint64_t>(get_int<int64_t>(answer->at(0, 0)));
    return result;
  }

  const Selection selection(table, schema, {query.with_vectors, query.with_document, query.with_metadata});
  if (query.kind == Query::Kind::get) {
    constexpr uint64_t most = INT64_MAX / 2;
    const uint64_t limit = std::min(query.limit.value_or(most), most), offset = std::min(query.offset, most);
    std::string sql = table.partition && query.limit && !query.keys
                          ? first_of_partitions(table, selection.list(), where->sql, limit + offset)
                          : "SELECT " + selection.list() + " FROM " + table.qualified() + " t" + where->sql +
                                " ORDER BY " + id_order(table);
    if (query.limit) sql += " LIMIT " + std::to_string(limit);
    if (offset > 0) sql += " OFFSET " + std::to_string(offset);
    auto answer = connection.run(sql, where->parameters, deadline);
    if (!answer) return failed(schema, connection, answer.error());
    for (int row = 0; row < answer->rows(); ++row) {
      auto record = selection.record(*answer, row);
      if (!record) return failed(schema, connection, record.error());
      project(*record, query);
      result.records.push_back(std::move(*record));
    }
    return result;
  }

  const Column* column = table.vector_column(query.vector_name);
  if (column == nullptr)
    return Error{Code::invalid,
                 "vector." + query.vector_name + ": table " + table.name + " has no such vector column"};
  Metric metric = Metric::l2;
  for (const auto& field : schema.vectors) {
    if (field.name == query.vector_name || schema.vectors.size() == 1) metric = field.metric;
  }
  constexpr uint64_t hits_max = 1'000'000'000;
  if (query.top_k > hits_max || query.search_offset > hits_max)
    return Error{Code::invalid, "a search for more than " + std::to_string(hits_max) + " hits"};
  const Search search{table, schema, query, *column, query.metric.value_or(metric), *where, selection};
  for (const auto& vector : query.vectors) {
    auto hits = search.run(connection, vector, deadline);
    if (!hits) return failed(schema, connection, hits.error());
    result.hits.push_back(std::move(*hits));
  }
  return result;
}

}  // namespace vmproxy::protocols::pgvector
