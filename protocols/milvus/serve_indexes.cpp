// Indexes as they were shown: the other database has its own, these are what the application sees of them.
#include <algorithm>

#include "protocols/milvus/serve.h"

namespace vmproxy::protocols::milvus {
namespace {

struct IndexRequest {
  Address address;
  std::string index_name;
  Pairs params;
};

// CreateIndex: 4 field, 5 params, 6 index name. DescribeIndex and the rest: 4 field, 5 index name.
// AlterIndex: 4 index name, 5 params.
std::optional<IndexRequest> read_index(const Asked& asked) {
  IndexRequest request;
  ProtoReader reader(asked.message);
  const bool params = asked.rpc == Rpc::create_index || asked.rpc == Rpc::alter_index;
  while (reader.next()) {
    if (reader.type() != ProtoReader::Type::bytes) continue;
    switch (reader.field()) {
      case 2: request.address.database = reader.text(); break;
      case 3: request.address.collection = reader.text(); break;
      case 4:
        (asked.rpc == Rpc::alter_index ? request.index_name : request.address.fourth) = reader.text();
        break;
      case 5:
        if (params) {
          read_pair(reader, request.params);
        } else {
          request.index_name = reader.text();
        }
        break;
      case 6:
        if (asked.rpc == Rpc::create_index) request.index_name = reader.text();
        break;
    }
  }
  if (!reader.ok()) return std::nullopt;
  return request;
}

Status index_not_found(const Collection& collection) {
  return failure(700, "index not found[collection=" + collection.described.name + "]");
}

Answer create(Asked& asked, const Found& found, const IndexRequest& request) {
  Collection now = found.collection;
  const FieldSchema* field = now.described.schema.find(request.address.fourth);
  if (field == nullptr)
    return answer(asked.rpc,
                  failure(65535, "cannot create index on non-exist field: " + request.address.fourth));
  const bool vector = is_vector(field->type);
  IndexInfo index;
  index.name = request.index_name.empty() ? field->name : request.index_name;
  index.field = field->name;
  index.params = request.params;
  if (vector && find(index.params, "metric_type") == nullptr)
    return answer(asked.rpc, failure(65535, "metric type not set for vector index"));
  if (const IndexInfo* existing = now.index_of(field->name)) {
    if (existing->params == index.params && existing->name == index.name) return done(asked.rpc);
    return answer(asked.rpc, failure(65535, "at most one distinct index is allowed per field"));
  }
  index.id = now.described.id + static_cast<int64_t>(now.indexes.size()) + 3;
  now.indexes.push_back(std::move(index));
  auto kept = keep(asked, found, now);
  if (!kept) return kept.error();
  return done(asked.rpc);
}

Answer drop(Asked& asked, const Found& found, const IndexRequest& request) {
  Collection now = found.collection;
  const auto matches = [&](const IndexInfo& index) {
    return index.name == request.index_name ||
           (request.index_name.empty() && index.field == request.address.fourth);
  };
  if (std::ranges::none_of(now.indexes, matches)) return done(asked.rpc);
  if (now.loaded)
    return answer(asked.rpc,
                  failure(65535, "index cannot be dropped, collection is loaded, please release it first"));
  // Its next index is most likely of the same metric, and what the other database holds was made for that.
  for (const auto& index : now.indexes) {
    const std::string* metric = find(index.params, "metric_type");
    if (matches(index) && metric != nullptr) set(now.metrics, index.field, *metric);
  }
  std::erase_if(now.indexes, matches);
  auto kept = keep(asked, found, now);
  if (!kept) return kept.error();
  return done(asked.rpc);
}

}  // namespace

Answer serve_indexes(Asked& asked) {
  const auto request = read_index(asked);
  if (!request) return grpc_refusal(13, "the message cannot be read");
  const Target target = target_of(asked, request->address.database, request->address.collection);
  if (!target.found) return answer(asked.rpc, target.refusal());
  if (asked.rpc == Rpc::create_index) return create(asked, *target.found, *request);
  if (asked.rpc == Rpc::drop_index) return drop(asked, *target.found, *request);
  std::vector<IndexInfo> shown;
  for (const auto& index : target.found->collection.indexes) {
    const bool by_name = request->index_name.empty() || index.name == request->index_name;
    const bool by_field = request->address.fourth.empty() || index.field == request->address.fourth;
    if (by_name && by_field) shown.push_back(index);
  }
  if (shown.empty()) return answer(asked.rpc, index_not_found(target.found->collection));
  switch (asked.rpc) {
    case Rpc::alter_index: {
      Collection now = target.found->collection;
      for (auto& index : now.indexes) {
        if (index.name != shown[0].name) continue;
        for (const auto& [key, value] : request->params) set(index.params, key, value);
      }
      auto kept = keep(asked, *target.found, now);
      if (!kept) return kept.error();
      return done(asked.rpc);
    }
    case Rpc::get_index_state: {
      ProtoWriter out;
      out.always_bytes(1, encode(Status()));
      out.i32(2, 3);
      return answer(out.view());
    }
    case Rpc::get_index_build_progress: {
      ProtoWriter out;
      out.always_bytes(1, encode(Status()));
      out.i64(2, shown[0].indexed_rows);
      out.i64(3, shown[0].total_rows);
      return answer(out.view());
    }
    default: return answer(encode(shown));
  }
}

}  // namespace vmproxy::protocols::milvus
