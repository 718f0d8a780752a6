#include "protocols/pgvector/address.h"

#include <libpq-fe.h>

#include <memory>

namespace vmproxy::protocols::pgvector {
namespace {

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && std::isxdigit(static_cast<unsigned char>(text[i + 1])) &&
        std::isxdigit(static_cast<unsigned char>(text[i + 2]))) {
      out += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

// Takes `schema=...` out of the query of a URL.
std::string take_schema(std::string& url) {
  const auto query = url.find('?');
  if (query == std::string::npos) return "public";
  std::string kept;
  std::string schema = "public";
  std::string_view rest = std::string_view(url).substr(query + 1);
  while (!rest.empty()) {
    const std::string_view part = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    if (part.starts_with("schema=")) {
      schema = percent_decoded(part.substr(7));
    } else if (!part.empty()) {
      kept += (kept.empty() ? "?" : "&") + std::string(part);
    }
  }
  url = url.substr(0, query) + kept;
  return schema;
}

}  // namespace

Result<Address> parse_address(const Endpoint& endpoint) {
  Address address;
  address.url = endpoint.url;
  const auto wrong = [&](const std::string& why) {
    return Error{Code::invalid, "database '" + endpoint.name + "': " + why +
                                    "; write postgresql://user@host:5432/database?schema=public"};
  };
  if (!address.url.starts_with("postgresql://") && !address.url.starts_with("postgres://")) {
    return wrong("the url does not begin with postgresql://");
  }
  address.schema = take_schema(address.url);
  if (address.schema.empty() || address.schema.find('\0') != std::string::npos)
    return wrong("the schema is empty");

  char* message = nullptr;
  std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
      PQconninfoParse(address.url.c_str(), &message), PQconninfoFree);
  if (!options) {
    // libpq's message quotes the URL, which may hold a password.
    PQfreemem(message);
    return wrong("the url is not one that libpq understands");
  }
  std::string host, port, database;
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    const std::string_view keyword = option->keyword;
    if (option->val == nullptr) continue;
    if (keyword == "host") host = option->val;
    if (keyword == "port") port = option->val;
    if (keyword == "dbname") database = option->val;
  }
  address.shown = "postgresql://" + host + (port.empty() ? "" : ":" + port) + "/" + database;

  if (!endpoint.auth_token.empty()) address.options["password"] = endpoint.auth_token;
  if (!endpoint.tls_ca.empty()) {
    address.options["sslrootcert"] = endpoint.tls_ca;
    address.options["sslmode"] = "verify-full";
  }
  if (!endpoint.tls_server_name.empty())
    return wrong(
        "tls.server_name is not supported for PostgreSQL: put the name into the url and its address into "
        "hostaddr=");
  if (endpoint.tls_insecure) address.options["sslmode"] = "require";
  return address;
}

std::string quoted(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

std::string short_hash(std::string_view text) {
  uint32_t hash = 2166136261U;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619U;
  char digits[9];
  std::snprintf(digits, sizeof digits, "%08x", hash);
  return digits;
}

}  // namespace vmproxy::protocols::pgvector
