// Upstream: one database behind the proxy, with keep-alive connections of its own per worker. TLS when asked
// for.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/error.h"

namespace vmproxy::net {

struct TlsClientOptions {
  bool enabled = false;
  std::string ca_file;      // empty: the system's
  std::string server_name;  // empty: the host
  bool insecure = false;    // no verification, by the user's explicit choice
};

struct UpstreamOptions {
  std::string host;
  uint16_t port = 0;
  TlsClientOptions tls;
  // An idle connection older than this is not used again: shorter than the server's own keep-alive.
  Duration idle_max = std::chrono::seconds(4);
  size_t idle_connections_max = 512;  // per worker
  Duration connect_timeout = std::chrono::seconds(5);
};

// http://host:port/, https://..., or host:port. The error says what is wrong without showing the address, which may hold
// a password; the caller says whose address it is.
Result<UpstreamOptions> parse_upstream_url(const std::string& url);

// Implementation in upstream.cpp. Made once per database, used from every worker; inner state is per worker.
class UpstreamPool;
class Upstream {
 public:
  explicit Upstream(UpstreamOptions options);
  ~Upstream();
  const UpstreamOptions& options() const { return options_; }
  const std::shared_ptr<UpstreamPool>& pool() { return pool_; }

 private:
  UpstreamOptions options_;
  std::shared_ptr<UpstreamPool> pool_;
};

}  // namespace vmproxy::net
