// Query: get, count, filter, the pages of an iterator.
#include <algorithm>
#include <charconv>

#include "protocols/milvus/rows.h"
#include "protocols/milvus/serve.h"

namespace vmproxy::protocols::milvus {
namespace {

bool number_param(const Pairs& params, std::string_view name, std::optional<uint64_t>& value,
                  Status& refusal) {
  const std::string* text = find(params, name);
  if (text == nullptr) return true;
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  // Of 64 bits with a sign there, so that the sum of two does not wrap around.
  if (error != std::errc() || end != text->data() + text->size() || number > INT64_MAX) {
    refusal = failure(65535, std::string(name) + " [" + *text + "] is invalid");
    return false;
  }
  value = number;
  return true;
}

Answer counted(const Asked& asked, const model::QueryResult& result, const QueryRequest& request) {
  (void)asked;
  Column column;
  column.type = DataType::int64;
  column.name = "count(*)";
  column.longs.push_back(static_cast<int64_t>(result.count));
  ProtoWriter out;
  out.always_bytes(1, encode(Status()));
  out.always_bytes(2, encode(column));
  out.bytes(3, request.address.collection);
  return answer(out.view());
}

}  // namespace

Answer serve_query(Asked& asked) {
  const auto read = read_query(asked.message);
  if (!read) return grpc_refusal(13, "the message cannot be read");
  const Target target = target_of(asked, read->address.database, read->address.collection);
  if (!target.found) return answer(asked.rpc, target.refusal());
  const Collection& collection = target.found->collection;
  const CollectionSchema& schema = collection.described.schema;
  Status refusal;
  const auto wanted = wanted_fields(schema, read->output_fields, true, refusal);
  if (!wanted) return answer(asked.rpc, refusal);
  const auto partitions = partitions_of(collection, read->partitions, refusal);
  if (!partitions) return answer(asked.rpc, refusal);
  // Milvus does not look at an offset without a limit.
  std::optional<uint64_t> limit, offset;
  if (!number_param(read->params, "limit", limit, refusal) ||
      (limit && !number_param(read->params, "offset", offset, refusal)))
    return answer(asked.rpc, refusal);
  if (limit && *limit + offset.value_or(0) > window_max) {
    return answer(asked.rpc, failure(65535,
                                     "invalid max query result window, (offset+limit) should be in range [1, "
                                     "16384], but got " +
                                         std::to_string(*limit + offset.value_or(0))));
  }
  model::Query query;
  query.kind = wanted->count ? model::Query::Kind::count : model::Query::Kind::get;
  query.collection = target.found->schema->name;
  query.partitions = *partitions;
  if (read->expression.find_first_not_of(" \t\n\r") != std::string::npos) {
    auto filter =
        parse_expression(read->expression, schema, grammar_of(asked.backend.catalog()), read->templates);
    if (!filter) {
      if (filter.error().code == Code::unsupported) return filter.error();
      return answer(asked.rpc, failure(65535, filter.error().message));
    }
    // Keys are read by key: that is exact and cheap on every system.
    if (auto keys = keys_in(*target.found->schema, *filter, *partitions)) {
      query.keys = std::move(*keys);
    } else {
      query.filter = std::move(*filter);
    }
  } else if (!limit && !wanted->count) {
    return answer(asked.rpc, failure(65535, "empty expression should be used with limit"));
  }
  if (const auto unloaded = refuse_unloaded(collection, read->partitions, "query"))
    return answer(asked.rpc, *unloaded);
  query.limit = limit;
  query.offset = offset.value_or(0);
  query.with_vectors = wanted->vectors;
  query.with_metadata = wanted->metadata;
  query.with_document = false;
  query.fields = wanted->fields;
  model::QueryResult result;
  if (!query.keys || !query.keys->empty()) {
    auto found = asked.backend.query(query);
    if (!found) return found.error();
    result = std::move(*found);
    if (wanted->count && query.keys) result.count = std::max<uint64_t>(result.count, result.records.size());
  }
  if (wanted->count) return counted(asked, result, *read);
  std::ranges::sort(result.records, {}, [](const model::Record& record) { return record.key.id; });
  std::vector<const model::Record*> records;
  for (const auto& record : result.records) records.push_back(&record);
  const Output output{wanted->columns, wanted->members, wanted->meta, wanted->meta_whole};
  const auto columns = write_output(schema, output, records);
  if (!columns) return columns.error();
  ProtoWriter out;
  out.always_bytes(1, encode(Status()));
  for (const auto& column : *columns) out.always_bytes(2, encode(column));
  out.bytes(3, read->address.collection);
  for (const auto& field : wanted->output_fields) out.always_bytes(4, field);
  return answer(out.view());
}

}  // namespace vmproxy::protocols::milvus
