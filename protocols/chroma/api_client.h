// ApiClient: calls of API v2 and their failures as Errors. Blocking; thread-safe.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "model/schema.h"
#include "net/message.h"
#include "protocols/api/system.h"

namespace vmproxy::protocols::chroma {

// Carries a request to the server and its answer back: net::HttpClient::send.
using Caller = std::function<Result<net::Response>(const net::Request& request, Deadline deadline)>;

// Limits that the server tells in its pre-flight checks.
struct Limits {
  size_t batch_records = 1000;
  bool base64 = false;
};

class ApiClient {
 public:
  static constexpr uint64_t request_bytes_max = 40u << 20;

  ApiClient(const Endpoint& endpoint, Caller caller);

  // The body of a 2xx answer. Anything else is an Error whose code says what it means for a write: refusals
  // are surely_not_done, what the server broke at is not. The server's message is kept.
  Result<std::string> call(std::string_view method, std::string_view target, std::string body,
                           Deadline deadline);
  Result<std::string> get(std::string_view target, Deadline deadline) {
    return call("GET", target, {}, deadline);
  }

  // POST .../collections/{UUID}/{action}. The UUID is looked up by name once and kept; a collection that is
  // unknown under its UUID was re-created, so it is looked up again, once.
  Result<std::string> post(const model::CollectionName& name, std::string_view action, std::string body,
                           Deadline deadline);
  // The same with an empty GET ("count").
  Result<std::string> fetch(const model::CollectionName& name, std::string_view action, Deadline deadline);

  // Asked of the server once.
  Result<Limits> limits(Deadline deadline);
  // Of the collection as it is there, from the same look-up: fixed when it was made.
  Result<model::Metric> metric(const model::CollectionName& name, Deadline deadline);
  void forget(const model::CollectionName& name);
  void remember(const model::Schema& schema);

 private:
  Result<std::string> on_collection(std::string_view method, const model::CollectionName& name,
                                    std::string_view action, std::string body, Deadline deadline);
  Result<std::string> ask(const net::Request& request, Deadline deadline);
  net::Request request_of(std::string_view method, std::string_view target, std::string body) const;
  struct Known {
    std::string id;
    model::Metric metric;
  };
  Result<Known> known(const model::CollectionName& name, Deadline deadline);

  const Caller caller_;
  std::string auth_header_;
  std::string auth_token_;
  std::mutex mutex_;
  std::map<model::CollectionName, Known> known_;
  std::optional<Limits> limits_;
};

// "/api/v2/tenants/T/databases/D" of a CollectionName::space.
Result<std::string> database_target(std::string_view space);

}  // namespace vmproxy::protocols::chroma
