#include "protocols/milvus/dialect.h"

#include <algorithm>
#include <array>

#include "protocols/api/credential.h"
#include "protocols/milvus/serve.h"
#include "protocols/wire/grpc.h"
#include "protocols/wire/json.h"

namespace vmproxy::protocols::milvus {
namespace {

bool is_grpc(const net::RequestHead& head) {
  const auto type = head.headers.find("content-type");
  return head.http2 || (type && type->starts_with("application/grpc"));
}

int grpc_number(Code code) {
  switch (code) {
    case Code::invalid: return 3;
    case Code::not_found:
    case Code::unsupported:
      return 12;  // of a call, not of a collection: UNIMPLEMENTED is what the server says of one it has not
    case Code::already_exists: return 6;
    case Code::unauthenticated: return 16;
    case Code::permission_denied: return 7;
    case Code::quota:
    case Code::overloaded:
    case Code::too_large: return 8;
    case Code::precondition: return 9;
    case Code::timeout: return 4;
    case Code::cancelled:
    case Code::refused_connection:
    case Code::unavailable:
    case Code::connection_lost: return 14;
    default: return 13;
  }
}

// Whether the shape of its answer, with the Status in it, is known here.
bool answers_in_status(Rpc rpc) {
  switch (rpc) {
    case Rpc::rest_read:
    case Rpc::other_read:
    case Rpc::other_session:
    case Rpc::other_admin:
    case Rpc::grpc_health:
    case Rpc::grpc_health_watch:
    case Rpc::client_heartbeat:
    case Rpc::unknown: return false;
    default: return true;
  }
}

// Of a call that the table has: it may well be that the server had answered it. The Node SDK takes UNIMPLEMENTED for an
// empty success, and neither SDK tries INVALID_ARGUMENT again (@zilliz/milvus2-sdk-node, utils/Grpc; pymilvus, decorators).
net::Response not_passed_on(const OperationRow& row, const std::string& why) {
  constexpr int invalid_argument = 3;
  const Rpc rpc = rpc_of(row);
  return answers_in_status(rpc) ? answer(rpc, failure(65535, why)) : grpc_refusal(invalid_argument, why);
}

net::Response no_room_for(const OperationRow& row, const std::string& why) {
  const Rpc rpc = rpc_of(row);
  return answers_in_status(rpc) ? answer(rpc, rate_limited(why)) : grpc_refusal(8, why);
}

// A body without one whole message, as the server's own transport refuses it.
net::Response refuse_frames(std::string_view body, const Error& error) {
  if (error.code == Code::too_large) return grpc_refusal(8, error.message);
  constexpr size_t prefix_bytes = 5;
  uint64_t announced = 0;
  for (size_t i = 1; i < std::min(body.size(), prefix_bytes); ++i)
    announced = announced << 8 | static_cast<uint8_t>(body[i]);
  if (body.empty()) return grpc_refusal(2, "EOF");
  if (body.size() < prefix_bytes || announced > body.size() - prefix_bytes)
    return grpc_refusal(2, "unexpected EOF");
  return grpc_refusal(13, error.message);
}

}  // namespace

std::span<const OperationRow> MilvusDialect::table() const {
  return rows();
}

const OperationRow* MilvusDialect::classify(const net::RequestHead& head) const {
  return find_row(head.method, head.path());
}

Result<net::Response> MilvusDialect::serve(const OperationRow& row, const net::Request& request,
                                           Backend& backend) const {
  const Rpc rpc = rpc_of(row);
  if (rpc == Rpc::rest_read)
    return Error(Code::unsupported, "rest: the REST API is answered by Milvus itself alone");
  auto message = message_of(request);
  if (!message) return refuse_frames(request.body, message.error());
  Asked asked{rpc, request, std::move(*message), backend};
  switch (rpc) {
    case Rpc::insert:
    case Rpc::upsert:
    case Rpc::remove: return serve_writes(asked);
    case Rpc::query: return serve_query(asked);
    case Rpc::search: return serve_search(asked);
    case Rpc::create_index:
    case Rpc::alter_index:
    case Rpc::drop_index:
    case Rpc::describe_index:
    case Rpc::get_index_statistics:
    case Rpc::get_index_state:
    case Rpc::get_index_build_progress: return serve_indexes(asked);
    case Rpc::connect:
    case Rpc::get_version:
    case Rpc::check_health:
    case Rpc::get_component_states:
    case Rpc::grpc_health:
    case Rpc::grpc_health_watch:
    case Rpc::client_heartbeat:
    case Rpc::flush:
    case Rpc::flush_all:
    case Rpc::get_flush_state:
    case Rpc::get_flush_all_state:
    case Rpc::alloc_timestamp:
    case Rpc::create_database:
    case Rpc::drop_database:
    case Rpc::list_databases:
    case Rpc::alter_database:
    case Rpc::describe_database: return serve_server(asked);
    case Rpc::hybrid_search:
    case Rpc::other_read:
    case Rpc::other_session:
    case Rpc::other_admin:
    case Rpc::rest_read:
    case Rpc::unknown:
      return Error(Code::unsupported, std::string(row.name) + ": only Milvus itself can do this");
    default: return serve_collections(asked);
  }
}

// A call that failed on our side is a gRPC error, which applications try again where that helps. What cannot be answered
// faithfully is refused as Milvus refuses, and so is what there is no room for: the SDK waits and tries such a call again
// (pymilvus, decorators), while RESOURCE_EXHAUSTED goes up to the application.
net::Response MilvusDialect::error(const Error& error, const net::RequestHead& head) const {
  const auto* row = classify(head);
  const bool call_unknown = row == nullptr || row->cls == OperationClass::unknown;
  if (is_grpc(head)) {
    if (row != nullptr && error.code == Code::unsupported) return not_passed_on(*row, error.message);
    if (row != nullptr && error.code == Code::overloaded) return no_room_for(*row, error.message);
    std::string text = error.message;
    if (call_unknown && (error.code == Code::not_found || error.code == Code::unsupported)) {
      const auto path = head.path();
      const auto slash = path.rfind('/');
      const bool service = path.starts_with("/milvus.proto.milvus.MilvusService/");
      text = service ? "unknown method " + std::string(path.substr(slash + 1)) +
                           " for service milvus.proto.milvus.MilvusService"
                     : "unknown service " + std::string(path.substr(1, slash == 0 ? path.npos : slash - 1));
    }
    return grpc_refusal(grpc_number(error.code), text);
  }
  net::Response response;
  response.status = call_unknown && error.code == Code::not_found ? 404 : 200;
  if (error.code == Code::unavailable || error.code == Code::refused_connection ||
      error.code == Code::connection_lost || error.code == Code::timeout)
    response.status = 503;
  response.headers.add("content-type", "application/json; charset=utf-8");
  const int64_t code = error.code == Code::unauthenticated ? 1800 : 65535;
  response.body = wire::to_json(model::Value(model::Object{{"code", code}, {"message", error.message}}));
  return response;
}

std::string MilvusDialect::credential_form() const {
  const std::array<std::string_view, 1> own = {auth_header_};
  return credential_headers(own);
}

std::string MilvusDialect::credential(const net::RequestHead& head, std::string_view form) const {
  std::string bytes;
  if (!form.empty()) {
    bytes = credential_of(head.headers, form);
  } else if (const auto value = head.headers.find("authorization"); value && !value->empty()) {
    bytes = "authorization:" + std::string(*value) + "\n";
  }
  if (!bytes.empty()) bytes.pop_back();  // the last line's end: so they are kept since the first version
  return bytes;
}

}  // namespace vmproxy::protocols::milvus
