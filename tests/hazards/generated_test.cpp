// Records whose keys the source makes up, beside those that a request names.
#include "tests/hazards/fake_proxy.h"

using namespace vmproxy::support;
namespace net = vmproxy::net;
namespace proxy = vmproxy::proxy;

TEST_CASE("a write that removes the record of the key it names and makes another up brings both over") {
  Proxy proxy;
  proxy.move.source.put("old", 1);
  proxy.ready();
  REQUIRE(proxy.move.target.find("old") == 1);
  std::vector<std::pair<std::string, std::string>> disk;
  std::string answer = proxy::encode_images({{key_of("made"), std::nullopt}});
  auto request =
      proxy.exchange({"POST", "/generate", {}, proxy::encode_images({{key_of("old"), std::nullopt}})},
                     [&](const net::Request&) {
                       proxy.move.source.remove("old");
                       proxy.move.source.put("made", 1);
                       disk = proxy.move.disk();
                       return net::Response{200, {}, answer, {}};
                     });
  const auto both_over = [&] {
    return proxy.move.target.find("made") == 1 && !proxy.move.target.find("old");
  };
  uint64_t gaps = 0;
  SECTION("its answer came") {
    proxy.handle(request);
    CHECK(proxy.until(both_over));
  }
  SECTION("its answer does not name the new one") {
    answer = "unreadable";
    proxy.handle(request);
    CHECK(proxy.until([&] { return !proxy.move.target.find("old"); }));
    gaps = 1;
  }
  SECTION("a crash comes before its answer") {
    proxy.handle(request);
    proxy.restart(disk);
    gaps = 1;
  }
  SECTION("a crash comes after its answer") {
    proxy.move.target.hold(Call::upsert);
    proxy.move.target.hold(Call::erase);
    proxy.handle(request);
    REQUIRE(proxy.until([&] { return proxy.move.target.held() > 0; }));
    proxy.move.linger();  // the outcome becomes durable
    disk = proxy.move.disk();
    proxy.move.target.down(vmproxy::Error(vmproxy::Code::refused_connection, "away"));
    proxy.restart(disk);
    proxy.move.target.down(std::nullopt);
    proxy.move.clock.advance(seconds(61));
    CHECK(proxy.until(both_over));
  }
  CHECK(proxy.until([&] { return proxy.move.status().gaps == gaps; }));
}

TEST_CASE(
    "a delete by filter that is executed after an insert beside it takes the record along whose key was made up") {
  Proxy proxy;
  proxy.ready();
  auto& mirror = proxy.move.context().mirror;
  std::optional<vmproxy::proxy::Ticket> removal;
  auto request = proxy.exchange({"POST", "/generate", {}, "x"}, [&](const net::Request&) {
    // It enumerates what it will hit: the record is not there yet.
    removal = mirror.begin_broad(*proxy.move.context().routing.get(), "records.delete_where", {"", "things"},
                                 IntentClass::predicate);
    proxy.move.source.put("made", 1);
    return net::Response{200, {}, proxy::encode_images({{key_of("made"), std::nullopt}}), {}};
  });
  proxy.handle(request);
  proxy.move.linger();
  proxy.move.source.remove("made");
  vmproxy::journal::OutcomeRecord done;
  done.whole = Outcome::applied;
  mirror.finish(std::move(*removal), done);
  REQUIRE(proxy.move.quiet());
  CHECK_FALSE(proxy.move.target.find("made"));
}
