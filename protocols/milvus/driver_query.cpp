// Queries of the vocabulary: get, search, count.
#include <algorithm>

#include "protocols/milvus/driver.h"
#include "protocols/milvus/open_dimension.h"
#include "protocols/milvus/search.h"
#include "protocols/wire/json.h"

namespace vmproxy::protocols::milvus {
namespace {

using model::Query;
using model::QueryResult;
using model::Record;

constexpr uint64_t page_records = 4096;

Error unsupported(std::string text) {
  return {Code::unsupported, std::move(text)};
}

std::vector<std::string> partitions_of(const model::Schema& schema, const Query& query) {
  std::vector<std::string> names;
  if (schema.partitions.empty()) return names;
  for (const auto& name : query.partitions)
    names.push_back(name.empty() ? std::string(default_partition) : name);
  return names;
}

// Drops what was not asked for.
void cut(const Query& query, Record& record) {
  if (!query.with_vectors) record.vectors.clear();
  if (!query.with_metadata) record.metadata.reset();
  if (!query.fields || !record.metadata) return;
  model::Object wanted;
  for (const auto& name : *query.fields) {
    if (const auto at = record.metadata->find(name); at != record.metadata->end()) wanted.insert(*at);
  }
  record.metadata = std::move(wanted);
}

bool by_id(const Record& a, const Record& b) {
  if (a.key.id != b.key.id) return a.key.id < b.key.id;
  return a.key.partition < b.key.partition;
}

// Without a record that cannot be read the answer would be another one than the query's.
Result<std::vector<Record>> all_of(const model::Schema& schema, ShownRows shown) {
  if (shown.unread.empty()) return std::move(shown.records);
  const auto& [key, error] = shown.unread.front();
  return error.within("collection '" + to_string(schema.name) + "': record '" + model::to_string(key.id) +
                      "'");
}

std::string last_key_bound(const CollectionSchema& shape, const model::Key& key) {
  const std::string& name = shape.primary()->name;
  if (const auto* text = std::get_if<std::string>(&key.id.value)) return name + " > " + quoted(*text);
  return name + " > " + integer_text(std::get<int64_t>(key.id.value));
}

}  // namespace

Result<std::string> MilvusDriver::filter_text(const model::Schema& schema, const CollectionSchema& shape,
                                              const Query& query) const {
  (void)schema;
  if (!query.filter || query.filter->kind == model::Filter::Kind::always) return std::string();
  return print_expression(*query.filter, shape, grammar());
}

Result<QueryResult> MilvusDriver::query(const model::Schema& schema, const Query& query, Deadline deadline) {
  const auto shape_found = shape_of(schema, deadline);
  if (!shape_found) return shape_found.error();
  const CollectionSchema& shape = **shape_found;
  auto expression = filter_text(schema, shape, query);
  if (!expression) return expression.error();
  if (query.kind == Query::Kind::search) return search(schema, shape, query, *expression, deadline);
  if (query.kind == Query::Kind::count && !query.keys) return count(schema, query, *expression, deadline);

  QueryResult result;
  const ReadParts parts{query.with_vectors && query.kind == Query::Kind::get,
                        query.with_metadata && query.kind == Query::Kind::get, query.consistency};
  if (query.keys) {
    std::vector<model::Key> keys = *query.keys;
    if (!query.partitions.empty()) {
      std::erase_if(keys, [&](const model::Key& key) {
        return std::ranges::find(query.partitions, key.partition) == query.partitions.end();
      });
    }
    auto shown = fetch_keys(schema, shape, keys, *expression, parts, deadline);
    if (!shown) return shown.error();
    auto found = all_of(schema, std::move(*shown));
    if (!found) return found.error();
    result.records = std::move(*found);
    std::ranges::sort(result.records, by_id);
    const auto same = [](const Record& a, const Record& b) { return a.key == b.key; };
    result.records.erase(std::unique(result.records.begin(), result.records.end(), same),
                         result.records.end());
    result.count = result.records.size();
    const auto offset = std::min<uint64_t>(query.offset, result.records.size());
    result.records.erase(result.records.begin(),
                         result.records.begin() + static_cast<std::ptrdiff_t>(offset));
    if (query.limit && result.records.size() > *query.limit) result.records.resize(*query.limit);
  } else {
    auto found = fetch_ordered(schema, shape, query, *expression, parts, deadline);
    if (!found) return found.error();
    result.records = std::move(*found);
  }
  if (query.kind == Query::Kind::count) result.records.clear();
  for (auto& record : result.records) cut(query, record);
  return result;
}

// By key, page after page: an answer of any size, and one order whatever the server's own.
Result<std::vector<Record>> MilvusDriver::fetch_ordered(const model::Schema& schema,
                                                        const CollectionSchema& shape, const Query& query,
                                                        const std::string& expression, ReadParts parts,
                                                        Deadline deadline) {
  const auto asked = partitions_to_ask(schema, query, deadline);
  if (!asked) return asked.error();
  struct Walk {
    std::string partition;
    std::vector<Record> page = {};
    size_t at = 0;
    std::optional<model::Key> last = {};  // of the page
    bool ended = false;
  };
  const auto since = overlap_.read(to_string(schema.name));
  Rows match;
  // Strong waits for a time tick in each request, 200 ms and more: with many partitions they all ask about one moment.
  match.consistency = parts.consistency;
  if (asked->size() > 1 && match.consistency == model::Consistency::session)
    match.timestamp = session_.guarantee(to_string(schema.name), {}, deadline);
  if (asked->size() > 1 && match.timestamp == 0) match.timestamp = timestamp_now(client_, deadline);
  if (match.timestamp != 0) match.since = &since;
  match.expression = expression;
  std::vector<std::string> partitions(asked->begin(), asked->end());
  if (!expression.empty()) {
    std::vector<std::string> found;
    if (auto looked = find_partitions(schema, shape, match, partitions, found, deadline); !looked)
      return looked.error();
    partitions = std::move(found);
  }
  std::vector<Walk> walks;
  for (const auto& partition : partitions) walks.push_back({partition});
  const auto next_page = [&](Walk& walk, uint64_t wanted) -> Result<void> {
    Rows rows = match;
    rows.ordered = true;
    rows.partitions = partition_names(schema, walk.partition);
    rows.limit = wanted;
    if (walk.last) {
      rows.expression = last_key_bound(shape, *walk.last);
      if (!expression.empty()) rows.expression = "(" + rows.expression + ") and " + expression;
    } else if (expression.empty()) {
      auto all = print_expression({}, shape, grammar());
      if (!all) return all.error();
      rows.expression = std::move(*all);
    }
    auto shown = fetch_records(schema, shape, rows, parts, deadline);
    if (!shown) {
      // Shown a moment ago. One that the query names has to be there.
      const auto dropped = query.partitions.empty()
                               ? was_dropped(schema, walk.partition, shown.error(), deadline)
                               : Result<bool>(false);
      if (!dropped) return dropped.error();
      if (!*dropped) return shown.error();
      shown = ShownRows();
    }
    auto found = all_of(schema, std::move(*shown));
    if (!found) return found.error();
    walk.page = std::move(*found);
    walk.at = 0;
    walk.ended = walk.page.empty();
    std::ranges::sort(walk.page, by_id);
    if (walk.ended) return {};
    if (walk.last) {
      if (auto on = check_progress(schema, *walk.last, walk.page.back().key); !on) return on;
    }
    walk.last = walk.page.back().key;
    return {};
  };
  std::vector<Record> records;
  uint64_t skip = query.offset;
  while (!query.limit || records.size() < *query.limit) {
    uint64_t wanted = page_records;
    if (query.limit)
      wanted = std::min(std::min(*query.limit - records.size(), wanted) + std::min(skip, wanted), wanted);
    Walk* first = nullptr;  // among equal ids the one of the partition that comes first
    for (auto& walk : walks) {
      if (!walk.ended && walk.at == walk.page.size()) {
        if (auto fetched = next_page(walk, wanted); !fetched) return fetched.error();
      }
      if (walk.ended) continue;
      if (first == nullptr || walk.page[walk.at].key.id < first->page[first->at].key.id) first = &walk;
    }
    if (first == nullptr) break;
    Record& next = first->page[first->at++];
    if (skip > 0) {
      --skip;
    } else {
      records.push_back(std::move(next));
    }
  }
  return records;
}

Result<QueryResult> MilvusDriver::count(const model::Schema& schema, const Query& query,
                                        const std::string& expression, Deadline deadline) {
  const auto shape = shape_of(schema, deadline);
  if (!shape) return shape.error();
  Rows rows;
  rows.expression = expression;
  rows.partitions = partitions_of(schema, query);
  rows.consistency = query.consistency;
  const auto columns = fetch(schema, **shape, rows, {"count(*)"}, deadline);
  if (!columns) return columns.error();
  QueryResult result;
  if (!columns->empty() && !columns->front().longs.empty())
    result.count = static_cast<uint64_t>(std::max<int64_t>(0, columns->front().longs[0]));
  return result;
}

Result<QueryResult> MilvusDriver::search(const model::Schema& schema, const CollectionSchema& shape,
                                         const Query& query, const std::string& expression,
                                         Deadline deadline) {
  const auto field =
      std::ranges::find_if(schema.vectors, [&](const auto& v) { return v.name == query.vector_name; });
  if (field == schema.vectors.end())
    return unsupported("search.vector: the collection has no vector field '" + query.vector_name + "'");
  if (query.metric && *query.metric != field->metric)
    return unsupported("search.metric: the index was made for " + std::string(name_of(field->metric)));
  if (query.top_k + query.search_offset > window_max || query.top_k == 0)
    return unsupported("search.window: Milvus answers the nearest 16384 at most");
  if (is_open(shape)) {  // no record yet
    QueryResult none;
    none.hits.resize(query.vectors.size());
    return none;
  }
  std::string filter = expression;
  if (query.keys) {
    filter = keys_expression(shape, *query.keys);
    if (!expression.empty()) filter = "(" + filter + ") and " + expression;
  }
  SearchRequest request;
  request.database = database_of(schema.name.space);
  request.collection = schema.name.name;
  request.partitions = partitions_of(schema, query);
  request.expression = filter;
  request.vectors = query.vectors;
  request.field = field->name.empty() ? std::string(nameless_vector) : field->name;
  request.metric = field->metric;
  request.top_k = query.top_k;
  request.offset = query.search_offset;
  if (query.radius) request.radius = score_of(field->metric, *query.radius);
  if (query.range_filter) request.range_filter = score_of(field->metric, *query.range_filter);
  for (const auto& one : shape.fields) {
    if (one.primary || one.dynamic || one.function_output) continue;
    if (is_vector(one.type) ? query.with_vectors : query.with_metadata)
      request.output_fields.push_back(one.name);
  }
  if (query.with_metadata && shape.dynamic) request.output_fields.emplace_back(meta_field);
  const std::string message = encode(request);
  Asking asking;
  asking.rpc = "Search";
  asking.request = [&](bool) {
    ProtoWriter raw;
    raw.raw(message);
    if (query.consistency == model::Consistency::session) {
      const auto keys = query.keys ? std::span<const model::Key>(*query.keys) : std::span<const model::Key>();
      ask_for(raw, ReadCall::search, session_.guarantee(to_string(schema.name), keys, deadline));
    }
    return raw;
  };
  asking.crossed = [](const Overlap::Read& read) { return read.crossed_any(); };
  const auto answer = ask(schema, asking, deadline);
  if (!answer) return answer.error();
  auto found = read_search_answer(*answer);
  const auto broken = [&](const std::string& why) {
    return Error(Code::corrupt,
                 "the answer to a search of '" + to_string(schema.name) + "' cannot be read" + why);
  };
  if (!found) return broken("");
  const size_t total = found->scores.size();
  const size_t ids = found->ids.longs.empty() ? found->ids.texts.size() : found->ids.longs.size();
  size_t counted = 0;
  bool fits = ids == total;
  for (const auto k : found->top_ks) {
    fits = fits && k >= 0 && static_cast<uint64_t>(k) <= total - counted;  // a sum may wrap around
    if (fits) counted += static_cast<size_t>(k);
  }
  if (!fits || counted != total) return broken(": its lists are of different lengths");
  std::erase_if(found->columns, [&](const Column& column) { return column.name == shape.primary()->name; });
  auto records = read_rows(shape, found->columns, total, {});
  if (!records) return broken(": " + records.error().message);
  QueryResult result;
  size_t at = 0;
  for (const auto k : found->top_ks) {
    auto& hits = result.hits.emplace_back();
    for (int64_t i = 0; i < k; ++i, ++at) {
      model::Hit hit;
      hit.record = std::move((*records)[at]);
      hit.record.key = found->ids.longs.empty() ? key_of(found->ids.texts[at]) : key_of(found->ids.longs[at]);
      hit.distance = distance_of(field->metric, static_cast<double>(found->scores[at]));
      unname_vectors(schema, hit.record);
      cut(query, hit.record);
      hits.push_back(std::move(hit));
    }
  }
  result.hits.resize(query.vectors.size());
  return result;
}

}  // namespace vmproxy::protocols::milvus
