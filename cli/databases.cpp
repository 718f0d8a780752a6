#include "cli/databases.h"

#include "config/nearest.h"
#include "config/reference.h"

namespace vmproxy::cli {
namespace {

// '*' stands for any run of characters, '?' for one. Linear in practice: one place to come back to.
bool matches(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace

const protocols::System* find_system(Systems systems, std::string_view name) {
  for (const auto& system : systems) {
    if (system.name == name) return &system;
  }
  return nullptr;
}

config::KnownNames known_names(Systems systems) {
  config::KnownNames known;
  for (const auto& system : systems) {
    known.systems.emplace_back(system.name);
    if (system.make_dialect) known.dialects.emplace_back(system.name);
  }
  return known;
}

protocols::Endpoint endpoint_of(const std::string& name, const config::Database& database) {
  protocols::Endpoint endpoint;
  endpoint.name = name;
  endpoint.url = database.url;
  endpoint.auth_header = database.auth.header;
  endpoint.auth_token = database.auth.token;
  endpoint.tls_ca = database.tls.ca;
  endpoint.tls_server_name = database.tls.server_name;
  endpoint.tls_insecure = database.tls.insecure;
  return endpoint;
}

boost::system::result<const protocols::System*, Failure> need_system(Systems systems,
                                                                     const std::string& name) {
  if (const auto* system = find_system(systems, name)) return system;
  const auto known = known_names(systems).systems;
  const auto close = config::nearest(name, known);
  return Failure{exit_usage,
                 "unknown system '" + name + "'" + (close ? "; did you mean '" + *close + "'?" : ""),
                 "This vmproxy knows " + config::one_of(known)};
}

boost::system::result<std::string, Failure> expanded_url(const Session& session, const std::string& url) {
  auto expanded = config::expand(url, "", session.program.variable);
  if (!expanded) return Failure{exit_usage, "--url: " + expanded.error().text, ""};
  return std::move(*expanded);
}

std::string remedy(const Error& error) {
  if (error.message.find("Check that") != std::string::npos) return "";  // it says so itself
  switch (error.code) {
    case Code::refused_connection: return "is it running, and are host and port right?";
    case Code::timeout: return "is it overloaded, or does a firewall drop the packets?";
    case Code::unauthenticated:
      return "check the user and password in its url, or its auth.header and auth.token";
    case Code::permission_denied: return "grant this user the right, or use another one";
    case Code::unavailable: return "it answers, but not yet: try again when it is up";
    default: return "";
  }
}

bool matches_any(const std::vector<std::string>& patterns, const model::CollectionName& name) {
  const std::string whole = model::to_string(name);
  for (const auto& pattern : patterns) {
    if (matches(pattern, name.name) || matches(pattern, whole)) return true;
  }
  return false;
}

bool is_wild(std::string_view pattern) {
  return pattern.find_first_of("*?") != std::string_view::npos;
}

bool asks_for(const std::vector<std::string>& patterns, const model::CollectionName& name) {
  const std::string whole = model::to_string(name);
  for (const auto& pattern : patterns) {
    if (!is_wild(pattern) && (pattern == name.name || pattern == whole)) return true;
  }
  return false;
}

boost::json::array json_of(const std::vector<protocols::LeftOut>& all) {
  boost::json::array out;
  for (const auto& one : all) {
    out.push_back(
        {{"space", one.name.space}, {"name", one.name.name}, {"why", one.why}, {"remedy", one.remedy}});
  }
  return out;
}

}  // namespace vmproxy::cli
