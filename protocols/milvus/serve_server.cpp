// The server itself: identity, health, flush, databases.
#include <algorithm>
#include <chrono>

#include "protocols/milvus/serve.h"

namespace vmproxy::protocols::milvus {
namespace {

std::string version_of(const Catalog& catalog) {
  const auto* version = catalog.server.find("version");
  return version != nullptr && version->is_string() ? version->string() : "v2.3.5";
}

// Hybrid timestamps: milliseconds of the wall clock, 18 bits of a counter.
uint64_t timestamp_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count()) << 18;
}

Answer connect(Asked& asked) {
  ProtoWriter info;
  info.bytes(1, version_of(asked.backend.catalog()));
  info.bytes(5, "STANDALONE");
  ProtoWriter out;
  out.always_bytes(1, encode(Status()));
  out.always_bytes(2, info.view());
  out.i64(3, static_cast<int64_t>(timestamp_now()));
  return answer(out.view());
}

Answer flush(Asked& asked) {
  const auto address = read_address(asked.message);
  if (!address) return grpc_refusal(13, "the message cannot be read");
  const std::string database = asked.database(address->database);
  ProtoReader reader(asked.message);
  std::vector<std::string> names;
  while (reader.next()) {
    if (reader.field() == 3) names.push_back(reader.text());
  }
  ProtoWriter out;
  out.always_bytes(1, encode(Status()));
  out.bytes(2, database);
  for (const auto& name : names) {
    if (!find_collection(asked.backend.catalog(), database, name))
      return answer(asked.rpc, collection_not_found(database, name));
    // What was acknowledged is on disk already, so there is nothing left to seal.
    const uint64_t now = timestamp_now();
    for (const uint32_t map : {3u, 4u}) {
      ProtoWriter entry;
      entry.bytes(1, name);
      entry.always_bytes(2, "");
      out.always_bytes(map, entry.view());
    }
    for (const auto& [map, value] : {std::pair{5u, (now >> 18) / 1000}, std::pair{6u, now}}) {
      ProtoWriter entry;
      entry.bytes(1, name);
      entry.u64(2, value);
      out.always_bytes(map, entry.view());
    }
  }
  return answer(out.view());
}

Answer with_flag(uint32_t field, bool value) {
  ProtoWriter out;
  out.always_bytes(1, encode(Status()));
  out.boolean(field, value);
  return answer(out.view());
}

Answer list_databases(Asked& asked) {
  ProtoWriter out;
  out.always_bytes(1, encode(Status()));
  bool known = false;
  for (const auto& space : asked.backend.catalog().spaces) {
    out.always_bytes(2, space.path);
    known = known || space.path == default_database;
  }
  if (!known) out.always_bytes(2, default_database);
  return answer(out.view());
}

Answer change_database(Asked& asked) {
  const auto address = read_address(asked.message);
  if (!address) return grpc_refusal(13, "the message cannot be read");
  const std::string& name = address->database;
  const auto& catalog = asked.backend.catalog();
  const bool known = name == default_database || catalog.find_space(name) != nullptr;
  if (asked.rpc == Rpc::create_database) {
    if (known) return answer(asked.rpc, failure(65535, "database already exist: " + name));
    auto made = asked.backend.change_space(model::SchemaChange::Kind::create_space, {name, {}});
    if (!made) return made.error();
    return done(asked.rpc);
  }
  if (name == default_database) return answer(asked.rpc, failure(65535, "can not drop default database"));
  if (!known) return answer(asked.rpc, failure(800, "database not found[database=" + name + "]"));
  const bool empty = std::ranges::none_of(
      catalog.collections, [&](const model::Schema& schema) { return schema.name.space == space_of(name); });
  if (!empty)
    return answer(
        asked.rpc,
        failure(65535, "database:" + name + " not empty, must drop all collections before drop database"));
  auto dropped = asked.backend.change_space(model::SchemaChange::Kind::drop_space, {name, {}});
  if (!dropped) return dropped.error();
  return done(asked.rpc);
}

}  // namespace

Answer serve_server(Asked& asked) {
  switch (asked.rpc) {
    case Rpc::connect: return connect(asked);
    case Rpc::get_version: {
      ProtoWriter out;
      out.always_bytes(1, encode(Status()));
      out.bytes(2, version_of(asked.backend.catalog()));
      return answer(out.view());
    }
    case Rpc::check_health: return with_flag(2, true);
    case Rpc::get_component_states: return done(asked.rpc);
    case Rpc::grpc_health: {
      ProtoWriter out;
      out.always_u64(1, 1);  // SERVING
      return answer(out.view());
    }
    case Rpc::client_heartbeat:
      return grpc_refusal(12, "unknown service milvus.proto.milvus.ClientTelemetryService");
    case Rpc::flush: return flush(asked);
    case Rpc::flush_all:
    case Rpc::alloc_timestamp: {
      ProtoWriter out;
      out.always_bytes(1, encode(Status()));
      out.u64(2, timestamp_now());
      return answer(out.view());
    }
    case Rpc::get_flush_state:
    case Rpc::get_flush_all_state: return with_flag(2, true);
    case Rpc::list_databases: return list_databases(asked);
    case Rpc::create_database:
    case Rpc::drop_database: return change_database(asked);
    default: return Error(Code::unsupported, "database.describe: only Milvus itself can do this");
  }
}

}  // namespace vmproxy::protocols::milvus
