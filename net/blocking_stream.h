// BlockingStream: a connection for one thread at a time, plain or TLS, each call with an absolute deadline.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "net/tls.h"
#include "net/upstream.h"

struct ssl_st;

namespace vmproxy::net {

class BlockingStream {
 public:
  // `tls` null: plain. Code::refused_connection: nothing was sent.
  static Result<std::unique_ptr<BlockingStream>> connect(const UpstreamOptions& options,
                                                         const TlsContext& tls, Deadline deadline);
  ~BlockingStream();
  BlockingStream(const BlockingStream&) = delete;
  BlockingStream& operator=(const BlockingStream&) = delete;

  // 0: the peer closed in order. An error is Code::timeout or Code::connection_lost.
  Result<size_t> read_some(std::span<char> space, Deadline deadline);
  // `sent`, when given, counts what left, also when it failed.
  Result<void> write(std::string_view bytes, Deadline deadline, size_t* sent = nullptr);
  // Idle and usable: the server has not closed it and sent nothing unasked.
  bool quiet() const;
  bool negotiated_http2() const;

 private:
  explicit BlockingStream(int fd) : fd_(fd) {}
  Result<void> handshake(const TlsContext& tls, const std::string& name, Deadline deadline);
  Result<void> wait(short events, Deadline deadline) const;
  Result<void> tls_wait(int returned, Deadline deadline, bool* ended) const;

  int fd_;
  TlsContext context_;
  ssl_st* tls_ = nullptr;
};

}  // namespace vmproxy::net
