#include "protocols/milvus/client.h"

#include <algorithm>

namespace vmproxy::protocols::milvus {
namespace {

std::string base64(std::string_view bytes) {
  static constexpr char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t block = 0;
    for (size_t j = 0; j < 3; ++j)
      block = block << 8 | (i + j < bytes.size() ? static_cast<uint8_t>(bytes[i + j]) : 0u);
    for (size_t j = 0; j < 4; ++j) out += i + j > bytes.size() ? '=' : letters[block >> (18 - 6 * j) & 63];
  }
  return out;
}

// merr codes of 2.3 and later (pkg/merr/errors.go).
namespace merr {
enum : int32_t {
  service_not_ready = 1,
  service_memory_limit = 3,
  request_limit = 4,
  service_rate_limit = 8,
  service_force_deny = 9,
  collection_not_found = 100,
  collection_not_loaded = 101,
  partition_not_found = 200,
  database_not_found = 800,
  index_not_found = 700,
  io_failed = 1001,
  invalid_parameter = 1100,
  unknown = 65535,
};
}  // namespace merr

// Words of checks that the proxy component makes before it sends a message on, and the root coordinator before it begins; their
// code is only "unknown".
bool is_check(std::string_view reason) {
  static constexpr std::string_view checks[] = {"cannot parse expression:",
                                                "failed to create expr plan",
                                                "predicate is not a boolean expression",
                                                "the length(",
                                                "the num_rows(",
                                                "field ",
                                                "partition name ",
                                                "Invalid ",
                                                "create duplicate ",
                                                "cannot drop the collection via alias",
                                                "topk [",
                                                "empty expression should",
                                                "invalid expression",
                                                "upsert can not",
                                                "primary key ",
                                                "collection ",
                                                "invalid dimension"};
  return std::ranges::any_of(checks, [&](std::string_view words) { return reason.starts_with(words); });
}

}  // namespace

bool said_of_the_answer(std::string_view text) {
  return text.find("trying to send message larger than max") != std::string_view::npos;
}

Error grpc_error(int code, std::string message) {
  message += " (gRPC status " + std::to_string(code) + ")";
  switch (code) {
    case 16: return {Code::unauthenticated, std::move(message)};
    case 7: return {Code::permission_denied, std::move(message)};
    case 12: return {Code::unsupported, "milvus.unimplemented: " + message};
    case 8: return {said_of_the_answer(message) ? Code::unavailable : Code::quota, std::move(message)};
    case 4:
    case 1: return {Code::timeout, std::move(message)};
    case 3: return {Code::invalid, std::move(message)};
    default: return {Code::unavailable, std::move(message)};
  }
}

bool refused_before_start(const Status& status) {
  switch (status.code) {
    case merr::service_rate_limit:
    case merr::service_force_deny:
    case merr::service_memory_limit:
    case merr::collection_not_found:
    case merr::collection_not_loaded:
    case merr::partition_not_found:
    case merr::database_not_found:
    case merr::index_not_found:
    case merr::invalid_parameter: return true;
    case merr::io_failed:  // 2.3: a JSON field may hold objects only
      return status.reason.starts_with("IO failed: json: cannot unmarshal ");
    case merr::unknown: return is_check(status.reason);
    default: break;
  }
  // 1101 to 1199 are kinds of invalid parameters; 1700 to 1799 of fields that do not fit; 1400 to 1499 of
  // rights.
  return (status.code > 1100 && status.code < 1200) || (status.code >= 1700 && status.code < 1800) ||
         (status.code >= 1400 && status.code < 1500);
}

bool said_in_the_middle(const Status& status) {
  switch (status.code) {
    case merr::service_memory_limit:
    case merr::service_rate_limit:
    case merr::service_force_deny:
    case merr::collection_not_loaded: return true;
    default: break;
  }
  const auto of_a_shard = [](const std::string& text) {
    return text.find("query delegator ") != std::string::npos;
  };
  return of_a_shard(status.reason) || of_a_shard(status.detail);
}

namespace {

bool refuses_filter(std::string_view reason) {
  constexpr std::string_view of_search = "failed to create query plan: ";
  if (reason.starts_with(of_search)) reason.remove_prefix(of_search.size());
  // Milvus Lite finds out late what it cannot evaluate.
  return reason.starts_with("cannot parse expression:") || reason.starts_with("Invalid expr: ") ||
         reason.find("unsupported expr proto node") != std::string_view::npos;
}

}  // namespace

Error status_error(const Status& status) {
  const std::string message = (status.reason.empty() ? "no explanation" : status.reason) + " (Milvus code " +
                              std::to_string(status.code != 0 ? status.code : status.error_code) + ")";
  switch (status.code) {
    case merr::collection_not_found:
    case merr::partition_not_found:
    case merr::database_not_found:
    case merr::index_not_found: return {Code::not_found, message};
    case merr::collection_not_loaded: return {Code::precondition, message};
    case merr::service_rate_limit:
    case merr::service_force_deny:
    case merr::service_memory_limit:
    case merr::request_limit: return {Code::quota, message};
    case merr::service_not_ready: return {Code::unavailable, message};
    default: break;
  }
  if (refuses_filter(status.reason)) return {Code::unsupported, "filter.refused: " + message};
  if (refused_before_start(status)) return {Code::invalid, message};
  return {Code::unavailable, message};
}

Client::Client(const Endpoint& endpoint, Caller caller) : caller_(std::move(caller)) {
  if (endpoint.auth_token.empty()) return;
  const std::string name = endpoint.auth_header.empty() ? "authorization" : endpoint.auth_header;
  // "user:password" is what people have; the wire wants base64 of it, without a scheme.
  const bool plain = endpoint.auth_token.find(':') != std::string::npos;
  credentials_.add(name, plain ? base64(endpoint.auth_token) : endpoint.auth_token);
}

Result<std::string> Client::send(std::string_view rpc, std::string_view database, const std::string& message,
                                 Deadline deadline) const {
  net::Headers metadata = credentials_;
  metadata.add("dbname", database);
  return caller_("/milvus.proto.milvus.MilvusService/" + std::string(rpc), metadata, message, deadline);
}

Result<std::string> Client::call(std::string_view rpc, std::string_view database, const ProtoWriter& request,
                                 Deadline deadline) const {
  auto answer = send(rpc, database, request.view(), deadline);
  if (!answer) return answer.error();
  ProtoReader reader(*answer);
  while (reader.next()) {
    if (reader.field() != 1) continue;
    const auto status = read_status(reader.bytes());
    if (!status) break;
    if (!status->ok()) return status_error(*status);
    return answer;
  }
  if (!reader.ok())
    return Error(Code::connection_lost, std::string(rpc) + ": the answer is no message that can be read");
  return answer;
}

Result<void> Client::command(std::string_view rpc, std::string_view database, const ProtoWriter& request,
                             Deadline deadline) const {
  const auto answer = send(rpc, database, request.view(), deadline);
  if (!answer) return answer.error();
  const auto status = read_status(*answer);
  if (!status)
    return Error(Code::connection_lost, std::string(rpc) + ": the answer is no message that can be read");
  if (!status->ok()) return status_error(*status);
  return {};
}

}  // namespace vmproxy::protocols::milvus
