// faultproxy: README.md.
#include <CLI/CLI.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>

#include "control.h"

using namespace vmproxy;
using namespace vmproxy::faultproxy;

int main(int argc, char** argv) {
  CLI::App app("A TCP proxy that does to connections what networks do, for tests.");
  std::vector<std::string> links;
  uint16_t control_port = 0;
  uint64_t seed = 1;
  app.add_option("--link", links, "NAME=LISTEN_PORT:UPSTREAM_HOST:UPSTREAM_PORT; several")->required();
  app.add_option("--control", control_port, "port of the control lines; 0: any free one");
  app.add_option("--seed", seed, "of jitter");
  CLI11_PARSE(app, argc, argv);

  net::asio::io_context io(1);
  FaultProxy proxy(io, seed);
  Control control(io, proxy);
  boost::json::object ports;
  for (const auto& text : links) {
    const auto options = parse_link(text);
    const auto port = options ? proxy.add_link(*options) : Result<uint16_t>(options.error());
    if (!port) {
      std::fprintf(stderr, "faultproxy: %s\n", port.error().message.c_str());
      return 2;
    }
    ports[options->name] = *port;
  }
  const auto port = control.listen(control_port);
  if (!port) {
    std::fprintf(stderr, "faultproxy: %s\n", port.error().message.c_str());
    return 2;
  }
  const boost::json::object ready{{"control", *port}, {"links", std::move(ports)}};
  std::printf("%s\n", boost::json::serialize(ready).c_str());
  std::fflush(stdout);

  net::asio::signal_set signals(io, SIGINT, SIGTERM);
  signals.async_wait([&io](net::error_code, int) { io.stop(); });
  io.run();
}
