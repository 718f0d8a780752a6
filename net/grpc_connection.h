// One blocking HTTP/2 connection that carries one call at a time. Inner header of grpc_client.cpp.
#pragma once

#include <nghttp2/nghttp2.h>

#include <vector>

#include "net/blocking_stream.h"
#include "net/http2_idle_frames.h"
#include "net/message.h"
#include "net/rate_budget.h"

namespace vmproxy::net {

class GrpcConnection {
 public:
  explicit GrpcConnection(std::unique_ptr<BlockingStream> stream);
  ~GrpcConnection();
  GrpcConnection(const GrpcConnection&) = delete;
  GrpcConnection& operator=(const GrpcConnection&) = delete;

  struct Call {
    std::string_view body;  // what is left to send
    uint64_t answer_bytes_max = 0;
    int status = 0;
    Headers headers;
    Headers trailers;
    std::string answer;
    size_t field_bytes = 0;  // of all that came
    bool head_seen = false;
    bool too_large = false;
    bool closed = false;
    uint32_t error = 0;
    size_t sent = 0;  // bytes that left this machine
    bool refused() const { return closed && !head_seen && error == NGHTTP2_REFUSED_STREAM; }
  };

  // Reads what came while idle. False: the server closed it or is about to, or sent more than there was reason to.
  bool still_usable();
  // Runs the call to its end. Code::timeout and Code::connection_lost; then the connection is of no more use.
  Result<void> run(const std::vector<std::pair<std::string, std::string>>& head, Call& call,
                   Deadline deadline);

 private:
  struct Callbacks;
  Result<void> send_frames(Deadline deadline);
  Result<size_t> receive_frames(Deadline deadline);

  std::unique_ptr<BlockingStream> stream_;
  nghttp2_session* session_ = nullptr;
  Call* call_ = nullptr;
  int32_t id_ = 0;
  // As a server allows its clients (Http2Session): a database has no better reason to send what holds nothing.
  RateBudget idle_frames_{idle_frames_burst, idle_frames_per_second};
  bool flooded_ = false;
};

}  // namespace vmproxy::net
