// reads.consistency: which reads a target may answer that does not have every acknowledged write yet.
#include "proxy/images.h"
#include "tests/hazards/fake_proxy.h"

using namespace vmproxy::support;
using vmproxy::Code;
using vmproxy::Error;
namespace net = vmproxy::net;
namespace proxy = vmproxy::proxy;

namespace {

const net::Request read_of_a{"POST", "/read", {}, proxy::encode_images({{key_of("a"), std::nullopt}})};

// Version of "a" as the target has answered; nothing: the source did.
std::optional<int64_t> from_target(Proxy& proxy) {
  auto request = proxy.exchange(read_of_a);
  proxy.handle(request);
  REQUIRE(request.answer);
  CHECK(request.answer->status == 200);
  if (request.asked_source > 0) return std::nullopt;
  const auto images = proxy::decode_images(request.answer->body);
  REQUIRE(images);
  REQUIRE(images->size() == 1);
  return version_of(images->front().record.value());
}

// All reads belong to the target.
struct Eventual : Proxy {
  explicit Eventual(bool eventual) {
    move.options.proxy.guard_reads = !eventual;
    ready();
    reads(100);
  }
};

}  // namespace

TEST_CASE(
    "with reads.consistency: eventual the target answers reads of what it still lacks, otherwise the source does") {
  const bool eventual = GENERATE(false, true);
  CAPTURE(eventual);
  Eventual proxy(eventual);
  CHECK(from_target(proxy) == 1);
  proxy.move.target.hold(Call::upsert);
  CHECK(proxy.put("a", 2) == 200);
  REQUIRE(proxy.move.context().mirror.dirty({"", "things"}, key_of("a")));
  if (eventual) {
    CHECK(from_target(proxy) == 1);
  } else {
    CHECK_FALSE(from_target(proxy));
  }
  CHECK(proxy.search_by_source() == !eventual);
  proxy.move.target.release();
  REQUIRE(proxy.move.quiet());
  CHECK(from_target(proxy) == 2);
  CHECK_FALSE(proxy.search_by_source());
}

TEST_CASE("reads.consistency: eventual lifts no other reason why the source answers") {
  Eventual proxy(true);
  CHECK_FALSE(proxy.search_by_source());
  SECTION("a gap") {
    REQUIRE(proxy.move.journal->mark_gap("somebody wrote beside the proxy"));
    CHECK(proxy.search_by_source());
  }
  SECTION("a record that the target refuses") {
    proxy.move.target.refuse("bad", Error(Code::invalid, "no"));
    CHECK(proxy.put("bad", 1) == 200);
    REQUIRE(proxy.until([&] { return proxy.move.status().quarantined == 1; }));
    CHECK(proxy.search_by_source());
  }
  SECTION("a caller whom the source has not let in") {
    net::Request stranger = read_of_a;
    stranger.headers.add("who", "stranger");
    auto refused =
        proxy.exchange(stranger, [](const net::Request&) { return net::Response{401, {}, "", {}}; });
    proxy.handle(refused);
    CHECK(refused.asked_source == 1);
    REQUIRE(refused.answer);
    CHECK(refused.answer->status == 401);
  }
}
