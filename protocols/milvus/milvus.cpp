#include "protocols/milvus/milvus.h"

#include "net/grpc_client.h"
#include "protocols/milvus/dialect.h"
#include "protocols/milvus/driver.h"

namespace vmproxy::protocols::milvus {
namespace {

constexpr size_t connections_max = 32;

Caller caller_over(std::shared_ptr<net::GrpcClient> client) {
  return [client](const std::string& path, const net::Headers& metadata, const std::string& message,
                  Deadline deadline) -> Result<std::string> {
    auto answer = client->send(path, metadata, message, deadline);
    if (!answer) {
      // What cannot be read of an answer is as good as lost: the call may have been done.
      const Error& error = answer.error();
      const bool lost = error.code == Code::too_large || error.code == Code::corrupt;
      return lost ? Error(Code::connection_lost, error.message) : error;
    }
    if (answer->status != 0) return grpc_error(answer->status, answer->message);
    return std::move(answer->body);
  };
}

Result<std::unique_ptr<Driver>> make_driver(const Endpoint& endpoint, Clock& clock) {
  auto options = net::parse_upstream_url(endpoint.server());
  if (!options) return options.error();
  if (!endpoint.tls_ca.empty()) options->tls.ca_file = endpoint.tls_ca;
  if (!endpoint.tls_server_name.empty()) options->tls.server_name = endpoint.tls_server_name;
  options->tls.insecure = endpoint.tls_insecure;
  std::string database(default_database);
  if (const std::string query(endpoint.parameters()); !query.empty()) {
    const std::string name = query.substr(0, query.find('='));
    if (name != "database" || query.find('&') != std::string::npos) {
      return Error(Code::invalid, "the url of '" + endpoint.name + "' has the parameter '" + name +
                                      "'; a Milvus takes database");
    }
    if (name.size() + 1 < query.size()) database = net::percent_decode(query.substr(name.size() + 1));
  }
  auto client = std::make_shared<net::GrpcClient>(std::move(*options), connections_max);
  return std::unique_ptr<Driver>(
      std::make_unique<MilvusDriver>(Client(endpoint, caller_over(std::move(client))), database, clock));
}

}  // namespace

System system() {
  return {"milvus", make_driver, [](const Endpoint& endpoint) {
            return std::unique_ptr<Dialect>(std::make_unique<MilvusDialect>(endpoint.auth_header));
          }};
}

}  // namespace vmproxy::protocols::milvus
