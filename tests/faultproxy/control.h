// The control port: one JSON object per line in, one per line out. README.md lists them. One thread.
#pragma once

#include <boost/json/object.hpp>

#include "fault_proxy.h"

namespace vmproxy::faultproxy {

// One request's answer: {"ok": true, ...} or {"ok": false, "error": "..."}.
boost::json::object answer_control(FaultProxy& proxy, std::string_view line);

class Control {
 public:
  static constexpr size_t line_bytes_max = 64 * 1024;
  static constexpr size_t sessions_max = 64;  // more are closed at once

  // The proxy outlives everything that runs on the io_context.
  Control(net::asio::io_context& io, FaultProxy& proxy) : proxy_(proxy), acceptor_(io) {}
  // On 127.0.0.1. The port (0: any free one), or why not.
  Result<uint16_t> listen(uint16_t port);

 private:
  static net::asio::awaitable<void> accept(Control& self);
  static net::asio::awaitable<void> serve(Control& self, net::tcp::socket socket);

  FaultProxy& proxy_;
  net::tcp::acceptor acceptor_;
  size_t sessions_ = 0;
};

}  // namespace vmproxy::faultproxy
