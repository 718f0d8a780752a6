// The admin API over fake migrations, without sockets.
#pragma once

#include <boost/json.hpp>

#include "admin/api.h"
#include "base/fake_clock.h"
#include "tests/admin/fake_control.h"

namespace vmproxy::testing {

struct AdminFixture {
  FakeControl control;
  FakeControl other;
  Metrics metrics;
  FakeClock clock;
  admin::Readiness readiness{true, {}};
  std::string token;
  bool two_migrations = false;

  net::Response send(const std::string& method, const std::string& target, const std::string& body = "",
                     net::Headers headers = {}) {
    std::map<std::string, cutover::Control*> migrations{{"m", &control}};
    if (two_migrations) migrations["orders"] = &other;
    admin::Api api({token, "0.1.0", [this] { return readiness; }}, std::move(migrations), metrics, clock);
    net::Request request;
    request.method = method;
    request.target = target;
    request.headers = std::move(headers);
    request.body = body;
    return api.handle(request);
  }
  static boost::json::object object(const net::Response& response) {
    return boost::json::parse(response.body).as_object();
  }
};

}  // namespace vmproxy::testing
