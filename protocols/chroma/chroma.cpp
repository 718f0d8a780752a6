#include "protocols/chroma/chroma.h"

#include "net/http_client.h"
#include "protocols/chroma/dialect.h"
#include "protocols/chroma/driver.h"

namespace vmproxy::protocols::chroma {
namespace {

constexpr size_t connections_max = 32;

// All values of one name in "a=1&b=2&a=3".
std::vector<std::string> values_of(std::string_view query, std::string_view name,
                                   std::vector<std::string>& unknown) {
  std::vector<std::string> values;
  while (!query.empty()) {
    const auto pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    const auto key = pair.substr(0, pair.find('='));
    if (key == name && pair.size() > key.size() + 1)
      values.push_back(net::percent_decode(pair.substr(key.size() + 1)));
    if (key != "tenant" && key != "database" && !pair.empty()) unknown.emplace_back(key);
  }
  return values;
}

Result<std::unique_ptr<Driver>> make_driver(const Endpoint& endpoint, Clock&) {
  auto options = net::parse_upstream_url(endpoint.server());
  if (!options) return options.error();
  if (!endpoint.tls_ca.empty()) options->tls.ca_file = endpoint.tls_ca;
  if (!endpoint.tls_server_name.empty()) options->tls.server_name = endpoint.tls_server_name;
  options->tls.insecure = endpoint.tls_insecure;
  std::vector<std::string> unknown;
  const auto tenants = values_of(endpoint.parameters(), "tenant", unknown);
  const auto databases = values_of(endpoint.parameters(), "database", unknown);
  if (!unknown.empty()) {
    return Error(Code::invalid, "the url of '" + endpoint.name + "' has the parameter '" + unknown[0] +
                                    "'; a Chroma takes tenant and database");
  }
  const Place home{tenants.empty() ? "default_tenant" : tenants[0],
                   databases.empty() ? "default_database" : databases[0]};
  std::set<std::string> known(tenants.begin(), tenants.end());
  known.insert("default_tenant");
  const auto client = std::make_shared<net::HttpClient>(std::move(*options), connections_max);
  const auto caller = [client](const net::Request& request, Deadline deadline) {
    return client->send(request, deadline);
  };
  return std::unique_ptr<Driver>(std::make_unique<ChromaDriver>(endpoint, caller, home, std::move(known)));
}

}  // namespace

System system() {
  return {"chroma", make_driver, [](const Endpoint& endpoint) {
            return std::unique_ptr<Dialect>(std::make_unique<ChromaDialect>(endpoint.auth_header));
          }};
}

}  // namespace vmproxy::protocols::chroma
