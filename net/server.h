// Server: listeners and workers. One io_context and one thread per worker; a connection stays on its worker.
// HTTP/1.1 and HTTP/2 (prior knowledge, or ALPN under TLS) on the same port.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "net/exchange.h"

namespace vmproxy::net {

struct TlsServerOptions {
  std::string certificate_file;  // empty: no TLS
  std::string key_file;
};

struct ListenOptions {
  std::string host;
  uint16_t port = 0;  // 0: any free one
  TlsServerOptions tls;
  uint64_t head_bytes_max = 64 * 1024;
  // At most the clients' share of the process' file descriptors (descriptors.h), whatever stands here.
  size_t connections_max = 20000;
  Duration head_timeout = std::chrono::seconds(10);      // a started request's head must arrive in
  Duration idle_timeout = std::chrono::seconds(75);      // between requests
  Duration request_timeout = std::chrono::seconds(120);  // deadline of a request that brings none
  Duration write_timeout = std::chrono::seconds(30);     // HTTP/2: for 64 KiB of frames to leave
};

class Server {
 public:
  explicit Server(size_t workers);
  ~Server();  // stop(0)

  // Binds now. The port that was bound, or why not. The handler runs on the connection's worker.
  Result<uint16_t> listen(const ListenOptions& options, Handler handler);
  void start();
  // Stops accepting, lets requests in flight end until the timeout (Connection: close, GOAWAY), then closes.
  // Blocks.
  void stop(Duration drain_timeout);
  boost::asio::io_context& worker(size_t index);
  size_t connections() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vmproxy::net
