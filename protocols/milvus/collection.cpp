// The messages that show a collection, and how they are kept in Schema::native.
#include "protocols/milvus/collection.h"

#include <algorithm>

namespace vmproxy::protocols::milvus {
namespace {

using model::Value;

std::string to_hex(std::string_view bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out += digits[static_cast<uint8_t>(c) >> 4];
    out += digits[c & 15];
  }
  return out;
}

std::optional<std::string> from_hex(std::string_view text) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  std::string out;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    if (digit(text[i]) < 0 || digit(text[i + 1]) < 0) return std::nullopt;
    out += static_cast<char>(digit(text[i]) << 4 | digit(text[i + 1]));
  }
  return text.size() % 2 == 0 ? std::optional(out) : std::nullopt;
}

bool read_into(ProtoReader& reader, Status* status) {
  auto read = read_status(reader.bytes());
  if (read && status != nullptr) *status = std::move(*read);
  return read.has_value();
}

}  // namespace

std::optional<Described> read_described(std::string_view bytes, Status* status) {
  Described out;
  ProtoWriter rest;
  ProtoReader reader(bytes);
  while (reader.next()) {
    switch (reader.field()) {
      case 1:
        if (!read_into(reader, status)) return std::nullopt;
        break;
      case 2: {
        auto schema = read_collection_schema(reader.bytes());
        if (!schema) return std::nullopt;
        out.schema = std::move(*schema);
        break;
      }
      case 3: out.id = reader.i64(); break;
      case 4: out.virtual_channels.push_back(reader.text()); break;
      case 5: out.physical_channels.push_back(reader.text()); break;
      case 6: out.created = reader.u64(); break;
      case 7: out.created_utc = reader.u64(); break;
      case 8: out.shards = reader.i32(); break;
      case 9: out.aliases.push_back(reader.text()); break;
      case 11: out.consistency = static_cast<Consistency>(reader.i32()); break;
      case 12: out.name = reader.text(); break;
      case 13: read_pair(reader, out.properties); break;
      case 14: out.database = reader.text(); break;
      case 15: out.partitions = reader.i64(); break;
      default: rest.raw(reader.raw());
    }
  }
  if (!reader.ok()) return std::nullopt;
  out.rest = rest.take();
  if (out.name.empty()) out.name = out.schema.name;
  return out;
}

std::string encode(const Described& described) {
  ProtoWriter out;
  out.always_bytes(1, encode(Status()));
  out.always_bytes(2, encode(described.schema));
  out.i64(3, described.id);
  for (const auto& channel : described.virtual_channels) out.always_bytes(4, channel);
  for (const auto& channel : described.physical_channels) out.always_bytes(5, channel);
  out.u64(6, described.created);
  out.u64(7, described.created_utc);
  out.i32(8, described.shards);
  for (const auto& alias : described.aliases) out.always_bytes(9, alias);
  out.i32(11, static_cast<int32_t>(described.consistency));
  out.bytes(12, described.name);
  write_pairs(out, 13, described.properties);
  out.bytes(14, described.database);
  out.i64(15, described.partitions);
  out.raw(described.rest);
  return out.take();
}

std::optional<std::vector<IndexInfo>> read_indexes(std::string_view bytes, Status* status) {
  std::vector<IndexInfo> indexes;
  ProtoReader reader(bytes);
  while (reader.next()) {
    if (reader.field() == 1 && !read_into(reader, status)) return std::nullopt;
    if (reader.field() != 2) continue;
    IndexInfo index;
    index.state = 0;
    ProtoReader one(reader.bytes());
    while (one.next()) {
      switch (one.field()) {
        case 1: index.name = one.text(); break;
        case 2: index.id = one.i64(); break;
        case 3: read_pair(one, index.params); break;
        case 4: index.field = one.text(); break;
        case 5: index.indexed_rows = one.i64(); break;
        case 6: index.total_rows = one.i64(); break;
        case 7: index.state = one.i32(); break;
        case 8: index.failure = one.text(); break;
        case 9: index.pending_rows = one.i64(); break;
      }
    }
    if (!one.ok()) return std::nullopt;
    indexes.push_back(std::move(index));
  }
  if (!reader.ok()) return std::nullopt;
  return indexes;
}

std::string encode(const std::vector<IndexInfo>& indexes) {
  ProtoWriter out;
  out.always_bytes(1, encode(Status()));
  for (const auto& index : indexes) {
    ProtoWriter one;
    one.bytes(1, index.name);
    one.i64(2, index.id);
    write_pairs(one, 3, index.params);
    one.bytes(4, index.field);
    one.i64(5, index.indexed_rows);
    one.i64(6, index.total_rows);
    one.i32(7, index.state);
    one.bytes(8, index.failure);
    one.i64(9, index.pending_rows);
    out.always_bytes(2, one.view());
  }
  return out.take();
}

std::optional<std::vector<PartitionInfo>> read_partitions(std::string_view bytes, Status* status) {
  std::vector<std::string> names;
  std::vector<int64_t> ids;
  std::vector<uint64_t> created, created_utc;
  ProtoReader reader(bytes);
  while (reader.next()) {
    switch (reader.field()) {
      case 1:
        if (!read_into(reader, status)) return std::nullopt;
        break;
      case 2: names.push_back(reader.text()); break;
      case 3: reader.append(ids); break;
      case 4: reader.append(created); break;
      case 5: reader.append(created_utc); break;
    }
  }
  if (!reader.ok()) return std::nullopt;
  std::vector<PartitionInfo> partitions;
  for (size_t i = 0; i < names.size(); ++i) {
    partitions.push_back({names[i], i < ids.size() ? ids[i] : 0, i < created.size() ? created[i] : 0,
                          i < created_utc.size() ? created_utc[i] : 0});
  }
  return partitions;
}

std::string encode(const std::vector<PartitionInfo>& partitions) {
  ProtoWriter out;
  out.always_bytes(1, encode(Status()));
  std::vector<int64_t> ids;
  std::vector<uint64_t> created, created_utc;
  for (const auto& one : partitions) {
    out.always_bytes(2, one.name);
    ids.push_back(one.id);
    created.push_back(one.created);
    created_utc.push_back(one.created_utc);
  }
  out.packed(3, ids);
  out.packed(4, created);
  out.packed(5, created_utc);
  return out.take();
}

const IndexInfo* Collection::index_of(std::string_view field) const {
  const auto at = std::ranges::find_if(indexes, [&](const IndexInfo& index) { return index.field == field; });
  return at == indexes.end() ? nullptr : &*at;
}

bool Collection::released_partition(std::string_view name) const {
  return std::ranges::find(released, name) != released.end();
}

Value to_native(const Collection& collection) {
  model::Object native{{"describe", to_hex(encode(collection.described))},
                       {"indexes", to_hex(encode(collection.indexes))},
                       {"partitions", to_hex(encode(collection.partitions))},
                       {"loaded", collection.loaded}};
  if (!collection.released.empty()) {
    native["released"] = model::Array(collection.released.begin(), collection.released.end());
  }
  if (!collection.metrics.empty()) {
    model::Object metrics;
    for (const auto& [field, metric] : collection.metrics) metrics[field] = metric;
    native["metrics"] = std::move(metrics);
  }
  return native;
}

std::optional<Collection> from_native(const Value& native) {
  const auto bytes = [&](std::string_view name) -> std::optional<std::string> {
    const Value* member = native.find(name);
    return member == nullptr || !member->is_string() ? std::nullopt : from_hex(member->string());
  };
  const auto describe = bytes("describe"), indexes = bytes("indexes"), partitions = bytes("partitions");
  if (!describe || !indexes || !partitions) return std::nullopt;
  auto described = read_described(*describe);
  auto index_list = read_indexes(*indexes);
  auto partition_list = read_partitions(*partitions);
  if (!described || !index_list || !partition_list) return std::nullopt;
  const Value* loaded = native.find("loaded");
  Collection collection{std::move(*described),
                        std::move(*index_list),
                        loaded == nullptr || *loaded == Value(true),
                        std::move(*partition_list),
                        {},
                        {}};
  if (const Value* released = native.find("released"); released != nullptr && released->is_array()) {
    for (const Value& name : released->array()) {
      if (name.is_string()) collection.released.push_back(name.string());
    }
  }
  if (const Value* metrics = native.find("metrics"); metrics != nullptr && metrics->is_object()) {
    for (const auto& [field, metric] : metrics->object()) {
      if (metric.is_string()) collection.metrics.emplace_back(field, metric.string());
    }
  }
  return collection;
}

}  // namespace vmproxy::protocols::milvus
