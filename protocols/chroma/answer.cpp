#include "protocols/chroma/answer.h"

#include "protocols/wire/json.h"
#include "protocols/wire/utf8.h"

namespace vmproxy::protocols::chroma {
namespace {

// What a client sent is repeated in messages, a path's %ff as well, and JSON takes nothing but UTF-8.
std::string repeatable(std::string_view message) {
  if (wire::valid_utf8(message)) return std::string(message);
  std::string text;
  for (const char c : message) {
    if (static_cast<unsigned char>(c) < 0x80) {
      text += c;
    } else {
      wire::append_utf8(text, 0xfffd);
    }
  }
  return text;
}

}  // namespace

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
  wire::append_json_string(body, repeatable(message));
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

net::Response answer_error(const Error& error) {
  switch (error.code) {
    case Code::invalid: return invalid(error.message);
    case Code::not_found: return not_found(error.message);
    case Code::already_exists: return conflict(error.message);
    case Code::unauthenticated: return refuse(401, "ChromaError", error.message);
    case Code::permission_denied: return refuse(403, "ChromaError", error.message);
    case Code::precondition: return refuse(412, "ChromaError", error.message);
    case Code::quota: return refuse(429, "RateLimitError", error.message);
    case Code::overloaded: return refuse(429, "RateLimitError", error.message);
    case Code::unsupported: return refuse(501, "ChromaError", error.message);
    case Code::timeout: return refuse(504, "ChromaError", error.message);
    case Code::refused_connection:
    case Code::connection_lost:
    case Code::unavailable:
    case Code::cancelled: return refuse(503, "ChromaError", error.message);
    case Code::corrupt:
    case Code::io:
    case Code::internal: return internal_error(error.message);
  }
  return internal_error(error.message);
}

}  // namespace vmproxy::protocols::chroma
