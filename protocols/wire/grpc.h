// gRPC over HTTP/2, the part above HTTP: message framing, status in trailers, deadlines in headers.
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
//
//   body := (flag length message)*     flag: 1 byte, 1 when compressed    length: 4 bytes big-endian
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace vmproxy::protocols::wire {

enum class GrpcCode : uint8_t {
  ok = 0,
  cancelled = 1,
  unknown = 2,
  invalid_argument = 3,
  deadline_exceeded = 4,
  not_found = 5,
  already_exists = 6,
  permission_denied = 7,
  resource_exhausted = 8,
  failed_precondition = 9,
  aborted = 10,
  out_of_range = 11,
  unimplemented = 12,
  internal = 13,
  unavailable = 14,
  data_loss = 15,
  unauthenticated = 16,
};

std::string grpc_frame(std::string_view message);

// All messages of a body. `encoding` is the grpc-encoding header: "", "identity" or "gzip". A message that is
// larger than `message_bytes_max`, before or after inflating, is Code::too_large; anything broken is
// Code::invalid.
Result<std::vector<std::string>> grpc_messages(std::string_view body, std::string_view encoding,
                                               uint64_t message_bytes_max);
// The one message of a unary call.
Result<std::string> grpc_message(std::string_view body, std::string_view encoding,
                                 uint64_t message_bytes_max);

// grpc-message is percent-encoded: everything outside of printable ASCII, and '%'.
std::string grpc_encode_text(std::string_view text);
std::string grpc_decode_text(std::string_view text);

// The value of grpc-status; anything that is no such number is `unknown`.
GrpcCode grpc_code(std::string_view text);

Result<std::string> gunzip(std::string_view bytes, uint64_t bytes_max);

}  // namespace vmproxy::protocols::wire
