#include "cli/http_transport.h"

#include <memory>

#include "net/http_client.h"

namespace vmproxy::cli {

Result<Transport> http_transport(const std::string& url) {
  auto options = net::parse_upstream_url(url);
  if (!options) return options.error();
  auto client = std::make_shared<net::HttpClient>(std::move(*options), 1);
  return Transport([client](const net::Request& request, Deadline deadline) {
    constexpr uint64_t answer_bytes_max = 64u << 20;
    return client->send(request, deadline, answer_bytes_max);
  });
}

}  // namespace vmproxy::cli
