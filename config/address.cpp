#include "config/address.h"

#include <algorithm>
#include <cctype>

#include "config/units.h"

namespace vmproxy::config {
namespace {

// Four decimal numbers up to 255.
bool is_ipv4(std::string_view host) {
  int parts = 0;
  while (true) {
    const size_t dot = host.find('.');
    const auto part = parse_count(host.substr(0, dot));
    if (!part || *part > 255 || (dot != std::string_view::npos ? dot : host.size()) > 3) return false;
    ++parts;
    if (dot == std::string_view::npos) return parts == 4;
    host.remove_prefix(dot + 1);
  }
}

}  // namespace

std::optional<HostPort> parse_host_port(std::string_view text) {
  std::string_view host;
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos || close == 1 || text.substr(close + 1).empty() ||
        text[close + 1] != ':')
      return std::nullopt;
    host = text.substr(1, close - 1);
    text.remove_prefix(close + 2);
    if (host.find_first_not_of("0123456789abcdefABCDEF:.%") != std::string_view::npos) return std::nullopt;
  } else {
    const size_t colon = text.find(':');
    if (colon == std::string_view::npos || text.find(':', colon + 1) != std::string_view::npos)
      return std::nullopt;
    host = text.substr(0, colon);
    text.remove_prefix(colon + 1);
    if (host.find_first_of("/@?# \t") != std::string_view::npos) return std::nullopt;
  }
  const auto port = parse_count(text);
  if (!port || *port > 65535) return std::nullopt;
  return HostPort{host.empty() ? "0.0.0.0" : std::string(host), static_cast<uint16_t>(*port)};
}

bool is_loopback(std::string_view host) {
  return host == "localhost" || host == "::1" || (host.starts_with("127.") && is_ipv4(host));
}

namespace {

bool names_a_secret(std::string_view parameter) {
  std::string name(parameter);
  std::ranges::transform(name, name.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const char* word : {"pass", "pwd", "secret", "token", "key", "auth", "cred", "sig"}) {
    if (name.find(word) != std::string::npos) return true;
  }
  return false;
}

bool any_parameter(std::string_view) {
  return true;
}

std::string masked(std::string_view url, bool (*masks)(std::string_view parameter)) {
  std::string out(url);
  const size_t scheme = out.find("://");
  const size_t begin = scheme == std::string::npos ? 0 : scheme + 3;
  // A password may hold anything, even '/' and '@' where somebody forgot to escape: the last '@' ends it.
  const size_t at = out.rfind('@');
  if (at != std::string::npos && at >= begin) {
    const size_t colon = out.find(':', begin);
    if (colon < at) out.replace(colon + 1, at - colon - 1, "***");
  }
  for (size_t equals = out.find('=', out.find('?')); equals != std::string::npos;
       equals = out.find('=', equals + 1)) {
    const size_t end = std::min(out.find('&', equals), out.size());
    const size_t name = out.find_last_of("?&", equals) + 1;
    if (masks(std::string_view(out).substr(name, equals - name))) {
      out.replace(equals + 1, end - equals - 1, "***");
    } else {
      equals = end - 1;  // the value may hold another '='
    }
  }
  return out;
}

}  // namespace

std::string masked_url(std::string_view url) {
  return masked(url, any_parameter);
}
std::string place_of(std::string_view url) {
  return masked(url, names_a_secret);
}

}  // namespace vmproxy::config
