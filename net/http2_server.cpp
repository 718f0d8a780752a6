#include "net/connection.h"

namespace vmproxy::net {
asio::awaitable<void> run_http2(Connection&) {
  co_return;
}
}  // namespace vmproxy::net
