// query: counts and gets in Chroma's terms, or a refusal with a stable code. Searches: driver_search.cpp.
#include <algorithm>

#include "protocols/chroma/driver.h"
#include "protocols/chroma/filters.h"
#include "protocols/chroma/where.h"

namespace vmproxy::protocols::chroma {
namespace {

using model::Filter;
using model::Query;
using model::QueryResult;
using model::Record;
using model::Schema;

bool holds(const std::vector<Filter>& on_id, const std::string& id) {
  Record record;
  record.key = key_of(id);
  return std::all_of(on_id.begin(), on_id.end(),
                     [&](const Filter& filter) { return evaluate(filter, record); });
}

}  // namespace

// What a filter on the id asks, which Chroma has no words for, is decided here over all ids that match the
// rest.
Result<std::vector<std::string>> ChromaDriver::matching_ids(const Query& query, const GetBody& filter,
                                                            const std::vector<Filter>& on_id,
                                                            Deadline deadline) {
  auto ids = list_ids(query.collection, filter, deadline);
  if (!ids) return ids;
  std::erase_if(*ids, [&](const std::string& id) { return !holds(on_id, id); });
  return ids;
}

// Paging means by id, as other systems page and as the model says. The server pages by insertion, so the ids
// are listed (without their records) and cut here: exact, at the price of one listing a page.
Result<QueryResult> ChromaDriver::get(const Schema& schema, const Query& query, const GetBody& filter,
                                      const std::vector<Filter>& on_id, Deadline deadline) {
  QueryResult result;
  const bool whole = !query.limit && query.offset == 0 && on_id.empty();
  Result<std::vector<Record>> records = std::vector<Record>();
  if (whole) {
    GetBody body = filter;
    body.parts = parts_of(query);
    const auto answered = api_.post(schema.name, "get", get_body(body), deadline);
    if (!answered) return answered.error();
    records = parse_records(*answered, schema.vectors.empty() ? std::string() : schema.vectors[0].name);
  } else {
    auto ids = matching_ids(query, filter, on_id, deadline);
    if (!ids) return ids.error();
    std::sort(ids->begin(), ids->end());
    std::vector<std::string_view> page;
    const uint64_t limit = query.limit.value_or(UINT64_MAX);
    for (size_t i = query.offset; i < ids->size() && page.size() < limit; ++i) page.push_back((*ids)[i]);
    records = read_ids(schema, page, parts_of(query), deadline);
  }
  if (!records) return records.error();
  result.records = std::move(*records);
  std::sort(result.records.begin(), result.records.end(),
            [](const Record& a, const Record& b) { return a.key < b.key; });
  for (Record& record : result.records) keep_wanted(query, record);
  return result;
}

Result<QueryResult> ChromaDriver::query(const Schema& schema, const Query& asked, Deadline deadline) {
  Query query = asked;
  query.collection = schema.name;
  Clause clause;
  if (query.filter) {
    auto printed = print_filter(*query.filter);
    if (!printed) return printed.error();
    clause = std::move(*printed);
  }
  GetBody filter;
  if (clause.where) filter.where = &*clause.where;
  if (query.keys) {
    filter.by_ids = true;
    for (const auto& key : *query.keys) {
      if (!id_of(key).empty()) filter.ids.push_back(id_of(key));
    }
  }
  if (query.kind == Query::Kind::search) return search(schema, query, filter, clause.on_id, deadline);
  if (query.kind == Query::Kind::get) return get(schema, query, filter, clause.on_id, deadline);
  QueryResult result;
  if (!query.keys && !query.filter) {
    const auto count = count_all(schema.name, deadline);
    if (!count) return count.error();
    result.count = *count;
    return result;
  }
  const auto ids = matching_ids(query, filter, clause.on_id, deadline);
  if (!ids) return ids.error();
  result.count = ids->size();
  return result;
}

}  // namespace vmproxy::protocols::chroma
