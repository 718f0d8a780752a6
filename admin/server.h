// AdminServer: the Api on a port. Requests run on a small pool of threads, because they may wait for disk or
// for a promotion; the io thread only moves bytes. What a supervisor asks, /healthz and /readyz, is answered on
// the io thread, also when the pool is busy.
#pragma once

#include <memory>
#include <string>

#include "admin/api.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "net/server.h"

namespace vmproxy::admin {

class AdminServer {
 public:
  explicit AdminServer(Api& api);
  ~AdminServer();

  // Error precondition: another machine could reach it and there is no token. The port that was bound.
  Result<uint16_t> listen(const std::string& host, uint16_t port, bool has_token);
  void start();
  // Lets requests end until the timeout. Blocks.
  void stop(Duration drain_timeout);

 private:
  Api& api_;
  ThreadPool pool_;
  net::Server server_;
};

}  // namespace vmproxy::admin
