// HttpClient: blocking HTTP/1.1 for drivers and the command line. Keep-alive, bounded connections, TLS,
// absolute deadlines, never a silent retry. Thread-safe.
#pragma once

#include <memory>

#include "net/message.h"
#include "net/upstream.h"

namespace vmproxy::net {

class HttpClient {
 public:
  // At most `connections_max` at once; a call waits for one until its deadline.
  HttpClient(UpstreamOptions options, size_t connections_max);
  ~HttpClient();

  // Host and Content-Length are set here. Errors: refused_connection (nothing sent; also when no connection
  // became free in time), cancelled (the deadline had passed, nothing sent), connection_lost, timeout,
  // too_large (answer larger than response_bytes_max).
  Result<Response> send(const Request& request, Deadline deadline, uint64_t response_bytes_max = 256u << 20);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vmproxy::net
