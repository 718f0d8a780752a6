// Search. HybridSearch ranks lists of several searches by rules of Milvus' own and is not answered here.
#include <algorithm>
#include <cmath>

#include "protocols/milvus/rows.h"
#include "protocols/milvus/search.h"
#include "protocols/milvus/serve.h"

namespace vmproxy::protocols::milvus {
namespace {

const FieldSchema* vector_field(const CollectionSchema& schema, const std::string& name) {
  const FieldSchema* found = nullptr;
  for (const auto& field : schema.fields) {
    if (!is_vector(field.type)) continue;
    if (field.name == name) return &field;
    if (name.empty()) {
      if (found != nullptr) return nullptr;
      found = &field;
    }
  }
  return name.empty() ? found : nullptr;
}

std::optional<Status> misfit(const SearchRequest& request, const FieldSchema& field,
                             const Collection& collection) {
  const auto* index = collection.index_of(field.name);
  const auto metric = collection.metric_of(field.name);
  if (request.metric && index != nullptr && *request.metric != metric) {
    return failure(1100, "failed to search: metric type not match: invalid parameter[expected=" +
                             std::string(name_of(metric)) +
                             "][actual=" + std::string(name_of(*request.metric)) + "]");
  }
  const uint32_t dimension = number_param(field, "dim");
  for (const auto& vector : request.vectors) {
    const auto* dense = std::get_if<model::DenseVector>(&vector);
    if (dense == nullptr || field.type == DataType::sparse_vector || dense->size() == dimension) continue;
    return failure(65535, "failed to search: vector dimension mismatch, expected vector size(byte) " +
                              std::to_string(dimension * 4) + ", actual " +
                              std::to_string(dense->size() * 4) + ".");
  }
  const auto range = [](std::string_view name, uint64_t value) {
    return failure(65535, std::string(name) + " [" + std::to_string(value) +
                              "] is invalid, top k should be in range [1, 16384], but got " +
                              std::to_string(value));
  };
  if (request.top_k == 0 || request.top_k > window_max) return range("topk", request.top_k);
  if (request.top_k + request.offset > window_max) {
    return failure(65535,
                   "invalid max query result window, (offset+limit) should be in range [1, 16384], but got " +
                       std::to_string(request.top_k + request.offset));
  }
  return std::nullopt;
}

double rounded(double score, const Pairs& params) {
  const std::string* text = find(params, "round_decimal");
  if (text == nullptr || text->empty() || *text == "-1" || text->size() != 1 || (*text)[0] < '0' ||
      (*text)[0] > '6')
    return score;
  const double scale = std::pow(10.0, (*text)[0] - '0');
  return std::round(score * scale) / scale;
}

}  // namespace

Answer serve_search(Asked& asked) {
  auto read = read_search_request(asked.message);
  if (!read) {
    if (read.error().code == Code::unsupported) return read.error();
    if (read.error().code == Code::corrupt) return grpc_refusal(13, read.error().message);
    return answer(asked.rpc, failure(65535, read.error().message));
  }
  const Target target = target_of(asked, read->database, read->collection);
  if (!target.found) return answer(asked.rpc, target.refusal());
  // Servers before 2.5 do not know this parameter and SDKs go on without it.
  const bool special =
      read->special && *read->special != "search_iter_v2" && *read->special != "round_decimal";
  if (special)
    return Error(Code::unsupported, "search." + *read->special + ": only Milvus itself can do this");
  if (read->by_keys) return Error(Code::unsupported, "search.by_keys: only Milvus itself can do this");
  const Collection& collection = target.found->collection;
  const CollectionSchema& schema = collection.described.schema;
  const FieldSchema* field = vector_field(schema, read->field);
  if (field == nullptr) {
    return answer(
        asked.rpc,
        failure(65535, read->field.empty()
                           ? "multiple anns_fields exist, please specify a anns_field in search_params"
                           : "failed to get field schema by name: fieldName(" + read->field + ") not found"));
  }
  if (const auto refusal = misfit(*read, *field, collection)) return answer(asked.rpc, *refusal);
  Status refusal;
  const auto wanted = wanted_fields(schema, read->output_fields, false, refusal);
  if (!wanted) return answer(asked.rpc, refusal);
  const auto partitions = partitions_of(collection, read->partitions, refusal);
  if (!partitions) return answer(asked.rpc, refusal);
  model::Query query;
  query.kind = model::Query::Kind::search;
  query.collection = target.found->schema->name;
  query.partitions = *partitions;
  if (read->expression.find_first_not_of(" \t\n\r") != std::string::npos) {
    Templates templates;
    for (const auto& entry : read->template_values) {
      if (!read_template(entry, templates)) return grpc_refusal(13, "the message cannot be read");
    }
    auto filter = parse_expression(read->expression, schema, grammar_of(asked.backend.catalog()), templates);
    if (!filter) {
      if (filter.error().code == Code::unsupported) return filter.error();
      return answer(asked.rpc, failure(65535, "failed to create query plan: " + filter.error().message));
    }
    query.filter = std::move(*filter);
  }
  if (const auto unloaded = refuse_unloaded(collection, read->partitions, "search"))
    return answer(asked.rpc, *unloaded);
  const auto metric = collection.metric_of(field->name);
  query.vector_name = field->name;
  query.vectors = std::move(read->vectors);
  query.top_k = read->top_k;
  query.search_offset = read->offset;
  query.metric = metric;
  if (read->radius) query.radius = bound_of(metric, *read->radius);
  if (read->range_filter) query.range_filter = bound_of(metric, *read->range_filter);
  query.with_vectors = wanted->vectors;
  query.with_metadata = wanted->metadata;
  query.with_document = false;
  query.fields = wanted->fields;
  auto found = asked.backend.query(query);
  if (!found) return found.error();

  SearchAnswer out;
  out.queries = static_cast<int64_t>(query.vectors.size());
  out.collection = read->collection;
  std::vector<const model::Record*> records;
  found->hits.resize(query.vectors.size());
  for (const auto& hits : found->hits) {
    out.top_ks.push_back(static_cast<int64_t>(hits.size()));
    out.top_k = std::max(out.top_k, out.top_ks.back());
    for (const auto& hit : hits) {
      records.push_back(&hit.record);
      out.scores.push_back(static_cast<float>(rounded(score_of(metric, hit.distance), read->params)));
      if (const auto* text = std::get_if<std::string>(&hit.record.key.id.value)) {
        out.ids.texts.push_back(*text);
      } else if (const auto* number = std::get_if<int64_t>(&hit.record.key.id.value)) {
        out.ids.longs.push_back(*number);
      }
    }
  }
  if (!records.empty()) {
    const Output output{wanted->columns, wanted->members, wanted->meta, wanted->meta_whole};
    auto columns = write_output(schema, output, records);
    if (!columns) return columns.error();
    out.columns = std::move(*columns);
    out.output_fields = wanted->output_fields;
  }
  return answer(encode(out));
}

}  // namespace vmproxy::protocols::milvus
