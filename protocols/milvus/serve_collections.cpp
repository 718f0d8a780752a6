// What exists: collections, aliases, loading. Kept in the catalog, not in the other database.
#include <algorithm>

#include "protocols/milvus/rows.h"
#include "protocols/milvus/serve.h"

namespace vmproxy::protocols::milvus {
namespace {

std::optional<Status> refuse_name(const std::string& name) {
  const std::string begin = "Invalid collection name: " + name + ". ";
  if (name.empty()) return failure(1100, "collection name should not be empty: invalid parameter");
  if (name.size() > 255)
    return failure(
        1100, begin + "the length of a collection name must be less than 255 characters: invalid parameter");
  if (name_letters.find(name[0]) == name_letters.npos)
    return failure(
        1100,
        begin +
            "the first character of a collection name must be an underscore or letter: invalid parameter");
  for (const char c : name) {
    if (name_letters.find(c) == name_letters.npos && (c < '0' || c > '9'))
      return failure(
          1100,
          begin + "collection name can only contain numbers, letters and underscores: invalid parameter");
  }
  return std::nullopt;
}

std::optional<Status> refuse_schema(const CollectionSchema& schema) {
  if (schema.primary() == nullptr) return failure(65535, "primary key is not specified");
  bool vector = false;
  for (const auto& field : schema.fields) {
    if (!is_vector(field.type)) continue;
    vector = true;
    if (field.type != DataType::sparse_vector && number_param(field, "dim") == 0)
      return failure(
          65535, "dimension is not defined in field type params, check type param `dim` for vector field");
  }
  if (!vector) return failure(65535, "schema does not contain vector field");
  return std::nullopt;
}

// The schemas without what the server fills in.
std::string plain(CollectionSchema schema) {
  for (auto& field : schema.fields) field.id = 0;
  return encode(schema);
}

Answer create(Asked& asked) {
  std::string database, name, bytes;
  int32_t shards = 0, consistency = 0;
  Pairs properties;
  ProtoReader reader(asked.message);
  while (reader.next()) {
    switch (reader.field()) {
      case 2: database = reader.text(); break;
      case 3: name = reader.text(); break;
      case 4: bytes = std::string(reader.bytes()); break;
      case 5: shards = reader.i32(); break;
      case 6: consistency = reader.i32(); break;
      case 7: read_pair(reader, properties); break;
    }
  }
  auto schema = reader.ok() ? read_collection_schema(bytes) : std::nullopt;
  if (!schema) return grpc_refusal(13, "the message cannot be read");
  if (const auto refusal = refuse_name(name)) return answer(asked.rpc, *refusal);
  if (const auto refusal = refuse_schema(*schema)) return answer(asked.rpc, *refusal);
  const Target target = target_of(asked, database, name);
  if (target.found) {
    if (plain(target.found->collection.described.schema) == plain(*schema)) return done(asked.rpc);
    return answer(
        asked.rpc,
        failure(65535, "create duplicate collection with different parameters, collection: " + name));
  }
  Collection made;
  schema->name = name;
  int64_t field_id = 100;
  for (auto& field : schema->fields) field.id = field_id++;
  made.loaded = false;
  made.described.schema = std::move(*schema);
  made.described.id = new_number(asked.backend);
  made.described.name = name;
  made.described.database = target.database;
  made.described.shards = std::max(shards, 1);
  made.described.consistency = static_cast<Consistency>(consistency);
  made.described.properties = std::move(properties);
  made.described.partitions = 1;
  made.described.created_utc = milliseconds_now();
  made.described.created = made.described.created_utc << 18;
  made.described.physical_channels.push_back("by-dev-rootcoord-dml_0");
  made.described.virtual_channels.push_back("by-dev-rootcoord-dml_0_" + std::to_string(made.described.id) +
                                            "v0");
  made.partitions.push_back({std::string(default_partition), made.described.id + 1, made.described.created,
                             made.described.created_utc});
  model::SchemaChange change;
  change.kind = model::SchemaChange::Kind::create_collection;
  change.schema = to_schema(made);
  auto created = asked.backend.change(change);
  if (!created) {
    if (created.error().code == Code::already_exists)
      return answer(asked.rpc, failure(65535, created.error().message));
    return created.error();
  }
  return done(asked.rpc);
}

Answer drop(Asked& asked, const Target& target) {
  if (!target.found) return done(asked.rpc);
  if (target.name != target.found->collection.described.name)
    return answer(asked.rpc, failure(65535, "cannot drop the collection via alias = " + target.name));
  model::SchemaChange change;
  change.kind = model::SchemaChange::Kind::drop_collection;
  change.name = target.found->schema->name;
  auto dropped = asked.backend.change(change);
  if (!dropped) return dropped.error();
  return done(asked.rpc);
}

Answer rename(Asked& asked, const Target& target, const std::string& name) {
  if (const auto refusal = refuse_name(name)) return answer(asked.rpc, *refusal);
  if (!target.found) return answer(asked.rpc, target.refusal());
  if (find_collection(asked.backend.catalog(), target.database, name))
    return answer(asked.rpc, failure(65535, "duplicated new collection name default:" + name +
                                                " with other collection name or alias"));
  Collection now = target.found->collection;
  now.described.name = name;
  now.described.schema.name = name;
  auto kept = keep(asked, *target.found, now);
  if (!kept) return kept.error();
  return done(asked.rpc);
}

Answer show(Asked& asked) {
  const auto address = read_address(asked.message);
  if (!address) return grpc_refusal(13, "the message cannot be read");
  std::vector<std::string> names;
  bool in_memory = false;
  ProtoReader reader(asked.message);
  while (reader.next()) {
    if (reader.field() == 4) in_memory = reader.i32() == 1;
    if (reader.field() == 5) names.push_back(reader.text());
  }
  const std::string space = space_of(asked.database(address->database));
  ProtoWriter out;
  out.always_bytes(1, encode(Status()));
  std::vector<int64_t> ids, percentages;
  std::vector<uint64_t> created, created_utc;
  std::vector<uint8_t> available;
  for (const auto& schema : asked.backend.catalog().collections) {
    if (schema.name.space != space) continue;
    const auto collection = from_native(schema.native);
    if (!collection || (in_memory && !collection->loaded)) continue;
    if (!names.empty() && std::ranges::find(names, schema.name.name) == names.end()) continue;
    out.always_bytes(2, schema.name.name);
    ids.push_back(collection->described.id);
    created.push_back(collection->described.created);
    created_utc.push_back(collection->described.created_utc);
    percentages.push_back(100);
    available.push_back(1);
  }
  out.packed(3, ids);
  out.packed(4, created);
  out.packed(5, created_utc);
  if (in_memory) {
    out.packed(6, percentages);
    out.packed_booleans(7, available);
  }
  return answer(out.view());
}

Answer describe(Asked& asked) {
  const auto address = read_address(asked.message);
  int64_t id = 0;
  ProtoReader reader(asked.message);
  while (reader.next()) {
    if (reader.field() == 4) id = reader.i64();
  }
  if (!address || !reader.ok()) return grpc_refusal(13, "the message cannot be read");
  const std::string database = asked.database(address->database);
  std::optional<Found> found;
  if (address->collection.empty() && id != 0) {
    for (const auto& schema : asked.backend.catalog().collections) {
      auto collection = from_native(schema.native);
      if (collection && collection->described.id == id) found = Found{&schema, std::move(*collection)};
    }
  } else {
    found = find_collection(asked.backend.catalog(), database, address->collection);
  }
  if (found) return answer(encode(found->collection.described));
  const std::string where = address->collection.empty()
                                ? "collection not found[collection=" + std::to_string(id) + "]"
                                : collection_not_found(database, address->collection).reason;
  Status status = failure(100, "can't find collection " + where);
  status.error_code = 1;
  status.detail = where;
  return answer(asked.rpc, status);
}

Answer with_number(uint32_t field, uint64_t value) {
  ProtoWriter out;
  out.always_bytes(1, encode(Status()));
  out.u64(field, value);
  return answer(out.view());
}

Answer set_loaded(Asked& asked, const Found& found, bool loaded) {
  if (found.collection.loaded == loaded && found.collection.released.empty()) return done(asked.rpc);
  Collection now = found.collection;
  now.released.clear();
  if (loaded && now.indexes.empty())
    return answer(asked.rpc, failure(700, "index not found[collection=" + now.described.name + "]"));
  now.loaded = loaded;
  auto kept = keep(asked, found, now);
  if (!kept) return kept.error();
  return done(asked.rpc);
}

// GetLoadState, GetLoadingProgress: 3 partitions; none: of the collection, loaded when some of its partitions are.
Answer loading(const Asked& asked, const Found& found) {
  const Collection& collection = found.collection;
  bool loaded = collection.loaded;
  ProtoReader reader(asked.message);
  while (reader.next()) {
    if (reader.field() != 3) continue;
    const std::string name = reader.text();
    if (std::ranges::none_of(collection.partitions, [&](const auto& one) { return one.name == name; }))
      return answer(asked.rpc, failure(200, "partition not found[partition=" + name + "]"));
    loaded = loaded && !collection.released_partition(name);
  }
  if (asked.rpc == Rpc::get_load_state) return with_number(2, loaded ? 3 : 1);  // 1: not loaded, 3: loaded
  ProtoWriter out;
  out.always_bytes(1, encode(Status()));
  out.i64(2, loaded ? 100 : 0);
  out.i64(3, 100);
  return answer(out.view());
}

Answer alter(Asked& asked, const Found& found) {
  Collection now = found.collection;
  ProtoReader reader(asked.message);
  Pairs wanted;
  while (reader.next()) {
    if (reader.field() == 5) read_pair(reader, wanted);
    if (reader.field() == 6)
      std::erase_if(now.described.properties,
                    [name = reader.text()](const auto& pair) { return pair.first == name; });
  }
  for (const auto& [key, value] : wanted) set(now.described.properties, key, value);
  auto kept = keep(asked, found, now);
  if (!kept) return kept.error();
  return done(asked.rpc);
}

// CreateAlias, AlterAlias: 3 collection, 4 alias. DropAlias, DescribeAlias: 3 alias. ListAliases: 3
// collection.
Answer aliases(Asked& asked, const Address& address) {
  const std::string database = asked.database(address.database);
  const auto& catalog = asked.backend.catalog();
  const auto erase = [&](const std::string& alias) -> Result<void> {
    const auto found = find_collection(catalog, database, alias);
    if (!found || found->collection.described.name == alias) return {};
    Collection now = found->collection;
    std::erase(now.described.aliases, alias);
    return keep(asked, *found, now);
  };
  if (asked.rpc == Rpc::drop_alias) {
    auto erased = erase(address.collection);
    if (!erased) return erased.error();
    return done(asked.rpc);
  }
  if (asked.rpc == Rpc::describe_alias) {
    const auto found = find_collection(catalog, database, address.collection);
    if (!found || found->collection.described.name == address.collection)
      return answer(asked.rpc, failure(1600, "alias not found[database=" + database +
                                                 "][alias=" + address.collection + "]"));
    ProtoWriter out;
    out.always_bytes(1, encode(Status()));
    out.bytes(2, database);
    out.bytes(3, address.collection);
    out.bytes(4, found->collection.described.name);
    return answer(out.view());
  }
  if (asked.rpc == Rpc::list_aliases) {
    ProtoWriter out;
    out.always_bytes(1, encode(Status()));
    for (const auto& schema : catalog.collections) {
      if (schema.name.space != space_of(database)) continue;
      if (!address.collection.empty() && schema.name.name != address.collection) continue;
      if (const auto collection = from_native(schema.native)) {
        for (const auto& alias : collection->described.aliases) out.always_bytes(4, alias);
      }
    }
    return answer(out.view());
  }
  const auto holder = find_collection(catalog, database, address.fourth);
  if (asked.rpc == Rpc::create_alias && holder)
    return answer(asked.rpc, failure(65535, address.fourth + " is alias to another collection: " +
                                                holder->collection.described.name));
  if (asked.rpc == Rpc::alter_alias && !holder)
    return answer(asked.rpc,
                  failure(1600, "alias not found[database=" + database + "][alias=" + address.fourth + "]"));
  if (!find_collection(catalog, database, address.collection))
    return answer(asked.rpc, collection_not_found(database, address.collection));
  if (auto erased = erase(address.fourth); !erased) return erased.error();
  // The catalog is another one now.
  const auto found = find_collection(asked.backend.catalog(), database, address.collection);
  if (!found) return answer(asked.rpc, collection_not_found(database, address.collection));
  Collection now = found->collection;
  now.described.aliases.push_back(address.fourth);
  auto kept = keep(asked, *found, now);
  if (!kept) return kept.error();
  return done(asked.rpc);
}

}  // namespace

Answer serve_collections(Asked& asked) {
  auto address = read_address(asked.message);
  if (!address) return grpc_refusal(13, "the message cannot be read");
  if (asked.rpc == Rpc::get_load_state || asked.rpc == Rpc::get_loading_progress) {
    // These have the collection in field 2 and the database in field 4.
    address->collection = address->database;
    address->database = address->fourth;
  }
  switch (asked.rpc) {
    case Rpc::create_collection: return create(asked);
    case Rpc::show_collections: return show(asked);
    case Rpc::describe_collection: return describe(asked);
    case Rpc::create_alias:
    case Rpc::drop_alias:
    case Rpc::alter_alias:
    case Rpc::describe_alias:
    case Rpc::list_aliases: return aliases(asked, *address);
    default: break;
  }
  const Target target = target_of(asked, address->database, address->collection);
  if (asked.rpc == Rpc::drop_collection) return drop(asked, target);
  if (asked.rpc == Rpc::rename_collection) return rename(asked, target, address->fourth);
  if (asked.rpc == Rpc::has_collection) return with_number(2, target.found ? 1 : 0);
  if (asked.rpc == Rpc::get_load_state && !target.found) return with_number(2, 0);
  if (!target.found) return answer(asked.rpc, target.refusal());
  const Found& found = *target.found;
  switch (asked.rpc) {
    case Rpc::load_collection: return set_loaded(asked, found, true);
    case Rpc::release_collection: return set_loaded(asked, found, false);
    case Rpc::get_load_state:
    case Rpc::get_loading_progress: return loading(asked, found);
    case Rpc::get_collection_statistics: return statistics(asked, found, {});
    case Rpc::alter_collection: return alter(asked, found);
    case Rpc::alter_collection_field:
      return Error(Code::unsupported, "collection.alter_field: only Milvus itself can do this");
    default: return serve_partitions(asked, found, *address);
  }
}

}  // namespace vmproxy::protocols::milvus
