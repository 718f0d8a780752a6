#include "protocols/api/credential.h"

#include <algorithm>
#include <array>

namespace vmproxy::protocols {
namespace {

constexpr std::array<std::string_view, 7> usual = {"authorization", "proxy-authorization", "x-api-key",     "api-key",
                                                   "apikey",        "x-auth-token",        "x-access-token"};

void add(std::string& bytes, const net::Headers& headers, std::string_view name) {
  for (const auto& [field, value] : headers.all()) {
    if (value.empty() || !net::equal_ignoring_case(field, name)) continue;
    for (const char c : name) bytes += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    bytes += ':';
    bytes += value;
    bytes += '\n';
  }
}

}  // namespace

std::string credential_of(const net::Headers& headers, std::span<const std::string_view> own) {
  std::string bytes;
  for (const auto name : usual) add(bytes, headers, name);
  for (size_t i = 0; i < own.size(); ++i) {
    const auto same = [&](std::string_view other) { return net::equal_ignoring_case(other, own[i]); };
    const bool added = std::ranges::any_of(usual, same) || std::ranges::any_of(own.first(i), same);
    if (!own[i].empty() && !added) add(bytes, headers, own[i]);
  }
  if (bytes.empty()) add(bytes, headers, "cookie");
  return bytes;
}

}  // namespace vmproxy::protocols
