#include <algorithm>

#include "protocols/chroma/answer.h"
#include "protocols/chroma/body.h"
#include "protocols/chroma/collection.h"
#include "protocols/chroma/payload.h"
#include "protocols/chroma/serve.h"
#include "protocols/wire/json.h"

namespace vmproxy::protocols::chroma {
namespace {

using model::Schema;
using model::SchemaChange;
using model::Value;

std::string space_of(const Asked& asked) {
  return space_path(asked.path[0], asked.path[1]);
}

Answer show(const Schema& schema) {
  std::string body;
  append_collection(body, schema.native);
  return answer(std::move(body));
}

std::string fields_objection(const char* field, const Metadata& metadata) {
  if (metadata.set.empty() && metadata.unset.empty())
    return std::string(field) + ": Metadata cannot be empty";
  const bool empty_name = metadata.set.contains("") ||
                          std::find(metadata.unset.begin(), metadata.unset.end(), "") != metadata.unset.end();
  return empty_name ? std::string(field) + ": Metadata key cannot be empty" : std::string();
}

// Lists and sparse vectors in a collection's metadata crash the local server in the middle of the request.
bool beyond_the_server(const Metadata& metadata) {
  if (metadata.sparse_vector_field) return true;
  return std::any_of(metadata.set.begin(), metadata.set.end(),
                     [](const auto& field) { return field.second.is_array(); });
}

std::string validation(const std::optional<std::string>& name, const char* name_field,
                       const std::optional<Metadata>& metadata, const char* metadata_field) {
  std::string text;
  if (name) {
    if (const auto objection = name_objection(*name)) text = std::string(name_field) + ": " + *objection;
  }
  if (metadata) {
    const std::string objection = fields_objection(metadata_field, *metadata);
    if (!objection.empty()) text += (text.empty() ? "" : "\n") + objection;
  }
  return text.empty() ? text : "Validation error: " + text;
}

Answer create(Asked& asked) {
  auto read = read_create_collection(asked.request.body);
  if (auto* refusal = std::get_if<net::Response>(&read)) return std::move(*refusal);
  const auto& payload = std::get<CreateCollectionPayload>(read);
  if (auto refusal = refuse_database(asked.path[1])) return std::move(*refusal);
  if (const auto text = validation(payload.name, "name", payload.metadata, "metadata"); !text.empty())
    return invalid(text);
  if (payload.metadata && beyond_the_server(*payload.metadata)) {
    return Error(Code::unsupported, "collection.metadata: lists in a collection's metadata");
  }
  const std::string space = space_of(asked);
  const Catalog& catalog = asked.backend.catalog();
  if (catalog.find_space(space) == nullptr) return invalid("Database [" + asked.path[1] + "] does not exist");
  if (const Schema* existing = catalog.find({space, payload.name})) {
    if (payload.get_or_create) return show(*existing);
    return conflict("Collection [" + payload.name + "] already exists");
  }
  auto native = new_collection(payload, {asked.path[0], asked.path[1]}, to_string(asked.backend.new_uuid()));
  if (!native) return answer_error(native.error());
  auto schema = schema_of(*native);
  if (!schema) return schema.error();
  SchemaChange change;
  change.kind = SchemaChange::Kind::create_collection;
  change.schema = std::move(*schema);
  change.name = change.schema.name;
  const auto created = asked.backend.change(change);
  if (!created) return created.error();
  // Another request has made it since we looked.
  if (!payload.get_or_create && created->native_id != change.schema.native_id)
    return conflict("Collection [" + payload.name + "] already exists");
  return show(*created);
}

// In the order of their ids, as the server lists them.
std::vector<const Schema*> collections_in(const Asked& asked) {
  std::vector<const Schema*> found;
  const std::string space = space_of(asked);
  for (const auto& schema : asked.backend.catalog().collections) {
    if (schema.name.space == space) found.push_back(&schema);
  }
  std::sort(found.begin(), found.end(),
            [](const Schema* a, const Schema* b) { return a->native_id < b->native_id; });
  return found;
}

Answer list(const Asked& asked) {
  Window window = window_of(asked.request);
  if (window.refusal) return std::move(*window.refusal);
  if (auto refusal = refuse_database(asked.path[1])) return std::move(*refusal);
  const auto all = collections_in(asked);
  std::string body = "[";
  for (size_t i = window.offset; i < all.size() && i - window.offset < window.limit; ++i) {
    if (body.size() > 1) body += ',';
    append_collection(body, all[i]->native);
  }
  return answer(body + "]");
}

Answer count(const Asked& asked) {
  if (auto refusal = refuse_database(asked.path[1])) return std::move(*refusal);
  return answer(std::to_string(collections_in(asked).size()));
}

net::Response unknown(const std::string& name) {
  return not_found("Collection [" + name + "] does not exist");
}

Answer get(const Asked& asked) {
  if (auto refusal = refuse_database(asked.path[1])) return std::move(*refusal);
  const Schema* schema = asked.backend.catalog().find({space_of(asked), asked.path[2]});
  return schema == nullptr ? Answer(unknown(asked.path[2])) : show(*schema);
}

Answer get_by_id(const Asked& asked) {
  if (auto refusal = refuse_database(asked.path[1])) return std::move(*refusal);
  const auto uuid = model::parse_uuid(asked.path[2]);
  if (!uuid) return invalid("Validation error: collection_id: Invalid collection ID format, expected UUID");
  const Schema* schema = asked.backend.catalog().find_native(to_string(*uuid));
  if (schema == nullptr || schema->name.space != space_of(asked)) return unknown(to_string(*uuid));
  return show(*schema);
}

Answer drop(Asked& asked) {
  if (auto refusal = refuse_database(asked.path[1])) return std::move(*refusal);
  const Schema* schema = asked.backend.catalog().find({space_of(asked), asked.path[2]});
  if (schema == nullptr) return unknown(asked.path[2]);
  SchemaChange change;
  change.kind = SchemaChange::Kind::drop_collection;
  change.name = schema->name;
  change.schema = *schema;
  if (const auto done = asked.backend.change(change); !done) return done.error();
  return answer("{}");
}

Answer modify(Asked& asked) {
  auto read = read_update_collection(asked.request.body);
  if (auto* refusal = std::get_if<net::Response>(&read)) return std::move(*refusal);
  const auto& payload = std::get<UpdateCollectionPayload>(read);
  Found found = find_collection(asked);
  if (found.refusal) return std::move(*found.refusal);
  if (const auto text = validation(payload.new_name, "new_name", payload.new_metadata, "new_metadata");
      !text.empty())
    return invalid(text);
  if (payload.new_metadata && beyond_the_server(*payload.new_metadata)) {
    return Error(Code::unsupported, "collection.metadata: lists in a collection's metadata");
  }
  const Schema& now = *found.schema;
  if (payload.new_name && *payload.new_name != now.name.name &&
      asked.backend.catalog().find({now.name.space, *payload.new_name}) != nullptr) {
    return internal_error(
        "Database error: error returned from database: (code: 2067) UNIQUE constraint failed: "
        "collections.name, collections.database_id");
  }
  const auto native = changed_collection(now.native, payload);
  if (!native) return answer_error(native.error());
  SchemaChange change;
  change.kind = SchemaChange::Kind::alter_collection;
  change.name = now.name;
  change.schema = now;
  change.schema.native = *native;
  if (payload.new_name) change.schema.name.name = *payload.new_name;
  if (const auto wanted = schema_of(*native)) {
    change.schema.metadata = wanted->metadata;
    if (!change.schema.vectors.empty()) change.schema.vectors[0].index = wanted->vectors[0].index;
  }
  if (const auto done = asked.backend.change(change); !done) return done.error();
  return answer("{}");
}

}  // namespace

Found find_collection(const Asked& asked) {
  if (auto refusal = refuse_database(asked.path[1])) return {nullptr, std::move(refusal)};
  const auto uuid = model::parse_uuid(asked.path[2]);
  if (!uuid) return {nullptr, invalid("Collection ID is not a valid UUIDv4")};
  const Schema* schema = asked.backend.catalog().find_native(to_string(*uuid));
  if (schema == nullptr) return {nullptr, not_found("Collection [" + to_string(*uuid) + "] does not exist.")};
  return {schema, std::nullopt};
}

Answer serve_collections(Asked& asked) {
  switch (asked.call) {
    case Call::create_collection: return create(asked);
    case Call::list_collections: return list(asked);
    case Call::count_collections: return count(asked);
    case Call::get_collection: return get(asked);
    case Call::get_collection_by_id: return get_by_id(asked);
    case Call::update_collection: return modify(asked);
    case Call::delete_collection: return drop(asked);
    default: return Error(Code::internal, "no answer is written for this call");
  }
}

}  // namespace vmproxy::protocols::chroma
