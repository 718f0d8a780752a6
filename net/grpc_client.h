// GrpcClient: blocking unary gRPC over HTTP/2 for drivers. A bounded set of connections, one call on each at
// a time, TLS, absolute deadlines, never a silent retry. Thread-safe.
#pragma once

#include <memory>

#include "net/message.h"
#include "net/upstream.h"

namespace vmproxy::net {

struct GrpcAnswer {
  int status = 0;       // grpc-status: 0 is OK
  std::string message;  // grpc-message, percent-decoded
  std::string body;     // the one message of the answer, inflated; empty when the status is not OK
  Headers headers;
  Headers trailers;
};

class GrpcClient {
 public:
  // At most `connections_max` at once; a call waits for one until its deadline.
  GrpcClient(UpstreamOptions options, size_t connections_max);
  ~GrpcClient();

  // `path`: "/package.Service/Method". The deadline goes along as grpc-timeout. An answer with a gRPC status
  // other than OK is a value, not an error. Errors: refused_connection (not executed; also when no
  // connection became free in time), connection_lost, timeout, too_large (answer larger than response_bytes_max),
  // corrupt (not gRPC).
  Result<GrpcAnswer> send(const std::string& path, const Headers& metadata, std::string_view message,
                          Deadline deadline, uint64_t response_bytes_max = 256u << 20);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vmproxy::net
