// Api: the admin API as a function from a request to its answer. No sockets and no threads of its own, so
// tests call it as the server does. Calls block (Control may wait for disk or for a promotion): never from an
// io thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "cutover/control.h"
#include "net/message.h"

namespace vmproxy::admin {

struct Readiness {
  bool serving = false;
  std::vector<std::string> reasons;  // why not, for people
};

struct ApiOptions {
  std::string token;  // empty: none
  std::string version;
  std::function<Readiness()> readiness;  // cheap; from any thread
};

class Api {
 public:
  // All outlive the Api.
  Api(ApiOptions options, std::map<std::string, cutover::Control*> migrations, Metrics& metrics,
      Clock& clock);

  // Never throws. Thread-safe as far as Control is.
  net::Response handle(const net::Request& request);
  // What can be refused before the body is read: nothing when the request may go on.
  std::optional<net::Response> refuse_early(const net::Headers& headers, std::string_view path) const;

  // For the routes.
  cutover::Control* find(const std::string& name) const;
  const std::map<std::string, cutover::Control*>& migrations() const { return migrations_; }
  const std::string& version() const { return options_.version; }
  Readiness readiness() const { return options_.readiness(); }
  double uptime_seconds() const;
  Metrics& metrics() { return metrics_; }

 private:
  ApiOptions options_;
  std::map<std::string, cutover::Control*> migrations_;
  Metrics& metrics_;
  Clock& clock_;
  TimePoint started_;
};

}  // namespace vmproxy::admin
