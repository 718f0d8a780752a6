// A collection as the API shows it (Schema::native) and as the model knows it.
#pragma once

#include <string>

#include "base/error.h"
#include "model/schema.h"
#include "protocols/chroma/payload.h"

namespace vmproxy::protocols::chroma {

// From the JSON of a collection as the server sends it.
Result<model::Schema> schema_of(const model::Value& native);

// The JSON of a collection, members in the server's order.
void append_collection(std::string& out, const model::Value& native);

struct Place {
  std::string tenant;
  std::string database;
};

// A collection that was just created: what the server would show. The error's text is the server's.
Result<model::Value> new_collection(const CreateCollectionPayload& request, const Place& place,
                                    const std::string& id);
// The collection after the change. Error unsupported: cannot be done as the server does it.
Result<model::Value> changed_collection(const model::Value& native, const UpdateCollectionPayload& request);

// CollectionName::space and Space::path. A slash in a tenant's name is escaped, as databases have none in
// theirs.
std::string tenant_path(std::string_view tenant);
std::string space_path(std::string_view tenant, std::string_view database);
// Back: nothing where it has no database.
std::optional<Place> place_of(std::string_view space);

// Why a collection or database cannot be called so, in the server's words; nothing when it can.
std::optional<std::string> name_objection(const std::string& name);

}  // namespace vmproxy::protocols::chroma
