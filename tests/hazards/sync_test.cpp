// mirror.mode: sync. An answer also waits until the replica has the change, for no longer than mirror.sync_timeout, which is
// real time: what must not run out here is an hour, longer than the test may take.
#include "tests/hazards/fake_proxy.h"

using namespace vmproxy::support;
using vmproxy::Code;
using vmproxy::Error;
using vmproxy::Result;
namespace net = vmproxy::net;

namespace {

constexpr auto an_hour = std::chrono::hours(1);

// A migration that is ready, with writes that wait so long for the replica.
struct Sync : Proxy {
  explicit Sync(vmproxy::Duration timeout) {
    move.options.proxy.sync = true;
    move.options.proxy.sync_timeout = timeout;
    ready();
  }
};

net::Request put_of_b() {
  return put_request({{key_of("b"), record_of("b", 1)}});
}

}  // namespace

TEST_CASE("with mirror.mode: sync a write is answered once the replica has it") {
  Sync proxy(an_hour);
  proxy.move.target.hold(Call::upsert);
  auto request = proxy.exchange(put_of_b());
  const auto ended = proxy.begin(request);
  REQUIRE(proxy.until([&] { return proxy.move.target.held() > 0; }));
  proxy.move.linger();
  proxy.io.poll();
  CHECK(proxy.move.source.find("b") == 1);
  CHECK_FALSE(*ended);
  CHECK_FALSE(request.answer);
  proxy.move.target.release();
  REQUIRE(proxy.until([&] { return *ended; }));
  CHECK(proxy.move.target.find("b") == 1);
  REQUIRE(request.answer);
  CHECK(request.answer->status == 200);
  CHECK(request.answer->body == "done by the source");
}

TEST_CASE(
    "H2: with mirror.mode: sync a replica that does not take a write delays its answer by the timeout, no more") {
  const auto timeout = milliseconds(100);
  Sync proxy(timeout);
  SECTION("it hangs") {
    proxy.move.target.hold(Call::upsert);
  }
  SECTION("it is away") {
    proxy.move.target.down(Error(Code::refused_connection, "away"));
  }
  SECTION("it is full") {
    proxy.move.target.down(Error(Code::quota, "full"));
  }
  const auto began = std::chrono::steady_clock::now();
  auto request = proxy.exchange(put_of_b());
  proxy.handle(request);
  const auto waited = std::chrono::steady_clock::now() - began;
  CHECK(waited >= timeout);
  CHECK(waited < seconds(30));
  REQUIRE(request.answer);
  CHECK(request.answer->status == 200);
  CHECK(request.answer->body == "done by the source");
  CHECK_FALSE(proxy.move.target.find("b"));
  CHECK(proxy.move.context().mirror.dirty({"", "things"}, key_of("b")));
  CHECK(proxy.move.context().mirror.numbers().lag_changes == 1);
  proxy.move.target.down(std::nullopt);
  proxy.move.target.release();
  REQUIRE(proxy.move.quiet());
  CHECK(proxy.move.target.find("b") == 1);
  CHECK(proxy.move.equal());
}

TEST_CASE("with mirror.mode: sync a write that the source has not done waits for nobody") {
  Sync proxy(an_hour);
  proxy.move.target.hold(Call::upsert);
  proxy.move.write("a", 2);  // the collection is owed something
  REQUIRE(proxy.until([&] { return proxy.move.target.held() > 0; }));
  Result<net::Response> answer = net::Response{409, {}, "refused", {}};
  int status = 409;
  SECTION("refused") {}
  SECTION("failed") {
    answer = net::Response{500, {}, "broken", {}};
    status = 500;
  }
  SECTION("its answer was lost") {
    answer = Error(Code::connection_lost, "broke");
    status = 503;
  }
  auto request = proxy.exchange(put_of_b(), [&](const net::Request&) { return answer; });
  proxy.handle(request);
  REQUIRE(request.answer);
  CHECK(request.answer->status == status);
  CHECK(proxy.move.target.held() > 0);
}

TEST_CASE("with mirror.mode: async no write waits for the replica") {
  Proxy proxy;
  proxy.move.options.proxy.sync_timeout = an_hour;
  proxy.ready();
  proxy.move.target.hold(Call::upsert);
  CHECK(proxy.put("b", 1) == 200);
  CHECK(proxy.put("b", 2) == 200);
  CHECK_FALSE(proxy.move.target.find("b"));
}

TEST_CASE("with mirror.mode: sync no write waits for the former primary after the promotion") {
  Sync proxy(an_hour);
  REQUIRE(proxy.move.promote());
  proxy.move.source.hold(Call::upsert);
  CHECK(proxy.put("b", 1) == 200);
  CHECK(proxy.move.target.find("b") == 1);
  CHECK_FALSE(proxy.move.source.find("b"));
}
