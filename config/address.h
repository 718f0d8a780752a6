// Addresses as they stand in a configuration.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vmproxy::config {

struct HostPort {
  std::string host;  // IPv6 without brackets
  uint16_t port = 0;
};

// "127.0.0.1:7070", "[::1]:7070", "localhost:7070", ":7070" (all interfaces).
std::optional<HostPort> parse_host_port(std::string_view text);

// 127.0.0.0/8, ::1, localhost: nobody outside of this machine can reach it.
bool is_loopback(std::string_view host);

// The URL without what only its owner should see: the password and the values of its query.
std::string masked_url(std::string_view url);

// Which database the URL names: the URL without its password, and without the values of parameters whose names speak of secrets.
// The others (a schema, a tenant, a host) tell two databases of one server apart. Rotated credentials leave it the same.
std::string place_of(std::string_view url);

}  // namespace vmproxy::config
