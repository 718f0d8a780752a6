#include "protocols/api/credential.h"

#include <algorithm>
#include <array>
#include <vector>

namespace vmproxy::protocols {
namespace {

constexpr std::array<std::string_view, 7> usual = {
    "authorization", "proxy-authorization", "x-api-key",     "api-key",
    "apikey",        "x-auth-token",        "x-access-token"};

std::string small_letters(std::string_view text) {
  std::string small(text);
  for (char& c : small) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return small;
}

void add(std::string& bytes, const net::Headers& headers, std::string_view name) {
  for (const auto& [field, value] : headers.all()) {
    if (value.empty() || !net::equal_ignoring_case(field, name)) continue;
    bytes += name;
    bytes += ':';
    bytes += value;
    bytes += '\n';
  }
}

}  // namespace

std::string credential_headers(std::span<const std::string_view> own) {
  std::vector<std::string> names(usual.begin(), usual.end());
  for (const auto name : own) {
    std::string small = small_letters(name);
    if (!small.empty() && std::ranges::find(names, small) == names.end()) names.push_back(std::move(small));
  }
  std::string text;
  for (const auto& name : names) {
    if (!text.empty()) text += ' ';
    text += name;
  }
  return text;
}

std::string credential_of(const net::Headers& headers, std::string_view names) {
  std::string bytes;
  while (!names.empty()) {
    const std::string_view name = names.substr(0, names.find(' '));
    add(bytes, headers, name);
    names.remove_prefix(std::min(name.size() + 1, names.size()));
  }
  return bytes;
}

}  // namespace vmproxy::protocols
