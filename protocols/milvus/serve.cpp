#include "protocols/milvus/serve.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "protocols/milvus/rows.h"
#include "protocols/wire/grpc.h"

namespace vmproxy::protocols::milvus {

net::Response answer(std::string_view message) {
  net::Response response;
  response.status = 200;
  response.headers.add("content-type", "application/grpc");
  response.body = wire::grpc_frame(message);
  response.trailers.add("grpc-status", "0");
  return response;
}

net::Response answer(Rpc rpc, const Status& status) {
  if (answers_status(rpc)) return answer(encode(status));
  ProtoWriter out;
  out.always_bytes(1, encode(status));
  return answer(out.view());
}

net::Response done(Rpc rpc) {
  return answer(rpc, Status());
}

net::Response grpc_refusal(int code, std::string_view text) {
  net::Response response;
  response.status = 200;
  response.headers.add("content-type", "application/grpc");
  response.trailers.add("grpc-status", std::to_string(code));
  response.trailers.add("grpc-message", wire::grpc_encode_text(text));
  return response;
}

Status failure(int32_t code, std::string reason) {
  Status status;
  status.code = code;
  status.error_code = code == 100 ? 4 : code == 1100 ? 5 : 1;
  status.detail = reason;
  status.reason = std::move(reason);
  return status;
}

Status rate_limited(std::string reason) {
  Status status = failure(8, std::move(reason));
  status.error_code = 49;
  status.retriable = true;
  return status;
}

Status collection_not_found(std::string_view database, std::string_view collection) {
  return failure(100, "collection not found[database=" + std::string(database) +
                          "][collection=" + std::string(collection) + "]");
}

Status not_loaded(const Collection& collection, std::string_view action) {
  return failure(101, "failed to " + std::string(action) + ": collection not loaded[collection=" +
                          std::to_string(collection.described.id) + "]");
}

std::optional<Status> refuse_unloaded(const Collection& collection,
                                      const std::vector<std::string>& partitions, std::string_view action) {
  if (!collection.loaded) return not_loaded(collection, action);
  for (const auto& partition : collection.partitions) {
    const bool named = std::ranges::find(partitions, partition.name) != partitions.end();
    if (named && collection.released_partition(partition.name))
      return failure(65535, "partition not loaded[partition=[" + std::to_string(partition.id) + "]]");
  }
  return std::nullopt;
}

Target target_of(const Asked& asked, std::string_view database, std::string_view name) {
  Target target;
  target.database = asked.database(database);
  target.name = name;
  target.found = find_collection(asked.backend.catalog(), target.database, name);
  return target;
}

std::optional<std::vector<std::string>> partitions_of(const Collection& collection,
                                                      const std::vector<std::string>& names,
                                                      Status& refusal) {
  std::vector<std::string> out;
  bool other = false;
  for (const auto& partition : collection.partitions) other = other || partition.name != default_partition;
  if (names.empty() && !collection.released.empty()) {
    for (const auto& partition : collection.partitions) {
      if (!collection.released_partition(partition.name))
        out.push_back(partition.name == default_partition ? std::string() : partition.name);
    }
    return out;
  }
  for (const auto& name : names) {
    const bool known =
        name == default_partition ||
        std::ranges::any_of(collection.partitions, [&](const auto& p) { return p.name == name; });
    if (!known) {
      refusal = failure(65535, "partition name " + name + " not found");
      return std::nullopt;
    }
    if (other) out.push_back(name == default_partition ? std::string() : name);
  }
  return out;
}

std::optional<std::vector<model::Key>> keys_in(const model::Schema& schema, const model::Filter& filter,
                                               const std::vector<std::string>& partitions) {
  constexpr size_t keys_max = 16384;
  const auto ids = keys_of(filter, {});
  if (!ids) return std::nullopt;
  std::vector<std::string> names = partitions;
  if (names.empty()) {
    names = schema.partitions;
    names.emplace_back();
  }
  if (names.size() > 1 && ids->size() > keys_max / names.size()) return std::nullopt;
  std::vector<model::Key> keys;
  keys.reserve(ids->size() * names.size());
  for (const auto& name : names) {
    for (const auto& key : *ids) keys.push_back({name, key.id});
  }
  return keys;
}

int64_t new_number(Backend& backend) {
  const auto uuid = backend.new_uuid();
  uint64_t bits = 0;
  std::memcpy(&bits, uuid.bytes.data(), sizeof bits);
  return static_cast<int64_t>(bits >> 5 | uint64_t{1} << 58);
}

uint64_t milliseconds_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

Result<void> keep(Asked& asked, const Found& found, const Collection& now) {
  model::SchemaChange change;
  change.kind = model::SchemaChange::Kind::alter_collection;
  change.name = found.schema->name;
  change.schema = to_schema(now);
  change.schema.incarnation = found.schema->incarnation;
  // An alias, an index, a load state: nothing of this changes how records are stored.
  auto changed = asked.backend.change(change);
  if (!changed) return changed.error();
  return {};
}

std::optional<Wanted> wanted_fields(const CollectionSchema& schema, const std::vector<std::string>& names,
                                    bool with_key, Status& refusal) {
  Wanted wanted;
  std::vector<std::string> members;
  const auto add = [&](const std::string& name) {
    if (std::ranges::find(wanted.columns, name) == wanted.columns.end()) wanted.columns.push_back(name);
    if (std::ranges::find(wanted.output_fields, name) == wanted.output_fields.end())
      wanted.output_fields.push_back(name);
  };
  for (const auto& name : names) {
    if (name == "count(*)") {
      wanted.count = true;
      continue;
    }
    if (name == "*") {
      for (const auto& field : schema.fields) {
        if (!field.dynamic) add(field.name);
      }
      if (schema.dynamic) {
        wanted.meta = wanted.meta_whole = true;
        wanted.output_fields.emplace_back(meta_field);
      }
      continue;
    }
    if (schema.find(name) != nullptr) {
      add(name);
      continue;
    }
    if (!schema.dynamic) {
      refusal = failure(65535, "field " + name + " not exist");
      return std::nullopt;
    }
    wanted.meta = true;
    if (name == meta_field) {
      wanted.meta_whole = true;
    } else if (name.find('[') != std::string::npos) {
      refusal = failure(65535, "parse output field name failed: " + name);
      return std::nullopt;
    } else {
      wanted.members.push_back(name);
    }
    wanted.output_fields.push_back(name);
  }
  if (with_key && schema.primary() != nullptr) add(schema.primary()->name);
  std::vector<std::string> fields;
  for (const auto& name : wanted.columns) {
    const auto* field = schema.find(name);
    if (is_vector(field->type)) {
      wanted.vectors = true;
    } else if (!field->primary) {
      wanted.metadata = true;
      fields.push_back(name);
    }
  }
  wanted.metadata = wanted.metadata || wanted.meta;
  if (!wanted.meta_whole) {
    fields.insert(fields.end(), wanted.members.begin(), wanted.members.end());
    wanted.fields = std::move(fields);
  }
  return wanted;
}

}  // namespace vmproxy::protocols::milvus
