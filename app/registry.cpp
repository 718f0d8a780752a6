#include "app/registry.h"

#include "protocols/chroma/chroma.h"
#include "protocols/pgvector/pgvector.h"

namespace vmproxy::app {

const std::vector<protocols::System>& systems() {
  static const std::vector<protocols::System> list{
      protocols::chroma::system(),
      protocols::pgvector::system(),
  };
  return list;
}

const protocols::System* find_system(std::string_view name) {
  for (const auto& system : systems()) {
    if (system.name == name) return &system;
  }
  return nullptr;
}

config::KnownNames known_names() {
  config::KnownNames known;
  for (const auto& system : systems()) {
    known.systems.emplace_back(system.name);
    if (system.make_dialect) known.dialects.emplace_back(system.name);
  }
  return known;
}

protocols::Endpoint endpoint(const std::string& name, const config::Database& database) {
  return {name, database.url, database.auth.header, database.auth.token, database.tls.ca, database.tls.server_name, database.tls.insecure};
}

}  // namespace vmproxy::app
