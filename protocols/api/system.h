// System: one entry of app/'s list. A system may have a driver, a dialect, or both.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "protocols/api/dialect.h"
#include "protocols/api/driver.h"

namespace vmproxy::protocols {

// How to reach one database: `databases.NAME` of the configuration, resolved.
struct Endpoint {
  std::string name;
  std::string url;          // may hold secrets, anywhere
  std::string auth_header;  // e.g. "authorization"
  std::string auth_token;
  std::string tls_ca;  // file
  std::string tls_server_name;
  bool tls_insecure = false;

  // The url without its query: where the server is.
  std::string server() const { return url.substr(0, url.find('?')); }
  // The query, without its '?'; empty: none. For the driver alone. Lives as long as the url.
  std::string_view parameters() const {
    const auto mark = url.find('?');
    return mark == std::string::npos ? std::string_view() : std::string_view(url).substr(mark + 1);
  }
};

struct System {
  std::string_view name;
  std::function<Result<std::unique_ptr<Driver>>(const Endpoint&, Clock&)> make_driver;
  // Empty: no dialect yet. Of the endpoint it takes what applications ask by: auth_header.
  std::function<std::unique_ptr<Dialect>(const Endpoint&)> make_dialect;
};

}  // namespace vmproxy::protocols
