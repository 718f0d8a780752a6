// What exists: tenants, databases, collections.
#include "protocols/chroma/driver.h"

#include "protocols/wire/json.h"

namespace vmproxy::protocols::chroma {
namespace {

using model::Object;
using model::Schema;
using model::Value;

std::string tenant_target(std::string_view tenant) {
  return "/api/v2/tenants/" + net::percent_encode(tenant);
}

Result<Value> parse(const Result<std::string>& body) {
  if (!body) return body.error();
  auto value = wire::parse_json(*body);
  if (!value) return Error(Code::corrupt, "the server's answer is no JSON: " + value.error().message);
  return value;
}

std::string text_of(const Value& value, std::string_view name) {
  const Value* member = value.find(name);
  return member != nullptr && member->is_string() ? member->string() : std::string();
}

std::string_view space_name(model::Metric metric) {
  switch (metric) {
    case model::Metric::l2: return "l2";
    case model::Metric::cosine: return "cosine";
    case model::Metric::inner_product: return "ip";
  }
  return "l2";
}

// Parameters of the index where the collection comes from a Chroma, else the metric alone.
Value configuration_of(const Schema& schema) {
  Object hnsw{{"space", space_name(schema.vectors.empty() ? model::Metric::l2 : schema.vectors[0].metric)}};
  const Value* shown = schema.native.find("configuration_json");
  const Value* shown_hnsw = shown == nullptr ? nullptr : shown->find("hnsw");
  if (shown_hnsw != nullptr && shown_hnsw->is_object()) {
    for (const auto* name :
         {"ef_construction", "ef_search", "max_neighbors", "resize_factor", "sync_threshold"}) {
      if (const Value* value = shown_hnsw->find(name); value != nullptr && value->is_number())
        hnsw[name] = *value;
    }
  }
  Object configuration{{"hnsw", std::move(hnsw)}};
  const Value* function = shown == nullptr ? nullptr : shown->find("embedding_function");
  if (function != nullptr && function->is_object()) configuration["embedding_function"] = *function;
  return configuration;
}

// Chroma keeps scalars of a collection; anything else is kept as its JSON text, so that it is not lost.
Value metadata_of(const Schema& schema) {
  if (!schema.metadata.is_object() || schema.metadata.object().empty()) return nullptr;
  Object kept;
  for (const auto& [name, value] : schema.metadata.object()) {
    if (name.empty() || value.is_null()) continue;
    kept[name] = value.is_array() || value.is_object() ? Value(wire::to_json(value)) : value;
  }
  return kept.empty() ? Value() : Value(std::move(kept));
}

// A legal name that tells different names apart: what is illegal becomes '-', and a hash of the whole is
// appended.
std::string legal_name(const std::string& name) {
  if (!name_objection(name)) return name;
  uint64_t hash = 0xcbf29ce484222325;
  std::string kept;
  for (const char c : name) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
    const bool legal = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    if (kept.size() < 480) kept += legal ? c : '-';
  }
  constexpr char digits[] = "0123456789abcdef";
  std::string text = "c" + kept + "-";
  for (int shift = 60; shift >= 0; shift -= 4) text += digits[hash >> shift & 15];
  return text;
}

}  // namespace

ChromaDriver::ChromaDriver(const Endpoint& endpoint, Caller caller, Place home, std::set<std::string> tenants)
    : api_(endpoint, std::move(caller)), home_(std::move(home)), tenants_(std::move(tenants)) {
  capabilities_.read_after_write =
      true;  // a read first takes in the log of the writes acknowledged before it
  capabilities_.id_string = true;
  capabilities_.spaces = true;
  capabilities_.documents = true;
  capabilities_.requires_vector = true;
  capabilities_.metadata_arrays = true;
  capabilities_.metric_fixed = true;
  capabilities_.insert_only = true;        // add leaves existing records alone, each by itself
  capabilities_.batch_records_max = 5461;  // what 1.5.9 tells; larger batches are cut
}

Result<ServerInfo> ChromaDriver::describe_server(Deadline deadline) {
  const auto version = parse(api_.get("/api/v2/version", deadline));
  if (!version) return version.error();
  const auto preflight = parse(api_.get("/api/v2/pre-flight-checks", deadline));
  if (!preflight) return preflight.error();
  const auto identity = parse(api_.get("/api/v2/auth/identity", deadline));
  if (!identity) return identity.error();
  ServerInfo info;
  info.version = version->is_string() ? version->string() : wire::to_json(*version);
  info.facts = Object{{"version", *version}, {"preflight", *preflight}, {"identity", *identity}};
  return info;
}

// The API lists the databases of a tenant but not the tenants: we know the default one, the caller's own and
// those that the configuration names. Collections of other tenants are not found.
// Lists come in one answer: pages by offset miss one when another is deleted meanwhile, which then seems dropped.
Result<std::vector<Space>> ChromaDriver::list_spaces(Deadline deadline) {
  std::set<std::string> tenants = tenants_;
  const auto identity = parse(api_.get("/api/v2/auth/identity", deadline));
  if (!identity) return identity.error();
  if (const std::string own = text_of(*identity, "tenant"); !own.empty()) tenants.insert(own);
  std::vector<Space> spaces;
  for (const auto& tenant : tenants) {
    auto native = parse(api_.get(tenant_target(tenant), deadline));
    if (!native) {
      if (native.error().code == Code::not_found) continue;
      return native.error().within("tenant '" + tenant + "'");
    }
    spaces.push_back({tenant_path(tenant), std::move(*native)});
    const auto listed = parse(api_.get(tenant_target(tenant) + "/databases", deadline));
    if (!listed) return listed.error().within("tenant '" + tenant + "'");
    if (!listed->is_array()) return Error(Code::corrupt, "the list of databases is no list");
    for (const Value& database : listed->array())
      spaces.push_back({space_path(tenant, text_of(database, "name")), database});
  }
  return spaces;
}

Result<std::vector<Schema>> ChromaDriver::list_collections(Deadline deadline) {
  const auto spaces = list_spaces(deadline);
  if (!spaces) return spaces.error();
  std::vector<Schema> all;
  for (const Space& space : *spaces) {
    if (!place_of(space.path)) continue;
    const auto target = database_target(space.path);
    const auto listed = parse(api_.get(*target + "/collections", deadline));
    if (!listed) return listed.error().within("database '" + space.path + "'");
    if (!listed->is_array()) return Error(Code::corrupt, "the list of collections is no list");
    for (const Value& native : listed->array()) {
      auto schema = schema_of(native);
      if (!schema) return schema.error().within("database '" + space.path + "'");
      api_.remember(*schema);
      all.push_back(std::move(*schema));
    }
  }
  return all;
}

Result<std::optional<Schema>> ChromaDriver::describe(const model::CollectionName& name, Deadline deadline) {
  const auto target = database_target(name.space);
  if (!target) return target.error();
  const auto native = parse(api_.get(*target + "/collections/" + net::percent_encode(name.name), deadline));
  if (!native) {
    if (native.error().code != Code::not_found) return native.error();
    api_.forget(name);
    return std::optional<Schema>();
  }
  auto schema = schema_of(*native);
  if (!schema) return schema.error();
  api_.remember(*schema);
  return std::optional<Schema>(std::move(*schema));
}

// TENANT/DATABASE stays, where it is one; another system's single level becomes a database of the home
// tenant.
model::CollectionName ChromaDriver::name_for(const model::CollectionName& name) const {
  model::CollectionName here{space_path(home_.tenant, home_.database), legal_name(name.name)};
  if (name.space.empty() || name.space == "default") return here;
  const auto place = place_of(name.space);
  if (place && place->tenant.size() >= 3 && !name_objection(place->database)) {
    here.space = name.space;
  } else {
    here.space = space_path(home_.tenant, legal_name(name.space));
  }
  return here;
}

Result<void> ChromaDriver::make_space(const Place& place, Deadline deadline) {
  const auto made = [](const Result<std::string>& answered) -> Result<void> {
    if (answered || answered.error().code == Code::already_exists) return {};
    return answered.error();
  };
  if (auto done =
          made(api_.call("POST", "/api/v2/tenants", wire::to_json(Object{{"name", place.tenant}}), deadline));
      !done)
    return done;
  return made(api_.call("POST", tenant_target(place.tenant) + "/databases",
                        wire::to_json(Object{{"name", place.database}}), deadline));
}

Result<void> ChromaDriver::create(const Schema& schema, Deadline deadline) {
  const auto place = place_of(schema.name.space);
  const auto target = database_target(schema.name.space);
  if (!target) return target.error();
  if (schema.vectors.size() != 1 || schema.vectors[0].kind == model::VectorKind::sparse) {
    return Error(Code::unsupported, "vector.fields: a Chroma collection has exactly one dense vector field");
  }
  const auto database = api_.get(*target, deadline);
  if (!database) {
    if (database.error().code != Code::not_found) return database.error();
    if (auto done = make_space(*place, deadline); !done) return done;
  }
  const Value body = Object{{"name", schema.name.name},
                            {"metadata", metadata_of(schema)},
                            {"configuration", configuration_of(schema)},
                            {"get_or_create", false}};
  const auto native = parse(api_.call("POST", *target + "/collections", wire::to_json(body), deadline));
  if (!native) return native.error().within("collection '" + to_string(schema.name) + "'");
  auto made = schema_of(*native);
  if (!made) return made.error().within("collection '" + to_string(schema.name) + "'");
  made->name = schema.name;
  api_.remember(*made);
  return {};
}

Result<void> ChromaDriver::alter(const model::CollectionName& now, const Schema& wanted, Deadline deadline) {
  if (now.space != wanted.name.space)
    return Error(Code::unsupported, "collection.move: a collection stays in its database");
  const auto current = describe(now, deadline);
  if (!current) return current.error();
  if (!*current) return Error(Code::not_found, "collection '" + to_string(now) + "' does not exist");
  Object body;
  if (now.name != wanted.name.name) body["new_name"] = wanted.name.name;
  const Value metadata = metadata_of(wanted);
  const Value& shown = (*current)->metadata;
  if (metadata.is_object() && !(metadata == shown)) body["new_metadata"] = metadata;
  if (metadata.is_null() && shown.is_object() && !shown.object().empty()) {
    // Replaces all of it; a null alone leaves nothing.
    body["new_metadata"] = Object{{shown.object().begin()->first, nullptr}};
  }
  const Value wanted_configuration = configuration_of(wanted);
  const Value current_configuration = configuration_of(**current);
  Object hnsw;
  for (const auto* name : {"ef_search", "max_neighbors", "resize_factor", "sync_threshold"}) {
    const Value* value = wanted_configuration.find("hnsw")->find(name);
    if (value != nullptr && !(current_configuration.find("hnsw")->find(name) != nullptr &&
                              *value == *current_configuration.find("hnsw")->find(name))) {
      hnsw[name] = *value;
    }
  }
  Object configuration;
  if (!hnsw.empty()) configuration["hnsw"] = std::move(hnsw);
  const Value* function = wanted_configuration.find("embedding_function");
  const Value* current_function = current_configuration.find("embedding_function");
  if (function != nullptr && (current_function == nullptr || !(*function == *current_function)))
    configuration["embedding_function"] = *function;
  if (!configuration.empty()) body["new_configuration"] = std::move(configuration);
  if (body.empty()) return {};
  const auto target = database_target(now.space);
  const auto done = api_.call("PUT", *target + "/collections/" + net::percent_encode((*current)->native_id),
                              wire::to_json(body), deadline);
  if (!done) return done.error().within("collection '" + to_string(now) + "'");
  api_.forget(now);
  return {};
}

Result<void> ChromaDriver::drop(const model::CollectionName& name, Deadline deadline) {
  const auto target = database_target(name.space);
  if (!target) return target.error();
  api_.forget(name);
  const auto done =
      api_.call("DELETE", *target + "/collections/" + net::percent_encode(name.name), {}, deadline);
  if (!done && done.error().code != Code::not_found)
    return done.error().within("collection '" + to_string(name) + "'");
  return {};
}

}  // namespace vmproxy::protocols::chroma
