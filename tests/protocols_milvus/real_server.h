// The real Milvus that with_milvus.py started. Without one the tests fail: an absent server is no reason to
// skip.
#pragma once

#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <memory>

#include "protocols/milvus/milvus.h"

namespace vmproxy::protocols::milvus::test {

inline std::string environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr)
    throw std::runtime_error(std::string(name) + " is not set: run this test by ctest or with_milvus.py");
  return value;
}
inline bool is_lite() {
  return environment("VMPROXY_TEST_MILVUS_NAME") == "milvus-lite";
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

inline std::unique_ptr<Driver> make_driver() {
  static SystemClock clock;
  auto driver =
      good(system().make_driver({"test", environment("VMPROXY_TEST_MILVUS"), "", "", "", "", false}, clock));
  good(driver->describe_server(soon()));
  return driver;
}

// A collection of its own for each test, dropped at its end.
class OwnCollection {
 public:
  explicit OwnCollection(model::Schema schema) : driver(make_driver()) {
    static std::atomic<int> count = 0;
    schema.name.name = "t" + std::to_string(::getpid()) + "_" + std::to_string(++count);
    wanted = schema;
    good(driver->create(schema, soon()));
    auto found = good(driver->describe(schema.name, soon()));
    REQUIRE(found.has_value());
    this->schema = std::move(*found);
  }
  ~OwnCollection() { (void)driver->drop(wanted.name, soon()); }

  std::unique_ptr<Driver> driver;
  model::Schema wanted, schema;
};

}  // namespace vmproxy::protocols::milvus::test
