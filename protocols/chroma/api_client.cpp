#include "protocols/chroma/api_client.h"

#include "protocols/chroma/collection.h"
#include "protocols/wire/json.h"

namespace vmproxy::protocols::chroma {
namespace {

// What a status says of a write. Statuses of 5xx are no proof: the server may have logged the change before
// it failed. 501 is answered before anything is begun (see ChromaDialect::outcome).
Code code_of(int status) {
  switch (status) {
    case 401: return Code::unauthenticated;
    case 403: return Code::permission_denied;
    case 404: return Code::not_found;
    case 409: return Code::already_exists;
    case 429: return Code::quota;
    case 501: return Code::unsupported;
    case 408:
    case 504: return Code::timeout;
    default: return status >= 400 && status < 500 ? Code::invalid : Code::unavailable;
  }
}

Error error_of(const net::Response& response, std::string_view method, std::string_view target) {
  std::string message = response.body.substr(0, 500);
  if (const auto parsed = wire::parse_json(response.body)) {
    const auto* text = parsed->find("message");
    if (text != nullptr && text->is_string()) message = text->string();
  }
  if (message.empty()) message = "no explanation";
  const Code code = code_of(response.status);
  // An unsupported call of ours would be a defect; the message must still begin with a stable code.
  const std::string prefix = code == Code::unsupported ? "chroma.refused: " : "";
  return {code, prefix + message + " (" + std::to_string(response.status) + " to " + std::string(method) +
                    " " + std::string(target.substr(0, target.find('?'))) + ")"};
}

}  // namespace

ApiClient::ApiClient(const Endpoint& endpoint, Caller caller)
    : caller_(std::move(caller)), auth_header_(endpoint.auth_header), auth_token_(endpoint.auth_token) {}

net::Request ApiClient::request_of(std::string_view method, std::string_view target, std::string body) const {
  net::Request request;
  request.method = method;
  request.target = target;
  request.headers.add("accept", "application/json");
  if (!body.empty()) request.headers.add("content-type", "application/json");
  if (!auth_header_.empty() && !auth_token_.empty()) request.headers.add(auth_header_, auth_token_);
  request.body = std::move(body);
  return request;
}

Result<std::string> ApiClient::call(std::string_view method, std::string_view target, std::string body,
                                    Deadline deadline) {
  return ask(request_of(method, target, std::move(body)), deadline);
}

Result<std::string> ApiClient::ask(const net::Request& request, Deadline deadline) {
  auto response = caller_(request, deadline);
  if (!response) {
    // Who reads asks for less when an answer is too large. Of a write it is as good as lost.
    const Error& error = response.error();
    const std::string_view target = request.target;
    const bool reads = request.method == "GET" || target.ends_with("/get") || target.ends_with("/query");
    return error.code == Code::too_large && !reads ? Error(Code::connection_lost, error.message) : error;
  }
  if (response->status >= 200 && response->status < 300) return std::move(response->body);
  return error_of(*response, request.method, request.target);
}

Result<ApiClient::Known> ApiClient::known(const model::CollectionName& name, Deadline deadline) {
  {
    std::lock_guard hold(mutex_);
    if (const auto known = known_.find(name); known != known_.end()) return known->second;
  }
  const auto database = database_target(name.space);
  if (!database) return database.error();
  const auto body = get(*database + "/collections/" + net::percent_encode(name.name), deadline);
  if (!body) return body.error().within("collection '" + to_string(name) + "'");
  const auto native = wire::parse_json(*body);
  auto schema = native ? schema_of(*native) : native.error();
  if (!schema) return schema.error().within("collection '" + to_string(name) + "'");
  schema->name = name;
  remember(*schema);
  return Known{schema->native_id, schema->vectors[0].metric};
}

Result<model::Metric> ApiClient::metric(const model::CollectionName& name, Deadline deadline) {
  const auto there = known(name, deadline);
  if (!there) return there.error();
  return there->metric;
}

Result<std::string> ApiClient::on_collection(std::string_view method, const model::CollectionName& name,
                                             std::string_view action, std::string body, Deadline deadline) {
  const auto database = database_target(name.space);
  if (!database) return database.error();
  net::Request request = request_of(method, {}, std::move(body));
  for (bool again = false;; again = true) {
    const auto there = known(name, deadline);
    if (!there) return there.error();
    request.target = *database + "/collections/" + net::percent_encode(there->id) + "/" + std::string(action);
    auto answered = ask(request, deadline);
    if (answered) return answered;
    if (answered.error().code != Code::not_found || again)
      return answered.error().within("collection '" + to_string(name) + "'");
    forget(name);
  }
}

Result<std::string> ApiClient::post(const model::CollectionName& name, std::string_view action,
                                    std::string body, Deadline deadline) {
  return on_collection("POST", name, action, std::move(body), deadline);
}

Result<std::string> ApiClient::fetch(const model::CollectionName& name, std::string_view action,
                                     Deadline deadline) {
  return on_collection("GET", name, action, {}, deadline);
}

Result<Limits> ApiClient::limits(Deadline deadline) {
  {
    std::lock_guard hold(mutex_);
    if (limits_) return *limits_;
  }
  const auto body = get("/api/v2/pre-flight-checks", deadline);
  if (!body) return body.error();
  const auto facts = wire::parse_json(*body);
  if (!facts) return Error(Code::corrupt, "the pre-flight checks are no JSON: " + facts.error().message);
  Limits limits;
  if (const auto* size = facts->find("max_batch_size");
      size != nullptr && size->is_number() && size->number() >= 1) {
    limits.batch_records = static_cast<size_t>(std::min(size->number(), 1e6));
  }
  if (const auto* base64 = facts->find("supports_base64_encoding"))
    limits.base64 = *base64 == model::Value(true);
  std::lock_guard hold(mutex_);
  limits_ = limits;
  return limits;
}

void ApiClient::forget(const model::CollectionName& name) {
  std::lock_guard hold(mutex_);
  known_.erase(name);
}

void ApiClient::remember(const model::Schema& schema) {
  std::lock_guard hold(mutex_);
  known_[schema.name] = {schema.native_id, schema.vectors[0].metric};
}

Result<std::string> database_target(std::string_view space) {
  const auto place = place_of(space);
  if (!place)
    return Error(Code::invalid,
                 "'" + std::string(space) + "' is not TENANT/DATABASE, which a Chroma collection needs");
  return "/api/v2/tenants/" + net::percent_encode(place->tenant) + "/databases/" +
         net::percent_encode(place->database);
}

}  // namespace vmproxy::protocols::chroma
