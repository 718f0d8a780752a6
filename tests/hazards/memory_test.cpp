// memory.inflight_bytes: what requests in flight hold together. Who finds no room waits, and what ends gives its bytes back.
#include <algorithm>
#include <new>
#include <stdexcept>

#include "tests/hazards/fake_proxy.h"

using namespace vmproxy::support;
using vmproxy::Code;
using vmproxy::Error;
using vmproxy::Result;
namespace net = vmproxy::net;
namespace proxy = vmproxy::proxy;

namespace {

net::Request put(const std::string& id) {
  return put_request({{key_of(id), record_of(id, 1)}});
}
// Of each body of put(), with an id of one letter.
const uint64_t body_bytes = put("b").body.size();

// A migration that is ready. With its gate closed, requests hold their bodies and go no further.
struct Bounded : Proxy {
  explicit Bounded(uint64_t bytes) {
    move.options.inflight_bytes = bytes;
    ready();
  }
  uint64_t used() { return move.context().budget.used(); }
  void settle() {
    move.linger();
    io.poll();
  }
};

}  // namespace

TEST_CASE(
    "requests in flight never hold more than memory.inflight_bytes: who finds no room waits, in order") {
  Bounded at(2 * body_bytes + 1);
  at.move.context().gate.close();
  std::string came;
  uint64_t most = 0;
  std::vector<std::unique_ptr<FakeExchange>> requests;
  std::vector<std::shared_ptr<bool>> ended;
  for (const std::string id : {"b", "c", "d", "e", "f"}) {
    requests.push_back(std::make_unique<FakeExchange>(at.io, put(id), at.move.clock.in(seconds(30)),
                                                      [&](const net::Request& sent) {
                                                        most = std::max(most, at.used());
                                                        return at.source(sent);
                                                      }));
    requests.back()->on_body = [&, id] {
      came += id;
      most = std::max(most, at.used());
      return Result<void>();
    };
    ended.push_back(at.begin(*requests.back()));
  }
  at.settle();
  CHECK(came == "bc");
  CHECK(at.used() == 2 * body_bytes);
  at.move.context().gate.open();
  REQUIRE(at.until(
      [&] { return std::all_of(ended.begin(), ended.end(), [](const auto& one) { return *one; }); }));
  CHECK(came == "bcdef");
  CHECK(most == 2 * body_bytes);
  CHECK(at.used() == 0);
  for (const auto& request : requests) {
    REQUIRE(request->answer);
    CHECK(request->answer->status == 200);
  }
}

TEST_CASE(
    "a request that finds no room in half of its time is told so in the source's form, and was not sent") {
  Bounded at(body_bytes);
  at.move.context().gate.close();
  auto first = at.exchange(put("b"));
  const auto first_ended = at.begin(first);
  at.settle();
  REQUIRE(at.used() == body_bytes);
  FakeExchange late(at.io, put("c"), at.move.clock.in(milliseconds(50)),
                    [&](const net::Request& sent) { return at.source(sent); });
  bool came = false;
  late.on_body = [&] {
    came = true;
    return Result<void>();
  };
  at.handle_at_once(late);
  REQUIRE(late.answer);
  CHECK(late.answer->status == at.move.dialect.error(Error(Code::overloaded, ""), late.head()).status);
  CHECK(late.answer->body.find("memory.inflight_bytes") != std::string::npos);
  CHECK_FALSE(came);
  CHECK(late.asked_source == 0);
  CHECK(at.used() == body_bytes);
  at.move.context().gate.open();
  REQUIRE(at.until([&] { return *first_ended; }));
  CHECK(at.used() == 0);
  CHECK(at.put("d", 1) == 200);
  CHECK_FALSE(at.move.source.find("c"));
}

TEST_CASE("a request waits for room for half of its time, so that what is sent has the other half") {
  Bounded at(body_bytes);
  at.move.context().gate.close();
  auto first = at.exchange(put("b"));
  const auto first_ended = at.begin(first);
  FakeExchange late(at.io, put("c"), at.move.clock.in(seconds(10)),
                    [&](const net::Request& sent) { return at.source(sent); });
  const auto began = std::chrono::steady_clock::now();
  at.handle_at_once(late);
  REQUIRE(late.answer);
  CHECK(late.answer->body.find("memory.inflight_bytes") != std::string::npos);
  CHECK(std::chrono::steady_clock::now() - began < seconds(9));
  at.move.context().gate.open();
  REQUIRE(at.until([&] { return *first_ended; }));
}

TEST_CASE("a read counts with what its answer may have before it is there, and the next ones wait") {
  Bounded at(4 << 10);  // a quarter of it for each answer that is made
  at.reads(1e-9);       // routed, and to the source
  const net::Request read = {"POST", "/read", {}, proxy::encode_images({{key_of("a"), std::nullopt}})};
  const auto large = [](const net::Request&) {
    return net::Response{200, {}, std::string(3 << 10, 'x'), {}};
  };
  auto first = at.exchange(read, large), second = at.exchange(read, large), third = at.exchange(read, large);
  std::vector<std::shared_ptr<bool>> ended;
  first.on_reply = [&] {  // its client takes its time
    for (auto* other : {&second, &third}) ended.push_back(at.begin(*other));
    at.settle();
    CHECK(second.asked_source + third.asked_source == 0);
  };
  at.handle(first);
  REQUIRE(at.until([&] { return *ended.at(0) && *ended.at(1); }));
  CHECK(second.answer->status == 200);
  CHECK(third.answer->status == 200);
  CHECK(at.used() == 0);
}

TEST_CASE("a request that waited for room and whose client has gone by then holds nothing") {
  Bounded at(body_bytes);
  at.move.context().gate.close();
  auto first = at.exchange(put("b"));
  const auto first_ended = at.begin(first);
  auto second = at.exchange(put("c"));
  second.on_body = [] { return Error(Code::connection_lost, "the client has gone"); };
  const auto second_ended = at.begin(second);
  at.settle();
  CHECK_FALSE(*second_ended);
  at.move.context().gate.open();
  REQUIRE(at.until([&] { return *first_ended && *second_ended; }));
  CHECK_FALSE(second.answer);
  CHECK(second.asked_source == 0);
  CHECK(at.used() == 0);
}

TEST_CASE("a request's bytes are given back, however it ends") {
  const std::string kind = GENERATE(as<std::string>(), "a write", "a read", "a write after the promotion");
  CAPTURE(kind);
  Bounded at(1 << 20);
  if (kind == "a read") at.reads(1e-9);  // routed, and to the source
  if (kind == "a write after the promotion") REQUIRE(at.move.promote());
  auto request = put("b");
  if (kind == "a read") request.target = "/read";
  bool source_gone = false, source_throws = false;
  const auto body = [](Error error) {
    return [error](FakeExchange& of) { of.on_body = [error] { return error; }; };
  };
  const std::vector<std::pair<std::string, std::function<void(FakeExchange&)>>> ends = {
      {"answered", [](FakeExchange&) {}},
      {"the client goes while its body comes", body(Error(Code::connection_lost, "gone"))},
      {"the body does not come in time", body(Error(Code::timeout, "late"))},
      {"the body is larger than any may be", body(Error(Code::too_large, "too large"))},
      {"no memory for the body",
       [](FakeExchange& of) { of.on_body = []() -> Result<void> { throw std::bad_alloc(); }; }},
      {"the client has gone before it is sent", [](FakeExchange& of) { of.gone = true; }},
      {"the source is gone", [&](FakeExchange&) { source_gone = true; }},
      {"an exception at the source", [&](FakeExchange&) { source_throws = true; }},
  };
  for (const auto& [name, end] : ends) {
    CAPTURE(name);
    source_gone = source_throws = false;
    auto exchange = at.exchange(request, [&](const net::Request& sent) -> Result<net::Response> {
      if (source_throws) throw std::runtime_error("broken");
      if (source_gone) return Error(Code::connection_lost, "gone");
      return at.source(sent);
    });
    end(exchange);
    uint64_t held = 0;
    exchange.on_body = [&held, &at, comes = exchange.on_body] {
      held = at.used();
      return comes ? comes() : Result<void>();
    };
    at.handle(exchange);
    // A read counts with what its answer may have, at most a quarter of the bound.
    CHECK(held == body_bytes + (kind == "a read" ? (1u << 20) / 4 : 0));
    CHECK(at.used() == 0);
  }
}

TEST_CASE(
    "no memory for the answer of a write that the source has done: it is owed to the replica all the same") {
  Proxy at;
  at.ready();
  auto request = at.exchange(put("b"), [&](const net::Request& sent) -> Result<net::Response> {
    (void)at.source(sent);
    throw std::bad_alloc();
  });
  at.handle(request);
  CHECK_FALSE(request.answer);
  CHECK(at.move.context().mirror.numbers().in_flight == 0);
  CHECK(at.move.eventually([&] { return at.move.target.find("b") == 1; }));
}

TEST_CASE("no memory to look at the answer of a write: it is owed all the same, and nothing waits for it") {
  Proxy at;
  at.ready();
  at.move.dialect.before_outcome = [] { throw std::bad_alloc(); };
  for (const auto& sent : {put("b"), net::Request{"POST", "/delete_where", {}, "0"},
                           net::Request{"POST", "/drop_some", {}, ""}}) {
    CAPTURE(sent.target);
    auto request = at.exchange(sent, [&](const net::Request& came) -> Result<net::Response> {
      if (came.target == sent.target && came.body.size() > 1) return at.source(came);
      return net::Response{200, {}, "", {}};
    });
    at.handle(request);
    CHECK_FALSE(request.answer);
    CHECK_FALSE(at.move.context().mirror.paused("things"));
  }
  at.move.clock.advance(seconds(61));  // what may still be executed
  CHECK(at.move.eventually([&] { return at.move.context().mirror.numbers().in_flight == 0; }));
  CHECK(at.move.eventually([&] { return at.move.target.find("b") == 1; }));
  // Of what went and nothing says which.
  CHECK(at.move.eventually([&] { return at.move.status().gaps == 1; }));
}

TEST_CASE("after the promotion, no memory for the answer of the target: the write is owed to the source") {
  Proxy at;
  at.ready();
  REQUIRE(at.move.promote());
  at.move.target.before_upsert = [&] {
    at.move.target.put("b", 1);
    throw std::bad_alloc();
  };
  auto request = at.exchange(put("b"));
  at.handle(request);
  at.move.target.before_upsert = nullptr;
  CHECK(at.move.context().mirror.numbers().in_flight == 0);
  CHECK(at.move.eventually([&] { return at.move.source.find("b") == 1; }));
}

TEST_CASE("a body of which nobody said how long it is counts as what it is once it is here") {
  constexpr uint64_t mib = 1 << 20;
  Bounded at(3 * mib);
  at.move.context().gate.close();
  auto record = record_of("b", 1);
  record.document = std::string(2 * mib + mib / 2, 'x');
  auto large = at.exchange(put_request({{key_of("b"), record}}));
  large.hide_length();
  auto next = at.exchange(put("c"));
  next.hide_length();
  uint64_t asked = 0;
  large.on_body = [&] {
    asked = at.used();
    return Result<void>();
  };
  bool came = false;
  next.on_body = [&] {
    came = true;
    return Result<void>();
  };
  const auto large_ended = at.begin(large);
  CHECK(asked == mib);  // what most such requests do not need either
  CHECK(at.used() == large.request().body.size());
  const auto next_ended = at.begin(next);
  at.settle();
  CHECK_FALSE(came);
  at.move.context().gate.open();
  REQUIRE(at.until([&] { return *large_ended && *next_ended; }));
  CHECK(came);
  CHECK(at.used() == 0);
  REQUIRE(next.answer);
  CHECK(next.answer->status == 200);
}
