#include "protocols/chroma/dialect.h"

#include <array>

#include "protocols/api/credential.h"
#include "protocols/chroma/answer.h"
#include "protocols/chroma/routes.h"
#include "protocols/chroma/serve.h"

namespace vmproxy::protocols::chroma {
namespace {

std::optional<net::Response> refuse_path(const OperationRow& row, std::string_view path) {
  const auto broken = broken_argument(row, path);
  if (!broken) return std::nullopt;
  return invalid("Invalid URL: Invalid UTF-8 in `" + std::string(*broken) + "`");
}

bool takes_json(Call call) {
  switch (call) {
    case Call::reset: return false;
    default: return true;
  }
}

// "application/json", "application/...+json" and no content type at all are read.
bool is_json(const net::Request& request) {
  const auto header = request.headers.find("content-type");
  if (!header) return true;
  auto type = header->substr(0, header->find(';'));
  while (!type.empty() && type.back() == ' ') type.remove_suffix(1);
  return net::equal_ignoring_case(type, "application/json") ||
         (type.size() > 17 && net::equal_ignoring_case(type.substr(0, 12), "application/") &&
          net::equal_ignoring_case(type.substr(type.size() - 5), "+json"));
}

}  // namespace

std::span<const OperationRow> ChromaDialect::table() const {
  return rows();
}

const OperationRow* ChromaDialect::classify(const net::RequestHead& head) const {
  return find_row(head.method, head.path());
}

Result<net::Response> ChromaDialect::serve(const OperationRow& row, const net::Request& request,
                                           Backend& backend) const {
  if (auto refused = refuse_path(row, request.path())) return std::move(*refused);
  Asked asked{call_of(row), request, arguments(row, request.path()), backend};
  if (row.method != "GET" && row.method != "DELETE" && takes_json(asked.call)) {
    if (!is_json(request))
      return refuse(415, "ChromaError", "Expected request with `Content-Type: application/json`");
    if (request.body.size() > body_bytes_max()) {
      return refuse(413, "ChromaError", "Failed to buffer the request body: length limit exceeded");
    }
  }
  switch (asked.call) {
    case Call::add:
    case Call::update:
    case Call::upsert:
    case Call::remove: return serve_records(asked);
    case Call::get:
    case Call::query:
    case Call::count: return serve_reads(asked);
    case Call::create_collection:
    case Call::list_collections:
    case Call::count_collections:
    case Call::get_collection:
    case Call::get_collection_by_id:
    case Call::update_collection:
    case Call::delete_collection: return serve_collections(asked);
    case Call::reset:
    case Call::get_by_crn:
    case Call::search:
    case Call::fork:
    case Call::fork_count:
    case Call::indexing_status:
    case Call::attach_function:
    case Call::get_function:
    case Call::detach_function: return serve_refused(asked);
    default: return serve_spaces(asked);
  }
}

net::Response ChromaDialect::error(const Error& error, const net::RequestHead& head) const {
  const OperationRow* row = classify(head);
  // Our own words may repeat what no JSON can hold.
  if (row != nullptr && (error.code == Code::not_found || error.code == Code::invalid)) {
    if (auto refused = refuse_path(*row, head.path())) return std::move(*refused);
  }
  // A path or method that the table does not have gets what the server says to it, whatever our error is
  // called.
  if (row == nullptr && (error.code == Code::not_found || error.code == Code::unsupported)) {
    if (head.path().starts_with("/api/v1/"))
      return refuse(410, "Unimplemented", "The v1 API is deprecated. Please use /v2 apis");
    const auto allowed = allowed_methods(head.path());
    net::Response response = refuse_bare(allowed ? 405 : 404);
    if (allowed) response.headers.add("allow", *allowed);
    return response;
  }
  return answer_error(error);
}

std::string ChromaDialect::credential_form() const {
  const std::array<std::string_view, 2> own = {"x-chroma-token", auth_header_};
  return credential_headers(own);
}

std::string ChromaDialect::credential(const net::RequestHead& head, std::string_view form) const {
  if (!form.empty()) return credential_of(head.headers, form);
  std::string bytes;
  for (const std::string name : {"authorization", "x-chroma-token"}) {
    if (const auto value = head.headers.find(name)) bytes += name + ":" + std::string(*value) + "\n";
  }
  return bytes;
}

}  // namespace vmproxy::protocols::chroma
