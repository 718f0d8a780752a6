// The admin API on a real socket of this machine.
#include "admin/server.h"

#include <boost/json.hpp>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <thread>

#include "net/http_client.h"
#include "tests/admin/fake_control.h"

using namespace vmproxy;
using vmproxy::testing::FakeControl;

namespace {

// A promotion that waits until the test lets it go.
struct Slow {
  std::mutex mutex;
  std::condition_variable changed;
  bool open = false;
  int waiting = 0;
  void wait() {
    std::unique_lock lock(mutex);
    ++waiting;
    changed.notify_all();
    changed.wait(lock, [this] { return open; });
  }
  void wait_for_waiting(int count) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return waiting >= count; });
  }
  void release() {
    std::lock_guard hold(mutex);
    open = true;
    changed.notify_all();
  }
};

struct Running {
  FakeControl control;
  Metrics metrics;
  SystemClock clock;
  Slow slow;
  admin::Api api;
  admin::AdminServer server;
  uint16_t port = 0;
  std::unique_ptr<net::HttpClient> client;

  explicit Running(const std::string& token = "")
      : api({token, "0.1.0", [] { return admin::Readiness{true, {}}; }}, {{"m", &control}}, metrics, clock),
        server(api) {
    const auto bound = server.listen("127.0.0.1", 0, !token.empty());
    REQUIRE(bound.has_value());
    port = *bound;
    server.start();
    auto options = net::parse_upstream_url("http://127.0.0.1:" + std::to_string(port));
    REQUIRE(options.has_value());
    client = std::make_unique<net::HttpClient>(*options, 80);
  }
  Result<net::Response> send(const std::string& method, const std::string& target,
                             const std::string& body = "", net::Headers headers = {}) {
    net::Request request;
    request.method = method;
    request.target = target;
    request.headers = std::move(headers);
    request.body = body;
    return client->send(request, clock.in(std::chrono::seconds(20)));
  }
};

}  // namespace

TEST_CASE("health, status and control are answered over HTTP") {
  Running running;
  const auto health = running.send("GET", "/healthz");
  REQUIRE(health.has_value());
  CHECK(health->body == "{\"alive\":true}\n");
  const auto status = running.send("GET", "/api/v1/migrations/m");
  REQUIRE(status.has_value());
  CHECK(boost::json::parse(status->body).as_object()["name"] == "m");
  const auto cutover = running.send("POST", "/api/v1/migrations/m/cutover", R"({"percent":10})");
  REQUIRE(cutover.has_value());
  CHECK(cutover->status == 200);
  CHECK(running.control.calls().size() == 1);
}

TEST_CASE("a body larger than any request needs is refused, and only that request") {
  Running running;
  const auto large = running.send("POST", "/api/v1/migrations/m/promote",
                                  "{\"reason\":\"" + std::string(200'000, 'x') + "\"}");
  if (large.has_value()) {  // the connection may also close before all of it was sent
    CHECK(large->status == 413);
    CHECK(boost::json::parse(large->body).as_object()["status"] == 413);
  }
  CHECK(running.control.calls().empty());
  const auto next = running.send("GET", "/healthz");
  REQUIRE(next.has_value());
  CHECK(next->status == 200);
}

TEST_CASE("without the token the body is not even read") {
  Running running("secret");
  const auto refused = running.send("POST", "/api/v1/migrations/m/promote", "{");
  REQUIRE(refused.has_value());
  CHECK(refused->status == 401);
  const auto good =
      running.send("POST", "/api/v1/migrations/m/promote", "", {{"authorization", "Bearer secret"}});
  REQUIRE(good.has_value());
  CHECK(good->status == 200);
}

TEST_CASE("an address that others can reach is refused without a token") {
  Metrics metrics;
  SystemClock clock;
  admin::Api api({"", "0.1.0", [] { return admin::Readiness{true, {}}; }}, {}, metrics, clock);
  admin::AdminServer server(api);
  const auto bound = server.listen("0.0.0.0", 0, false);
  REQUIRE(bound.has_error());
  CHECK(bound.error().code == Code::precondition);
  CHECK(server.listen("0.0.0.0", 0, true).has_value());
}

TEST_CASE("a port that is taken is named") {
  Running running;
  Metrics metrics;
  SystemClock clock;
  admin::Api api({"", "0.1.0", [] { return admin::Readiness{true, {}}; }}, {}, metrics, clock);
  admin::AdminServer second(api);
  const auto bound = second.listen("127.0.0.1", running.port, false);
  REQUIRE(bound.has_error());
  CHECK(bound.error().message.find(std::to_string(running.port)) != std::string::npos);
}

TEST_CASE(
    "while every thread waits, health and readiness are answered, and more than the queue holds is refused") {
  Running running;
  running.control.at_change = [&] { running.slow.wait(); };
  std::vector<std::thread> waiting;
  std::atomic<int> served{0}, busy{0}, other{0};
  const auto ask = [&](int times) {
    for (int i = 0; i < times; ++i) {
      waiting.emplace_back([&] {
        const auto answer = running.send("POST", "/api/v1/migrations/m/promote");
        ++(!answer ? other : answer->status == 200 ? served : answer->status == 503 ? busy : other);
      });
    }
  };
  constexpr int threads = 4 + 2;  // of all migrations, and of the one
  ask(threads);
  running.slow.wait_for_waiting(threads);
  ask(64 + 7);  // the queue, and more
  const auto health = running.send("GET", "/healthz");
  const bool alive = health.has_value() && health->status == 200;
  const auto readiness = running.send("GET", "/readyz");
  const bool ready = readiness.has_value() && readiness->body == "{\"serving\":true,\"reasons\":[]}\n";
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(15);
  while (busy < 7 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  running.slow.release();
  for (auto& thread : waiting) thread.join();
  CHECK(alive);
  CHECK(ready);
  CHECK(served == threads + 64);
  CHECK(busy == 7);
  CHECK(other == 0);
}

TEST_CASE(
    "a promotion and the rollback that waits for it leave room for status, metrics and other commands") {
  Running running;
  running.control.at_change = [&] { running.slow.wait(); };
  std::vector<std::thread> waiting;
  std::atomic<int> served{0};
  for (const char* action : {"promote", "rollback"}) {
    waiting.emplace_back([&running, &served, action] {
      const auto answer = running.send("POST", std::string("/api/v1/migrations/m/") + action);
      if (answer && answer->status == 200) ++served;
    });
  }
  running.slow.wait_for_waiting(2);
  std::vector<int> statuses;
  for (const char* path : {"/readyz", "/metrics", "/api/v1/status"}) {
    const auto answer = running.send("GET", path);
    statuses.push_back(answer ? answer->status : 0);
  }
  running.slow.release();
  for (auto& thread : waiting) thread.join();
  CHECK(statuses == std::vector<int>{200, 200, 200});
  CHECK(served == 2);
}
