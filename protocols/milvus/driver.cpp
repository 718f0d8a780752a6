// What the server is and what exists on it. Records: driver_records.cpp, driver_query.cpp, driver_scan.cpp; partitions:
// driver_partitions.cpp; what is loaded: driver_load.cpp; what is made anew with its dimension: driver_settle.cpp.
#include "protocols/milvus/driver.h"

#include <algorithm>

#include "protocols/milvus/open_dimension.h"

namespace vmproxy::protocols::milvus {
namespace {

Capabilities capabilities_of(bool recent) {
  Capabilities c;
  c.read_after_write = true;  // consistency level Strong
  // The next time tick, every 200 ms, on its way through the log; up to three times (overlap.h).
  c.read_wait = std::chrono::milliseconds(1500);
  c.id_i64 = true;
  c.id_string = true;
  c.id_bytes_max = 65535;
  c.partitions = true;
  c.partitions_later = true;
  c.spaces = true;
  c.named_vectors = true;
  c.sparse_vectors = recent;
  c.requires_vector = true;
  c.dimension_max = 32768;
  c.metadata_objects = true;
  c.metadata_arrays = true;
  c.metadata_arrays_any = true;
  c.metadata_nulls = true;
  c.metadata_u64 = true;
  c.declared_fields = true;
  c.declared_json_any = recent;
  c.exact_search = true;  // FLAT
  c.metric_fixed = true;  // its index is made with it
  c.batch_records_max = 4000;
  return c;
}

bool legal(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

std::string short_hash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (int shift = 28; shift >= 0; shift -= 4) out += digits[hash >> shift & 15];
  return out;
}

}  // namespace

// Is `there` what CreateCollection makes of `wanted`?
static bool same_form(const CollectionSchema& there, const CollectionSchema& wanted) {
  return std::ranges::all_of(wanted.fields, [&](const FieldSchema& field) {
    const auto* same = there.find(field.name);
    return same != nullptr && same->type == field.type && same->primary == field.primary &&
           number_param(*same, "dim") == number_param(field, "dim") && same->description == field.description;
  });
}

ProtoWriter on_collection(const model::CollectionName& name) {
  ProtoWriter request;
  request.bytes(2, database_of(name.space));
  request.bytes(3, name.name);
  return request;
}

MilvusDriver::MilvusDriver(Client client, std::string home_database, Clock& clock)
    : client_(std::move(client)),
      home_database_(std::move(home_database)),
      clock_(clock),
      overlap_(clock),
      session_(clock, [this](Deadline deadline) { return timestamp_now(client_, deadline); }) {}

static_assert(Driver::others_after > 2 * Session::others_age);  // it is late by as much as an answer may be

const Capabilities& MilvusDriver::capabilities() const {
  static const Capabilities v23 = capabilities_of(false);
  static const Capabilities later = capabilities_of(true);
  return recent_ ? later : v23;
}

Grammar MilvusDriver::grammar() const {
  std::lock_guard hold(mutex_);
  return Grammar::of_version(version_);
}

Result<ServerInfo> MilvusDriver::describe_server(Deadline deadline) {
  auto answer = client_.call("GetVersion", home_database_, {}, deadline);
  ServerInfo info;
  if (!answer && answer.error().code == Code::unsupported) {
    // Milvus Lite has no such call; what answers everything else like it is 2.5.
    info.version = "2.5 (Lite)";
    answer = std::string();
    const auto listed = client_.call("ShowCollections", home_database_, {}, deadline);
    if (!listed) return listed.error();
  }
  if (!answer) return answer.error();
  ProtoReader reader(*answer);
  while (reader.next()) {
    if (reader.field() == 2) info.version = reader.text();
  }
  if (!reader.ok()) return Error(Code::corrupt, "GetVersion: the answer is no message that can be read");
  {
    std::lock_guard hold(mutex_);
    version_ = info.version;
  }
  lite_ = info.version.find("Lite") != info.version.npos;
  recent_ = Grammar::of_version(info.version).like_anywhere;
  info.facts = model::Object{{"version", info.version}};
  return info;
}

Result<std::vector<Space>> MilvusDriver::list_spaces(Deadline deadline) {
  std::vector<Space> spaces;
  const auto answer = client_.call("ListDatabases", default_database, {}, deadline);
  if (!answer && answer.error().code != Code::unsupported) return answer.error();
  if (answer) {
    ProtoReader reader(*answer);
    while (reader.next()) {
      if (reader.field() == 2) spaces.push_back({reader.text(), {}});
    }
    if (!reader.ok()) return Error(Code::corrupt, "ListDatabases: the answer is no message that can be read");
  }
  if (spaces.empty()) spaces.push_back({std::string(default_database), {}});  // Milvus Lite has no others
  return spaces;
}

Result<Collection> MilvusDriver::look_at(const model::CollectionName& name, Deadline deadline) {
  const std::string database = database_of(name.space);
  const auto unreadable = [&](std::string_view rpc) {
    return Error(Code::corrupt,
                 std::string(rpc) + " of '" + to_string(name) + "' is no message that can be read");
  };
  const auto described = client_.call("DescribeCollection", database, on_collection(name), deadline);
  if (!described) return described.error();
  auto read = read_described(*described);
  if (!read) return unreadable("DescribeCollection");
  Collection collection;
  collection.described = std::move(*read);
  collection.described.database = database;
  const auto indexes = client_.call("DescribeIndex", database, on_collection(name), deadline);
  if (indexes) {
    auto list = read_indexes(*indexes);
    if (!list) return unreadable("DescribeIndex");
    collection.indexes = std::move(*list);
  } else if (indexes.error().code != Code::not_found && indexes.error().code != Code::invalid &&
             indexes.error().message.find("index not found") == std::string::npos &&
             indexes.error().message.find("index doesn't exist") == std::string::npos) {
    return indexes.error();
  }
  const auto partitions = client_.call("ShowPartitions", database, on_collection(name), deadline);
  if (partitions) {
    auto list = read_partitions(*partitions);
    if (!list) return unreadable("ShowPartitions");
    collection.partitions = std::move(*list);
  } else if (partitions.error().code != Code::unsupported) {
    return partitions.error();
  }
  const auto state = load_state(name, {}, deadline);
  if (state && *state != LoadState::absent) collection.loaded = *state == LoadState::loaded;
  return collection;
}

Result<std::vector<model::Schema>> MilvusDriver::list_collections(Deadline deadline) {
  const auto spaces = list_spaces(deadline);
  if (!spaces) return spaces.error();
  std::vector<model::Schema> schemas;
  for (const auto& space : *spaces) {
    ProtoWriter request;
    request.bytes(2, space.path);
    const auto answer = client_.call("ShowCollections", space.path, request, deadline);
    if (!answer) return answer.error();
    ProtoReader reader(*answer);
    while (reader.next()) {
      if (reader.field() != 2) continue;
      auto schema = describe({space_of(space.path), reader.text()}, deadline);
      if (!schema) return schema.error();
      if (*schema) schemas.push_back(std::move(**schema));
    }
    if (!reader.ok())
      return Error(Code::corrupt, "ShowCollections: the answer is no message that can be read");
  }
  return schemas;
}

// Between its two lives a collection that is made anew is not there, or only in part.
Result<std::optional<model::Schema>> MilvusDriver::describe(const model::CollectionName& name,
                                                            Deadline deadline) {
  while (true) {
    const uint64_t since = settlings();
    auto found = describe_now(name, deadline);
    std::unique_lock lock(mutex_);
    if (!clock_.wait_until(lock, settled_, deadline, [&] { return !settling_.contains(name); }))
      return Error(Code::timeout,
                   "collection '" + to_string(name) + "' was being made anew until the deadline");
    if (settlings_ == since) return found;
  }
}

Result<std::optional<model::Schema>> MilvusDriver::describe_now(const model::CollectionName& name,
                                                                Deadline deadline) {
  auto collection = look_at(name, deadline);
  if (!collection) {
    if (collection.error().code == Code::not_found) return std::optional<model::Schema>();
    return collection.error().within("collection '" + to_string(name) + "'");
  }
  return std::optional(to_schema(*collection));
}

model::CollectionName MilvusDriver::name_for(const model::CollectionName& name) const {
  constexpr size_t name_bytes_max = 255;
  // The space that others use unless told otherwise has no say in the name; every other one stands in it.
  const bool plain =
      name.space.empty() || name.space == "default" || name.space == "default_tenant/default_database";
  const std::string wanted = plain ? name.name : name.space + "_" + name.name;
  std::string text = wanted;
  std::ranges::replace_if(text, [](char c) { return !legal(c); }, '_');
  if (text.empty() || (text[0] >= '0' && text[0] <= '9')) text = "_" + text;
  if (text != wanted || !plain || text.size() > name_bytes_max)
    text = text.substr(0, name_bytes_max - 9) + "_" + short_hash(to_string(name));
  return {space_of(home_database_), text};
}

Result<void> MilvusDriver::create(const model::Schema& schema, Deadline deadline) {
  return as_it_is(schema.name, deadline, [&] { return make(schema, deadline); });
}

Result<void> MilvusDriver::make_index(const model::CollectionName& name, const model::VectorField& vector,
                                      Deadline deadline) {
  const bool sparse = vector.kind == model::VectorKind::sparse;
  ProtoWriter index = on_collection(name);
  index.bytes(4, vector.name.empty() ? std::string(nameless_vector) : vector.name);
  write_pairs(index, 5,
              {{"index_type", sparse ? "SPARSE_INVERTED_INDEX" : "FLAT"},
               {"metric_type", sparse ? "IP" : std::string(name_of(vector.metric))}});
  auto made = client_.command("CreateIndex", database_of(name.space), index, deadline);
  if (!made) return made.error().within("creating the index of vector '" + vector.name + "'");
  return {};
}

Result<void> MilvusDriver::make(const model::Schema& schema, Deadline deadline) {
  auto shape = to_milvus(schema);
  if (!shape) return shape.error();
  const std::string database = database_of(schema.name.space);
  // CreateCollection says nothing of a collection of the same form that exists already.
  const auto existing = look_at(schema.name, deadline);
  if (!existing && existing.error().code != Code::not_found)
    return existing.error().within("collection '" + to_string(schema.name) + "'");
  if (existing) {
    if (same_form(existing->described.schema, *shape)) {
      // Perhaps ours, whose making was cut short: without index and load nothing could ever be read of it.
      for (const auto& vector : schema.vectors) {
        if (existing->index_of(vector.name.empty() ? std::string(nameless_vector) : vector.name) != nullptr)
          continue;
        auto made = make_index(schema.name, vector, deadline);
        if (!made) return made;
      }
      auto loaded = existing->loaded ? Result<void>() : load(schema.name, deadline);
      if (!loaded) return loaded;
    }
    return Error(Code::already_exists, "collection '" + to_string(schema.name) + "' exists already");
  }
  ProtoWriter request = on_collection(schema.name);
  request.bytes(4, encode(*shape));
  request.i32(5, 1);
  request.i32(6, static_cast<int32_t>(Consistency::strong));
  auto created = client_.command("CreateCollection", database, request, deadline);
  if (!created) return created.error().within("creating collection '" + to_string(schema.name) + "'");
  for (const auto& partition : schema.partitions) {
    ProtoWriter one = on_collection(schema.name);
    one.bytes(4, partition);
    auto made = client_.command("CreatePartition", database, one, deadline);
    if (!made) return made.error().within("creating partition '" + partition + "'");
  }
  for (const auto& vector : schema.vectors) {
    auto made = make_index(schema.name, vector, deadline);
    if (!made) return made;
  }
  forget(schema.name);
  return load(schema.name, deadline);
}

Result<void> MilvusDriver::alter(const model::CollectionName& now, const model::Schema& wanted,
                                 Deadline deadline) {
  forget(now);
  forget(wanted.name);
  if (now != wanted.name) {
    if (now.space != wanted.name.space)
      return Error(Code::unsupported, "collection.move: a collection does not move to another database");
    ProtoWriter request;
    request.bytes(2, database_of(now.space));
    request.bytes(3, now.name);
    request.bytes(4, wanted.name.name);
    auto renamed = client_.command("RenameCollection", database_of(now.space), request, deadline);
    if (renamed || !renamed.error().surely_not_done())
      session_.renamed(to_string(now), to_string(wanted.name));
    if (!renamed) return renamed.error();
  }
  bool some = now != wanted.name;  // a part of it is done
  const auto there = look_at(wanted.name, deadline);
  if (!there) return there.error().not_whole(some);
  for (const auto& partition : wanted.partitions) {
    if (std::ranges::any_of(there->partitions, [&](const auto& p) { return p.name == partition; })) continue;
    ProtoWriter request = on_collection(wanted.name);
    request.bytes(4, partition);
    auto made = client_.command("CreatePartition", database_of(wanted.name.space), request, deadline);
    if (!made) return made.error().not_whole(some);
    some = true;
  }
  return {};
}

Result<void> MilvusDriver::drop(const model::CollectionName& name, Deadline deadline) {
  const auto existing = look_at(name, deadline);
  if (!existing) return existing.error();
  forget(name);
  return client_.command("DropCollection", database_of(name.space), on_collection(name), deadline);
}

// The index was made with the collection, because nothing can be read without one; what is left is to seal
// what was copied, so that the index covers it.
Result<void> MilvusDriver::build_indexes(const model::Schema& schema, Deadline deadline) {
  return as_it_is(schema.name, deadline, [&]() -> Result<void> {
    const std::string database = database_of(schema.name.space);
    ProtoWriter request;
    request.bytes(2, database);
    request.bytes(3, schema.name.name);
    const auto flushed = client_.call("Flush", database, request, deadline);
    if (!flushed && flushed.error().code != Code::unsupported) return flushed.error();
    return load(schema.name, deadline);
  });
}

Result<MilvusDriver::Shape> MilvusDriver::shape_of(const model::Schema& schema, Deadline deadline) {
  // Since 2.6 a collection gets fields in its life (AddCollectionField, the property dynamicfield.enabled). What a query does
  // not name would be missing in every record, for the copy, the mirror and the comparison alike.
  const auto* shown = schema.native.find("describe");
  const std::string life = schema.native_id + "/" + std::to_string(schema.incarnation) + "/" +
                           (shown != nullptr && shown->is_string() ? shown->string() : std::string());
  {
    std::lock_guard hold(mutex_);
    const auto known = shapes_.find(schema.name);
    if (known != shapes_.end() && known->second.first == life) return known->second.second;
  }
  const auto describe = [&] {
    return client_.call("DescribeCollection", database_of(schema.name.space), on_collection(schema.name),
                        deadline);
  };
  const uint64_t since = settlings();
  auto answer = describe();
  if (!answer && answer.error().code == Code::not_found && was_settling(schema.name, since, deadline))
    answer = describe();
  if (!answer) return answer.error().within("collection '" + to_string(schema.name) + "'");
  auto described = read_described(*answer);
  if (!described || described->schema.primary() == nullptr)
    return Error(Code::corrupt,
                 "DescribeCollection of '" + to_string(schema.name) + "' is no message that can be read");
  Shape shape = std::make_shared<const CollectionSchema>(std::move(described->schema));
  if (is_open(*shape)) return shape;  // not for long
  std::lock_guard hold(mutex_);
  shapes_[schema.name] = {life, shape};
  return shape;
}

void MilvusDriver::forget(const model::CollectionName& name) {
  std::lock_guard hold(mutex_);
  shapes_.erase(name);
}

}  // namespace vmproxy::protocols::milvus
