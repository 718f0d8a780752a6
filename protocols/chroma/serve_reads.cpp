// get, query, count.
#include <cmath>
#include <set>

#include "protocols/chroma/answer.h"
#include "protocols/chroma/filters.h"
#include "protocols/chroma/metadata.h"
#include "protocols/chroma/payload.h"
#include "protocols/chroma/serve.h"
#include "protocols/wire/json.h"

namespace vmproxy::protocols::chroma {
namespace {

using model::Query;
using model::Record;

void append_embedding(std::string& out, const Record& record) {
  const auto vector = record.vectors.find("");
  const auto* dense =
      vector == record.vectors.end() ? nullptr : std::get_if<model::DenseVector>(&vector->second);
  if (dense == nullptr) {
    out += "null";
    return;
  }
  wire::append_json_list(out, *dense, [&](float x) { wire::append_json_number(out, x); });
}

void append_text(std::string& out, const std::string* text) {
  if (text == nullptr) {
    out += "null";
  } else {
    wire::append_json_string(out, *text);
  }
}

void append_uri(std::string& out, const Record& record) {
  const model::Value* uri = nullptr;
  if (record.metadata) {
    const auto found = record.metadata->find(std::string(uri_key));
    if (found != record.metadata->end()) uri = &found->second;
  }
  append_text(out, uri != nullptr && uri->is_string() ? &uri->string() : nullptr);
}

void append_part(std::string& out, Include part, const Record& record) {
  switch (part) {
    case Include::embeddings: append_embedding(out, record); break;
    case Include::documents: append_text(out, record.document ? &*record.document : nullptr); break;
    case Include::uris: append_uri(out, record); break;
    case Include::metadatas: append_metadata(out, record.metadata); break;
    case Include::distances: break;
  }
}

void append_includes(std::string& out, const std::vector<Include>& include) {
  out += ",\"include\":";
  wire::append_json_list(out, include, [&](Include what) { wire::append_json_string(out, name_of(what)); });
  out += '}';
}

constexpr Include columns[] = {Include::embeddings, Include::documents, Include::uris, Include::metadatas};

void ask_for(Query& query, const std::vector<Include>& include) {
  query.with_vectors = includes(include, Include::embeddings);
  query.with_document = includes(include, Include::documents);
  query.with_metadata = includes(include, Include::metadatas) || includes(include, Include::uris);
}

std::vector<model::Key> keys_of(const std::vector<std::string>& ids) {
  std::vector<model::Key> keys;
  std::set<std::string_view> seen;
  for (const auto& id : ids) {
    if (seen.insert(id).second) keys.push_back(key_of(id));
  }
  return keys;
}

Answer get(Asked& asked) {
  auto read = read_get(asked.request.body);
  if (auto* refusal = std::get_if<net::Response>(&read)) return std::move(*refusal);
  const auto& payload = std::get<GetPayload>(read);
  Found found = find_collection(asked);
  if (found.refusal) return std::move(*found.refusal);
  auto filter = filter_of(payload.where, payload.where_document);
  if (!filter) return answer_error(filter.error());
  Query query;
  query.kind = Query::Kind::get;
  query.collection = found.schema->name;
  query.filter = std::move(*filter);
  if (payload.ids) query.keys = keys_of(*payload.ids);
  if (payload.limit) query.limit = *payload.limit;
  query.offset = payload.offset.value_or(0);
  ask_for(query, payload.include);
  model::QueryResult result;
  const bool empty = (payload.ids && payload.ids->empty()) || payload.limit == 0u;
  if (!empty) {
    auto answered = asked.backend.query(query);
    if (!answered) return answered.error();
    result = std::move(*answered);
  }
  std::string body = "{\"ids\":";
  wire::append_json_list(body, result.records,
                         [&](const Record& r) { wire::append_json_string(body, id_of(r.key)); });
  for (const Include column : columns) {
    body += ",\"" + std::string(name_of(column)) + "\":";
    if (includes(payload.include, column)) {
      wire::append_json_list(body, result.records, [&](const Record& r) { append_part(body, column, r); });
    } else {
      body += "null";
    }
  }
  append_includes(body, payload.include);
  return answer(std::move(body));
}

std::string show_hits(const std::vector<std::vector<model::Hit>>& lists,
                      const std::vector<Include>& include) {
  std::string body = "{\"ids\":";
  const auto append_all = [&](auto append) {
    wire::append_json_list(body, lists, [&](const std::vector<model::Hit>& hits) {
      wire::append_json_list(body, hits, append);
    });
  };
  append_all([&](const model::Hit& hit) { wire::append_json_string(body, id_of(hit.record.key)); });
  for (const Include column : columns) {
    body += ",\"" + std::string(name_of(column)) + "\":";
    if (includes(include, column)) {
      append_all([&](const model::Hit& hit) { append_part(body, column, hit.record); });
    } else {
      body += "null";
    }
  }
  body += ",\"distances\":";
  if (includes(include, Include::distances)) {
    append_all(
        [&](const model::Hit& hit) { wire::append_json_number(body, static_cast<float>(hit.distance)); });
  } else {
    body += "null";
  }
  append_includes(body, include);
  return body;
}

Result<bool> has_records(Asked& asked, const model::Schema& schema) {
  // The catalog learns a dimension when it is looked at, which may be long after the first record.
  if (!schema.vectors.empty() && schema.vectors[0].dimension != 0) return true;
  Query all;
  all.kind = Query::Kind::count;
  all.collection = schema.name;
  const auto counted = asked.backend.query(all);
  if (!counted) return counted.error();
  return counted->count > 0;
}

// A search among ids that the collection has not is an internal error of the server, unless a filter is given
// too.
Answer query(Asked& asked) {
  auto read = read_query(asked.request.body);
  if (auto* refusal = std::get_if<net::Response>(&read)) return std::move(*refusal);
  auto& payload = std::get<QueryPayload>(read);
  Found found = find_collection(asked);
  if (found.refusal) return std::move(*found.refusal);
  auto filter = filter_of(payload.where, payload.where_document);
  if (!filter) return answer_error(filter.error());
  for (const auto& embedding : payload.embeddings) {
    if (embedding.size() != payload.embeddings[0].size())
      return invalid("Inconsistent dimensions in provided embeddings");
  }
  const model::Schema& schema = *found.schema;
  if (!payload.embeddings.empty()) {
    if (auto refusal = refuse_dimension(schema, payload.embeddings[0].size())) return std::move(*refusal);
  }
  Query query;
  query.kind = Query::Kind::search;
  query.collection = schema.name;
  query.filter = std::move(*filter);
  query.top_k = payload.n_results.value_or(10);
  ask_for(query, payload.include);
  std::vector<std::vector<model::Hit>> lists(payload.embeddings.size());
  const auto searchable = has_records(asked, schema);
  if (!searchable) return searchable.error();
  if (payload.ids) query.keys = keys_of(*payload.ids);
  if (*searchable && query.keys && !query.keys->empty() && !query.filter) {
    Query known;
    known.kind = Query::Kind::get;
    known.collection = schema.name;
    known.keys = query.keys;
    known.with_document = known.with_metadata = false;
    const auto answered = asked.backend.query(known);
    if (!answered) return answered.error();
    if (answered->records.size() < query.keys->size()) {
      return internal_error("Error executing plan: Internal error: Error finding id");
    }
  }
  const bool empty =
      !*searchable || query.top_k == 0 || payload.embeddings.empty() || (query.keys && query.keys->empty());
  if (!empty) {
    for (auto& embedding : payload.embeddings) query.vectors.emplace_back(std::move(embedding));
    auto answered = asked.backend.query(query);
    if (!answered) return answered.error();
    answered->hits.resize(lists.size());
    lists = std::move(answered->hits);
  }
  return answer(show_hits(lists, payload.include));
}

Answer count(Asked& asked) {
  if (const auto level = net::query_parameter(asked.request.target, "read_level")) {
    if (*level != "index_and_wal" && *level != "index_only" && *level != "index_and_bounded_wal") {
      return invalid("Failed to deserialize query string: read_level: unknown variant `" + *level +
                     "`, expected one of `index_and_wal`, `index_only`, `index_and_bounded_wal`");
    }
  }
  Found found = find_collection(asked);
  if (found.refusal) return std::move(*found.refusal);
  Query query;
  query.kind = Query::Kind::count;
  query.collection = found.schema->name;
  const auto answered = asked.backend.query(query);
  if (!answered) return answered.error();
  return answer(std::to_string(answered->count));
}

}  // namespace

Answer serve_reads(Asked& asked) {
  switch (asked.call) {
    case Call::get: return get(asked);
    case Call::query: return query(asked);
    default: return count(asked);
  }
}

}  // namespace vmproxy::protocols::chroma
