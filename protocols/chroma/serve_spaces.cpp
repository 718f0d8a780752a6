// Tenants, databases and what the server says of itself.
#include <charconv>
#include <chrono>

#include "protocols/chroma/answer.h"
#include "protocols/chroma/collection.h"
#include "protocols/chroma/payload.h"
#include "protocols/chroma/serve.h"
#include "protocols/wire/json.h"

namespace vmproxy::protocols::chroma {
namespace {

using model::Object;
using model::SchemaChange;
using model::Value;

// A fact that was kept of the source, or what a server of the version we know says.
Answer fact(const Asked& asked, std::string_view name, std::string_view otherwise) {
  const Value* value = asked.backend.catalog().server.find(name);
  return answer(value != nullptr ? wire::to_json(*value) : std::string(otherwise));
}

Answer heartbeat() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return answer("{\"nanosecond heartbeat\":" +
                std::to_string(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count()) + "}");
}

Answer create_tenant(Asked& asked) {
  auto read = read_name(asked.request.body, "CreateTenantPayload", "name");
  if (auto* refusal = std::get_if<net::Response>(&read)) return std::move(*refusal);
  const std::string& name = std::get<std::string>(read);
  if (name.size() < 3) {
    return invalid(
        "Validation error: name: Validation error: length [{\"min\": Number(3), \"value\": String(\"" + name +
        "\")}]");
  }
  const std::string path = tenant_path(name);
  if (asked.backend.catalog().find_space(path) != nullptr)
    return conflict("Tenant [" + name + "] already exists");
  const Space space{path, Object{{"name", name}, {"resource_name", nullptr}}};
  if (auto done = asked.backend.change_space(SchemaChange::Kind::create_space, space); !done)
    return done.error();
  return answer("{}");
}

Answer get_tenant(const Asked& asked) {
  const Space* space = asked.backend.catalog().find_space(tenant_path(asked.path[0]));
  if (space == nullptr) return not_found("Tenant [" + asked.path[0] + "] not found");
  std::string body = "{\"name\":";
  wire::append_json_string(body, asked.path[0]);
  const Value* resource = space->native.find("resource_name");
  body +=
      ",\"resource_name\":" + (resource == nullptr ? std::string("null") : wire::to_json(*resource)) + "}";
  return answer(std::move(body));
}

// The local server takes it and keeps nothing of it, whether there is such a tenant or not.
Answer update_tenant(const Asked& asked) {
  auto read = read_name(asked.request.body, "UpdateTenantPayload", "resource_name");
  if (auto* refusal = std::get_if<net::Response>(&read)) return std::move(*refusal);
  return answer("{}");
}

std::string text_of(const Value& value, std::string_view name) {
  const Value* member = value.find(name);
  return member != nullptr && member->is_string() ? member->string() : std::string();
}

void append_database(std::string& out, const Space& space) {
  out += "{\"id\":";
  wire::append_json_string(out, text_of(space.native, "id"));
  out += ",\"name\":";
  wire::append_json_string(out, text_of(space.native, "name"));
  out += ",\"tenant\":";
  wire::append_json_string(out, text_of(space.native, "tenant"));
  out += '}';
}

Answer list_databases(const Asked& asked) {
  Window window = window_of(asked.request);
  if (window.refusal) return std::move(*window.refusal);
  const std::string prefix = tenant_path(asked.path[0]) + "/";
  std::string body = "[";
  for (const Space& space : asked.backend.catalog().spaces) {
    if (!space.path.starts_with(prefix)) continue;
    if (window.offset > 0) {
      --window.offset;
      continue;
    }
    if (window.limit-- == 0) break;
    if (body.size() > 1) body += ',';
    append_database(body, space);
  }
  return answer(body + "]");
}

Answer create_database(Asked& asked) {
  auto read = read_name(asked.request.body, "CreateDatabasePayload", "name");
  if (auto* refusal = std::get_if<net::Response>(&read)) return std::move(*refusal);
  const std::string& name = std::get<std::string>(read);
  if (const auto objection = name_objection(name)) return invalid(*objection);
  const std::string path = space_path(asked.path[0], name);
  if (asked.backend.catalog().find_space(path) != nullptr)
    return conflict("Database [" + name + "] already exists");
  const std::string id = to_string(asked.backend.new_uuid());
  const Space space{path, Object{{"id", id}, {"name", name}, {"tenant", asked.path[0]}}};
  if (auto done = asked.backend.change_space(SchemaChange::Kind::create_space, space); !done)
    return done.error();
  return answer("{}");
}

Answer get_database(const Asked& asked) {
  if (auto refusal = refuse_database(asked.path[1])) return std::move(*refusal);
  const Space* space = asked.backend.catalog().find_space(space_path(asked.path[0], asked.path[1]));
  if (space == nullptr)
    return not_found("Database [" + asked.path[1] + "] not found. Are you sure it exists?");
  std::string body;
  append_database(body, *space);
  return answer(std::move(body));
}

Answer delete_database(Asked& asked) {
  const Space* space = asked.backend.catalog().find_space(space_path(asked.path[0], asked.path[1]));
  if (space == nullptr) return not_found("Database [" + asked.path[1] + "] not found");
  // Its collections go with it, one by one, so that each is dropped on the other side under its own name.
  const Space dropped = *space;
  std::vector<model::Schema> inside;
  for (const auto& schema : asked.backend.catalog().collections) {
    if (schema.name.space == dropped.path) inside.push_back(schema);
  }
  for (auto& schema : inside) {
    SchemaChange change;
    change.kind = SchemaChange::Kind::drop_collection;
    change.name = schema.name;
    change.schema = std::move(schema);
    if (auto done = asked.backend.change(change); !done) return done.error();
  }
  if (auto done = asked.backend.change_space(SchemaChange::Kind::drop_space, dropped); !done)
    return done.error();
  return answer("{}");
}

}  // namespace

std::optional<net::Response> refuse_database(const std::string& database) {
  if (database.size() >= 3) return std::nullopt;
  return invalid("database name must be at least 3 characters");
}

Window window_of(const net::Request& request) {
  Window window;
  for (const std::string name : {"limit", "offset"}) {
    const auto text = net::query_parameter(request.target, name);
    if (!text) continue;
    uint32_t number = 0;
    const auto parsed = std::from_chars(text->data(), text->data() + text->size(), number);
    std::string why;
    if (text->empty()) {
      why = "cannot parse integer from empty string";
    } else if (parsed.ec == std::errc::result_out_of_range) {
      why = "number too large to fit in target type";
    } else if (parsed.ec != std::errc() || parsed.ptr != text->data() + text->size()) {
      why = "invalid digit found in string";
    }
    if (!why.empty()) {
      window.refusal = invalid("Failed to deserialize query string: " + name + ": " + why);
      return window;
    }
    (name == "limit" ? window.limit : window.offset) = number;
  }
  return window;
}

Answer serve_spaces(Asked& asked) {
  switch (asked.call) {
    case Call::heartbeat: return heartbeat();
    case Call::healthcheck: return answer("{\"is_executor_ready\":true,\"is_log_client_ready\":true}");
    case Call::identity:
      return fact(asked, "identity",
                  R"({"user_id":"","tenant":"default_tenant","databases":["default_database"]})");
    case Call::preflight:
      return fact(asked, "preflight", R"({"max_batch_size":5461,"supports_base64_encoding":true})");
    case Call::version: return fact(asked, "version", "\"1.0.0\"");
    case Call::create_tenant: return create_tenant(asked);
    case Call::get_tenant: return get_tenant(asked);
    case Call::update_tenant: return update_tenant(asked);
    case Call::list_databases: return list_databases(asked);
    case Call::create_database: return create_database(asked);
    case Call::get_database: return get_database(asked);
    case Call::delete_database: return delete_database(asked);
    default: return Error(Code::internal, "no answer is written for this call");
  }
}

}  // namespace vmproxy::protocols::chroma
