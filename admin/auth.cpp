#include "admin/auth.h"

#include "config/address.h"

namespace vmproxy::admin {
namespace {

// "localhost:7070", "[::1]:7070", "127.0.0.1" -> the host alone.
std::string_view host_of(std::string_view authority) {
  if (authority.starts_with('[')) return authority.substr(1, authority.find(']') - 1);
  return authority.substr(0, authority.find(':'));
}

std::optional<Error> refuse_foreign_origin(const net::Headers& headers) {
  const auto origin = headers.find("origin");
  if (!origin) return std::nullopt;
  const auto host = headers.find("host");
  const size_t scheme = origin->find("://");
  if (host && scheme != std::string_view::npos && net::equal_ignoring_case(origin->substr(scheme + 3), *host))
    return std::nullopt;
  return Error(Code::permission_denied, "a page of another web site may not use the admin API");
}

}  // namespace

bool equal_in_constant_time(std::string_view presented, std::string_view secret) {
  if (secret.empty()) return false;
  unsigned difference = presented.size() == secret.size() ? 0 : 1;
  for (size_t i = 0; i < presented.size(); ++i) {
    difference |=
        static_cast<unsigned char>(presented[i]) ^ static_cast<unsigned char>(secret[i % secret.size()]);
  }
  return difference == 0;
}

std::optional<Error> refuse(const net::Headers& headers, const std::string& token) {
  if (auto foreign = refuse_foreign_origin(headers)) return foreign;
  if (token.empty()) {
    const auto host = headers.find("host");
    if (!host || config::is_loopback(host_of(*host))) return std::nullopt;
    return Error(Code::permission_denied,
                 "without a token the admin API answers only to 127.0.0.1 and localhost, not to '" +
                     std::string(host_of(*host)).substr(0, 80) + "'");
  }
  const auto authorization = headers.find("authorization");
  if (!authorization)
    return Error(Code::unauthenticated,
                 "a token is needed: send 'Authorization: Bearer TOKEN' (vmproxy --token, or VMPROXY_TOKEN)");
  constexpr std::string_view scheme = "Bearer ";
  if (authorization->size() > scheme.size() &&
      net::equal_ignoring_case(authorization->substr(0, scheme.size()), scheme) &&
      equal_in_constant_time(authorization->substr(scheme.size()), token)) {
    return std::nullopt;
  }
  return Error(Code::unauthenticated, "the token is not the one of admin.token in the configuration");
}

bool is_open(std::string_view path) {
  return path == "/healthz" || path == "/readyz";
}

}  // namespace vmproxy::admin
