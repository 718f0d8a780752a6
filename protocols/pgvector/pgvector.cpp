#include "protocols/pgvector/pgvector.h"

#include "protocols/pgvector/driver.h"

namespace vmproxy::protocols::pgvector {
namespace {
constexpr size_t connections_max = 16;
}

System system() {
  System system;
  system.name = "pgvector";
  system.make_driver = [](const Endpoint& endpoint, Clock& clock) -> Result<std::unique_ptr<Driver>> {
    auto address = parse_address(endpoint);
    if (!address) return address.error();
    return std::unique_ptr<Driver>(new PgvectorDriver(std::move(*address), clock, connections_max));
  };
  return system;
}

}  // namespace vmproxy::protocols::pgvector
