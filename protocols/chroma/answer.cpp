#include "protocols/chroma/answer.h"

#include "protocols/wire/json.h"

namespace vmproxy::protocols::chroma {

net::Response refuse_bare(int status) {
  net::Response response;
  response.status = status;
  response.headers.add("chroma-trace-id", "00000000000000000000000000000000");
  return response;
}

net::Response answer(std::string body, int status) {
  net::Response response;
  response.status = status;
  response.headers.add("content-type", "application/json");
  response.body = std::move(body);
  return response;
}

net::Response refuse(int status, std::string_view kind, std::string_view message) {
  std::string body = "{\"error\":";
  wire::append_json_string(body, kind);
  body += ",\"message\":";
  wire::append_json_string(body, message);
  body += '}';
  net::Response response = answer(std::move(body), status);
  response.headers.add("chroma-trace-id", "00000000000000000000000000000000");
  return response;
}

net::Response invalid(std::string_view message) {
  return refuse(400, "InvalidArgumentError", message);
}
net::Response not_found(std::string_view message) {
  return refuse(404, "NotFoundError", message);
}
net::Response conflict(std::string_view message) {
  return refuse(409, "ChromaError", message);
}
net::Response internal_error(std::string_view message) {
  return refuse(500, "InternalError", message);
}

namespace {

// Nothing was done, and a moment later it may be.
net::Response refuse_for_now(int status, std::string_view kind, std::string_view message) {
  net::Response response = refuse(status, kind, message);
  response.headers.add("retry-after", "1");
  return response;
}

}  // namespace

net::Response answer_error(const Error& error) {
  switch (error.code) {
    case Code::invalid: return invalid(error.message);
    case Code::not_found: return not_found(error.message);
    case Code::already_exists: return conflict(error.message);
    case Code::unauthenticated: return refuse(401, "ChromaError", error.message);
    case Code::permission_denied: return refuse(403, "ChromaError", error.message);
    case Code::precondition: return refuse(412, "ChromaError", error.message);
    case Code::quota: return refuse(429, "RateLimitError", error.message);
    case Code::overloaded: return refuse_for_now(429, "RateLimitError", error.message);
    case Code::unsupported: return refuse(501, "ChromaError", error.message);
    case Code::timeout: return refuse(504, "ChromaError", error.message);
    case Code::cancelled:
    case Code::refused_connection: return refuse_for_now(503, "ChromaError", error.message);
    case Code::unavailable:
    case Code::connection_lost: return refuse(503, "ChromaError", error.message);
    case Code::too_large:
    case Code::corrupt:
    case Code::io:
    case Code::internal: return internal_error(error.message);
  }
  return internal_error(error.message);
}

}  // namespace vmproxy::protocols::chroma
