// The real Chroma that with_chroma.py started. Without one the tests fail: an absent server is no reason to
// skip.
#pragma once

#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <memory>

#include "net/http_client.h"
#include "protocols/chroma/chroma.h"
#include "protocols/wire/json.h"

namespace vmproxy::protocols::chroma::test {

inline std::string server_url() {
  const char* url = std::getenv("VMPROXY_TEST_CHROMA");
  if (url == nullptr)
    throw std::runtime_error("VMPROXY_TEST_CHROMA is not set: run this test by ctest or with_chroma.py");
  return url;
}

inline Deadline soon() {
  return SystemClock().in(std::chrono::seconds(60));
}

// What a Result holds; the test fails with the error's text when it holds none.
template <class T>
T good(Result<T> result) {
  if (!result) FAIL(std::string(name_of(result.error().code)) + ": " + result.error().message);
  return std::move(*result);
}
inline void good(Result<void> result) {
  if (!result) FAIL(std::string(name_of(result.error().code)) + ": " + result.error().message);
}

inline std::unique_ptr<Driver> make_driver(const std::string& query = "") {
  static SystemClock clock;
  Endpoint endpoint;
  endpoint.name = "test";
  endpoint.url = server_url() + query;
  return good(system().make_driver(endpoint, clock));
}

inline model::CollectionName fresh_name() {
  static std::atomic<int> count = 0;
  return {"default_tenant/default_database",
          "test" + std::to_string(getpid()) + "-" + std::to_string(++count)};
}

inline model::Schema make_collection(Driver& driver, model::Metric metric = model::Metric::l2) {
  model::Schema schema;
  schema.name = fresh_name();
  schema.vectors.emplace_back();
  schema.vectors[0].metric = metric;
  schema.has_document = true;
  good(driver.create(schema, soon()));
  return *good(driver.describe(schema.name, soon()));
}

inline model::Key key(std::string id) {
  model::Key k;
  k.id.value = std::move(id);
  return k;
}

inline model::Record record(std::string id, model::DenseVector vector,
                            std::optional<std::string> document = {},
                            std::optional<model::Object> metadata = {}) {
  model::Record r;
  r.key = key(std::move(id));
  r.vectors[""] = std::move(vector);
  r.document = std::move(document);
  r.metadata = std::move(metadata);
  return r;
}

// A call as an application makes it.
inline net::Response call(const std::string& method, const std::string& target, const model::Value& body) {
  static net::HttpClient http(good(net::parse_upstream_url(server_url())), 4);
  net::Request request;
  request.method = method;
  request.target = target;
  request.headers.add("content-type", "application/json");
  if (!body.is_null()) request.body = wire::to_json(body);
  return good(http.send(request, soon()));
}

inline std::string records_target(const model::Schema& schema, const std::string& action) {
  return "/api/v2/tenants/default_tenant/databases/default_database/collections/" + schema.native_id + "/" +
         action;
}

}  // namespace vmproxy::protocols::chroma::test
