// A collection gets another metric after the promotion: on a target that keeps the one it was made with, it is made anew.
#include <algorithm>
#include <future>

#include "tests/hazards/fake_proxy.h"

using namespace vmproxy::support;
using vmproxy::Code;
using vmproxy::Error;
using vmproxy::Result;
using vmproxy::model::Metric;
using Change = vmproxy::model::SchemaChange;

namespace {

// "other" was created after the promotion, and its index says another metric now.
struct Measured : Proxy {
  explicit Measured(bool fixed = true) {
    move.target.caps.metric_fixed = fixed;
    ready();
    REQUIRE(move.promote());
    Change creation;
    creation.kind = Change::Kind::create_collection;
    creation.schema = things("other");
    REQUIRE(backend().change(creation));
  }
  Result<vmproxy::model::Schema> measure_otherwise() {
    Change change;
    change.kind = Change::Kind::alter_collection;
    change.name = things("other").name;
    change.schema = known();
    change.schema.vectors[0].metric = Metric::cosine;
    return backend().change(change);
  }
  vmproxy::model::Schema known() { return move.context().collections.find("other")->plan->source(); }
  Metric metric_on_target() {
    const auto there = move.target.describe(things("other").name, move.clock.in(seconds(1)));
    REQUIRE(there);
    REQUIRE(*there);
    return (*there)->vectors[0].metric;
  }
  bool claimed() { return move.context().collections.claimed(*move.context().collections.find("other")); }
  Result<vmproxy::model::WriteResult> put(const std::string& id) {
    return backend().write(put_of("other", {id}));
  }
  FakeDriver::Rows rows() const { return move.target.rows("other"); }
  template <class Answer>
  bool ended(const std::future<Answer>& call) {
    return move.eventually([&] { return call.wait_for(seconds(0)) == std::future_status::ready; });
  }
};

template <class Call>
auto aside(Call call) {
  return std::async(std::launch::async, std::move(call));
}

}  // namespace

TEST_CASE("a collection that holds nothing gets another metric on a target that keeps the first one") {
  Measured proxy;
  REQUIRE(proxy.measure_otherwise());
  CHECK(proxy.metric_on_target() == Metric::cosine);
  CHECK(proxy.known().vectors[0].metric == Metric::cosine);
  CHECK(proxy.put("x"));
  CHECK(proxy.rows() == FakeDriver::Rows{{"x", 1}});
  CHECK(proxy.move.status().gaps == 0);
}

TEST_CASE("one that holds records does not, and stays as it was") {
  Measured proxy;
  REQUIRE(proxy.put("x"));
  const auto refused = proxy.measure_otherwise();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Code::unsupported);
  CHECK(refused.error().message.starts_with("index.metric: "));
  CHECK(proxy.move.target.calls(Call::drop) == 0);
  CHECK(proxy.known().vectors[0].metric == Metric::l2);
  CHECK(proxy.put("y"));
  CHECK(proxy.rows() == FakeDriver::Rows{{"x", 1}, {"y", 1}});
}

TEST_CASE("a target that can change a metric keeps the records") {
  Measured proxy(false);
  REQUIRE(proxy.put("x"));
  REQUIRE(proxy.measure_otherwise());
  CHECK(proxy.move.target.calls(Call::drop) == 0);
  CHECK(proxy.known().vectors[0].metric == Metric::cosine);
  CHECK(proxy.rows() == FakeDriver::Rows{{"x", 1}});
}

TEST_CASE("C2: no write is lost that comes while its collection is made anew") {
  Measured proxy;
  SECTION("it is under way already when that begins") {
    proxy.move.target.hold(Call::upsert);
    auto write = aside([&] { return proxy.put("x"); });
    CHECK(proxy.move.eventually([&] { return proxy.move.target.held() == 1; }));
    auto change = aside([&] { return proxy.measure_otherwise(); });
    CHECK(proxy.move.eventually([&] { return !proxy.claimed(); }));
    proxy.move.linger();
    CHECK(proxy.move.target.calls(Call::drop) == 0);
    proxy.move.target.release();
    CHECK(proxy.ended(write));
    CHECK(proxy.ended(change));
    CHECK(write.get());
    CHECK_FALSE(change.get());
    CHECK(proxy.metric_on_target() == Metric::l2);
  }
  SECTION("it comes later") {
    proxy.move.target.hold(Call::drop);
    auto change = aside([&] { return proxy.measure_otherwise(); });
    CHECK(proxy.move.eventually([&] { return proxy.move.target.held() == 1; }));
    auto write = aside([&] { return proxy.put("x"); });
    proxy.move.linger();
    CHECK(proxy.rows().empty());
    proxy.move.target.release();
    CHECK(proxy.ended(change));
    CHECK(proxy.ended(write));
    CHECK(change.get());
    CHECK(write.get());
    CHECK(proxy.metric_on_target() == Metric::cosine);
  }
  CHECK(proxy.rows() == FakeDriver::Rows{{"x", 1}});
}

TEST_CASE(
    "a collection that was dropped to be made anew, and not made, is made by the next call that needs it") {
  Measured proxy;
  proxy.move.target.fail(Call::create, Error(Code::refused_connection, "away"));
  const auto failed = proxy.measure_otherwise();
  REQUIRE_FALSE(failed);
  CHECK_FALSE(failed.error().surely_not_done());
  REQUIRE_FALSE(proxy.move.target.has_collection("other"));
  CHECK(proxy.put("x"));
  CHECK(proxy.rows() == FakeDriver::Rows{{"x", 1}});
  CHECK(proxy.metric_on_target() == proxy.known().vectors[0].metric);
  CHECK(proxy.move.status().gaps == 0);
}

TEST_CASE("C2: a drop without an answer, of what was to be made anew, takes no write with it when it lands") {
  Measured proxy;
  proxy.move.target.fail(Call::drop, Error(Code::timeout, "no answer came"));
  CHECK_FALSE(proxy.measure_otherwise());
  const auto early = proxy.put("x");
  REQUIRE_FALSE(early);
  CHECK(early.error().retryable());
  SECTION("it lands") {
    proxy.move.target.drop_collection("other");
  }
  SECTION("it does not") {}
  proxy.move.clock.advance(seconds(71));  // what the call had left, and as long as an attempt may take
  CHECK(proxy.put("x"));
  CHECK(proxy.rows() == FakeDriver::Rows{{"x", 1}});
  CHECK(proxy.metric_on_target() == proxy.known().vectors[0].metric);
  CHECK(proxy.move.status().gaps == 0);
}

TEST_CASE("a drop that the target refuses, of what was to be made anew, leaves it as it was") {
  Measured proxy;
  proxy.move.target.fail(Call::drop, Error(Code::permission_denied, "not by you"));
  CHECK_FALSE(proxy.measure_otherwise());
  CHECK(proxy.put("x"));
  CHECK(proxy.rows() == FakeDriver::Rows{{"x", 1}});
  CHECK(proxy.metric_on_target() == Metric::l2);
}

TEST_CASE(
    "C6: killed while a collection is made anew, vmproxy has it afterwards, and no write of it goes astray") {
  Measured proxy;
  Call step = Call::drop;
  bool arrives = true;
  SECTION("it was to be dropped, and is") {}
  SECTION("it was to be dropped, and is not") {
    arrives = false;
  }
  SECTION("it was to be made, and is") {
    step = Call::create;
  }
  SECTION("it was to be made, and is not") {
    step = Call::create;
    arrives = false;
  }
  proxy.move.target.hold(step);
  auto change = aside([&] { return proxy.measure_otherwise(); });
  CHECK(proxy.move.eventually([&] { return proxy.move.target.held() == 1; }));
  const auto disk = proxy.move.disk();
  if (!arrives) proxy.move.target.fail(step, Error(Code::refused_connection, "away"));
  proxy.move.target.release();
  CHECK(proxy.ended(change));
  (void)change.get();
  // What the dead process did afterwards did not happen, but for what it had sent.
  if (step == Call::drop && arrives) proxy.move.target.drop_collection("other");
  proxy.restart(disk);
  REQUIRE(proxy.move.context().collections.find("other"));
  CHECK_FALSE(proxy.put("x"));  // a drop may still land
  proxy.move.clock.advance(seconds(61));
  CHECK(proxy.put("x"));
  CHECK(proxy.rows() == FakeDriver::Rows{{"x", 1}});
  CHECK(proxy.metric_on_target() == proxy.known().vectors[0].metric);
  CHECK(proxy.move.status().gaps == 0);
}

TEST_CASE(
    "while the source is the primary an empty collection follows its metric on a target that keeps the first one") {
  Proxy proxy;
  Move& move = proxy.move;
  move.target.caps.metric_fixed = true;
  proxy.ready();
  const auto ddl = [&](std::function<void()> at_the_source) {
    move.dialect.creates = things("other").name;
    auto call = proxy.exchange({"POST", "/create", {}, ""}, [&](const vmproxy::net::Request&) {
      at_the_source();
      return vmproxy::net::Response{};
    });
    proxy.handle(call);
  };
  ddl([&] { move.source.add_collection(things("other")); });
  REQUIRE(move.target.has_collection("other"));
  auto measured = things("other");
  measured.vectors[0].metric = Metric::cosine;
  const auto measure = [&] { ddl([&] { move.source.change(measured); }); };
  const auto metric = [&] {
    return (*move.target.describe(things("other").name, move.clock.in(seconds(1))))->vectors[0].metric;
  };
  const auto drops = move.target.calls(Call::drop);
  SECTION("empty") {
    move.source.before_query = [](vmproxy::Deadline) { return Error(Code::unavailable, "not loaded"); };
    measure();
    CHECK(move.target.calls(Call::drop) == drops + 1);
    CHECK(metric() == Metric::cosine);
    CHECK(move.context().collections.claimed(*move.context().collections.find("other")));
    CHECK(move.status().gaps == 0);
  }
  SECTION("a record that comes meanwhile may have gone with it") {
    move.target.before_drop = [&](vmproxy::Deadline) {
      move.context().mirror.written().note("other", {vmproxy::model::encode(key_of("x"))});
      return std::optional<Error>();
    };
    measure();
    CHECK(metric() == Metric::cosine);
    CHECK(move.journal->has_gaps());
  }
  SECTION("what holds records stays as it is") {
    move.source.put("other", "x", 1);
    move.target.put("other", "x", 1);
    measure();
    CHECK(move.target.calls(Call::drop) == drops);
    CHECK(move.target.rows("other").size() == 1);
    CHECK(move.status().gaps == 0);
  }
}
