// Names of tenants, databases and collections.
#include <algorithm>

#include "protocols/chroma/collection.h"

namespace vmproxy::protocols::chroma {
namespace {

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_ip_address(const std::string& name) {
  int parts = 0, digits = 0, number = 0;
  for (const char c : name + '.') {
    if (c == '.') {
      if (digits == 0 || number > 255) return false;
      ++parts;
      digits = number = 0;
    } else if (c >= '0' && c <= '9' && digits < 3 && !(digits == 1 && number == 0)) {
      number = number * 10 + (c - '0');
      ++digits;
    } else {
      return false;
    }
  }
  return parts == 4;
}

}  // namespace

std::optional<std::string> name_objection(const std::string& name) {
  const bool length = name.size() >= 3 && name.size() <= 512;
  const bool characters = std::all_of(name.begin(), name.end(), [](char c) {
    return is_alphanumeric(c) || c == '.' || c == '_' || c == '-';
  });
  if (!length || !characters || !is_alphanumeric(name.front()) || !is_alphanumeric(name.back())) {
    return "Expected a name containing 3-512 characters from [a-zA-Z0-9._-], starting and ending with a "
           "character in "
           "[a-zA-Z0-9]. Got: " +
           name;
  }
  if (name.find("..") != std::string::npos)
    return "Expected a name that does not contains two consecutive periods (..). Got " + name;
  if (is_ip_address(name)) return "Expected a name that is not a valid ip address. Got " + name;
  return std::nullopt;
}

std::string tenant_path(std::string_view tenant) {
  std::string path;
  for (const char c : tenant) {
    if (c == '/') {
      path += "%2F";
    } else if (c == '%') {
      path += "%25";
    } else {
      path += c;
    }
  }
  return path;
}

std::string space_path(std::string_view tenant, std::string_view database) {
  return tenant_path(tenant) + "/" + std::string(database);
}

std::optional<Place> place_of(std::string_view space) {
  const auto slash = space.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  return Place{net::percent_decode(space.substr(0, slash)), std::string(space.substr(slash + 1))};
}

}  // namespace vmproxy::protocols::chroma
