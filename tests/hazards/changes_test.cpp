// Changes of collections through the proxy: names that move, and what is made and dropped after a promotion.
#include <future>
#include <list>

#include "tests/hazards/fake_proxy.h"

using namespace vmproxy::support;
using vmproxy::Code;
using vmproxy::Error;
using vmproxy::Result;
namespace net = vmproxy::net;
namespace proxy = vmproxy::proxy;
namespace asio = boost::asio;

namespace {

// "things" and "others"; the first answers to "live" as well, until a call of /create gives the name away.
struct Names : Proxy {
  Names() {
    move.source.add_collection(things("others"));
    move.source.name_also("things", "live");
    move.dialect.moves_name = true;
    move.dialect.creates = things().name;
  }
  // By the name "live", which the source takes for this collection.
  void write_live(const std::string& collection, const std::string& id) {
    auto request =
        exchange({"POST", "/put", {{"to", "live"}}, proxy::encode_images({{key_of(id), record_of(id, 1)}})},
                 [&](const net::Request&) {
                   move.source.put(collection, id, 1);
                   return net::Response{};
                 });
    handle(request);
    REQUIRE(request.answer);
    CHECK(request.answer->status == 200);
  }
  bool arrives(const std::string& collection, const std::string& id) {
    return until([&] { return move.target.rows(collection).contains(id); });
  }
  bool equal() const {
    return move.source.rows() == move.target.rows() &&
           move.source.rows("others") == move.target.rows("others");
  }
};

// What an application creates after the promotion.
vmproxy::model::SchemaChange creation(const std::string& name) {
  vmproxy::model::SchemaChange change;
  change.kind = vmproxy::model::SchemaChange::Kind::create_collection;
  change.schema = things(name);
  return change;
}

// ... and drops.
vmproxy::model::SchemaChange removal(const std::string& name = "things") {
  vmproxy::model::SchemaChange change;
  change.kind = vmproxy::model::SchemaChange::Kind::drop_collection;
  change.name = things(name).name;
  return change;
}

// A change that the target has been asked for and has not done yet.
struct Hanging {
  Hanging(Proxy& of, Call call, const vmproxy::model::SchemaChange& change) : proxy(of) {
    proxy.move.target.hold(call);
    answer = std::async(std::launch::async, [this, change] { return proxy.backend().change(change); });
    CHECK(proxy.move.eventually([this] { return proxy.move.target.held() == 1; }));
  }
  // How it ended.
  Result<vmproxy::model::Schema> released() {
    proxy.move.target.release();
    CHECK(proxy.move.eventually([this] { return answer.wait_for(seconds(0)) == std::future_status::ready; }));
    return answer.get();
  }
  // The machine dies while the target is asked; what it was asked for arrives there, or does not.
  void killed(Call call, bool arrives) {
    const auto disk = proxy.move.disk();
    if (!arrives) proxy.move.target.fail(call, Error(Code::refused_connection, "away"));
    (void)released();
    proxy.restart(disk);
  }
  Proxy& proxy;
  std::future<Result<vmproxy::model::Schema>> answer;
};

Result<vmproxy::model::WriteResult> put_into(Proxy& proxy, const std::string& collection,
                                             const std::string& id) {
  return proxy.backend().write(put_of(collection, {id}));
}

}  // namespace

TEST_CASE(
    "a name that moved right before a crash is asked for, and a write by it reaches the collection that has it now") {
  Names proxy;
  proxy.ready();
  auto call = proxy.exchange({"POST", "/create", {}, ""}, [&](const net::Request&) {
    proxy.move.source.name_also("others", "live");
    proxy.move.source.hold(Call::describe);
    return net::Response{};
  });
  const auto ended = proxy.begin(call);
  REQUIRE(
      proxy.until([&] { return proxy.move.source.held() > 0; }));  // done, and the proxy looks what it left
  proxy.move.linger();
  const auto disk = proxy.move.disk();
  proxy.move.source.release();
  REQUIRE(proxy.until([&] { return *ended; }));
  proxy.restart(disk);
  CHECK(proxy.move.status().gaps >= 1);
  proxy.write_live("others", "x");
  proxy.move.clock.advance(seconds(61));  // attempts of the last run have landed or died
  CHECK(proxy.arrives("others", "x"));
  CHECK(proxy.equal());
  proxy.validate();
  CHECK(proxy.until([&] { return proxy.move.status().gaps == 0; }));
  CHECK(proxy.equal());
}

TEST_CASE(
    "a name that may move late leaves every write by it in doubt, until the source can be asked for good") {
  Names proxy;
  proxy.move.target.caps.max_zombie = seconds(0);
  proxy.ready();
  auto call = proxy.exchange({"POST", "/create", {}, ""},
                             [](const net::Request&) { return net::Response{500, {}, "", {}}; });
  proxy.handle(call);
  CHECK(proxy.until([&] { return proxy.move.status().gaps == 1; }));
  proxy.validate();
  CHECK(proxy.until([&] { return proxy.move.status().gaps == 0; }));
  proxy.move.source.name_also("others", "live");  // it is executed late
  proxy.write_live("others", "x");
  CHECK(proxy.until([&] { return proxy.move.status().gaps == 1; }));  // it may have moved a moment later
  SECTION("it is not forgotten in a restart") {
    REQUIRE(proxy.move.quiet());
    proxy.restart(proxy.move.disk());
    proxy.write_live("others", "y");
    REQUIRE(proxy.move.migration->validate({}, {}));  // it waits for what the gap stands for
    proxy.move.linger();
    CHECK(proxy.move.context().collections.in_doubt());
    proxy.write_live("others", "z");
    CHECK(proxy.until([&] { return proxy.move.status().gaps > 1; }));
    proxy.move.clock.advance(seconds(61));
    REQUIRE(proxy.until([&] { return proxy.move.status().validation.phase != "running"; }));
  }
  SECTION("it ends") {}
  SECTION("it ends without a write, too") {
    proxy.move.clock.advance(seconds(61));
    CHECK(proxy.until([&] { return !proxy.move.context().collections.in_doubt(); }));
  }
  proxy.move.clock.advance(seconds(61));
  proxy.write_live("others", "end");
  CHECK(proxy.arrives("others", "end"));
  proxy.validate();
  CHECK_FALSE(proxy.move.context().collections.in_doubt());
  CHECK(proxy.until([&] { return proxy.move.status().gaps == 0; }));
  CHECK(proxy.equal());
  CHECK(proxy.move.promote());
}

TEST_CASE("a write by a doubtful name is a gap before the source has it, whatever it was taken for") {
  Names proxy;
  Move& move = proxy.move;
  move.options.included = [](const auto& name) { return name.name != "excluded"; };
  move.target.caps.max_zombie = seconds(0);
  move.source.add_collection(things("excluded"));
  if (GENERATE(false, true)) move.source.name_also("excluded", "live");  // else one that is included has it
  proxy.ready();
  auto moves = proxy.exchange({"POST", "/create", {}, ""},
                              [](const net::Request&) { return net::Response{500, {}, "", {}}; });
  proxy.handle(moves);
  CHECK(proxy.until([&] { return move.status().gaps == 1; }));
  proxy.validate();
  REQUIRE(proxy.until([&] { return move.status().gaps == 0; }));
  REQUIRE(move.context().collections.in_doubt());
  Move::Disk disk;
  bool compared = false;
  auto write = proxy.exchange(
      {"POST", "/put", {{"to", "live"}}, proxy::encode_images({{key_of("x"), record_of("x", 1)}})},
      [&](const net::Request&) {
        if (compared) {
          vmproxy::cutover::ValidateOptions all;
          all.repair = true;
          CHECK(move.migration->validate(all, {}));
          move.linger();
          CHECK(move.status().gaps == 1);
        }
        move.source.put("others", "x", 1);  // which has got the name meanwhile
        disk = move.disk();
        return net::Response{};
      });
  SECTION("killed as soon as the source has it") {
    proxy.handle(write);
    proxy.restart(disk);
    CHECK(move.status().gaps >= 1);
  }
  SECTION("its answer breaks off") {
    write.on_reply = [] { throw std::bad_alloc(); };
    proxy.handle(write);
    CHECK(move.status().gaps == 1);
  }
  SECTION("both sides are compared while it is under way") {
    compared = true;
    proxy.handle(write);
    CHECK(move.status().gaps >= 1);
  }
  move.clock.advance(seconds(61));
  REQUIRE(proxy.until([&] { return move.status().validation.phase != "running"; }));
  move.validate_until_clean();
  CHECK(proxy.equal());
}

TEST_CASE("the gap of a name that moved stays open while a write that had looked it up may be executed") {
  Names proxy;
  proxy.ready();
  Move& move = proxy.move;
  vmproxy::cutover::ValidateOptions all;
  all.repair = true;
  auto moves = proxy.exchange({"POST", "/create", {}, ""}, [&](const net::Request&) {
    move.source.name_also("others", "live");
    return net::Response{};
  });
  bool answers = true;
  auto write = proxy.exchange(
      {"POST", "/put", {{"to", "live"}}, proxy::encode_images({{key_of("x"), record_of("x", 1)}})},
      [&](const net::Request&) -> Result<net::Response> {
        proxy.handle(moves);
        CHECK(move.eventually([&] { return move.status().gaps == 1; }));
        CHECK(move.migration->validate(all, {}));
        move.linger();
        CHECK(move.status().gaps == 1);
        if (!answers) return Error(Code::timeout, "no answer");
        move.source.put("others", "x", 1);  // whose name it is by now
        return net::Response{};
      });
  SECTION("it is acknowledged") {}
  SECTION("its answer is lost") {
    answers = false;
  }
  proxy.handle(write);
  if (!answers) {
    move.linger();
    CHECK(move.status().gaps == 1);
    move.source.put("others", "x", 1);
    move.clock.advance(seconds(61));
  }
  REQUIRE(proxy.until([&] { return move.status().validation.phase != "running"; }));
  move.validate_until_clean();
  CHECK(proxy.equal());
}

TEST_CASE(
    "the gap of a name that moved stays open while a delete by it that listed nothing may be executed") {
  Names proxy;
  Move& move = proxy.move;
  move.source.put("others", "x", 1);
  proxy.ready();
  auto removes = proxy.exchange(
      {"POST", "/delete_where", {{"to", "live"}}, "0"},
      [](const net::Request&) -> Result<net::Response> { return Error(Code::timeout, "no answer"); });
  proxy.handle(removes);
  auto moves = proxy.exchange({"POST", "/create", {}, ""}, [&](const net::Request&) {
    move.source.name_also("others", "live");
    return net::Response{};
  });
  proxy.handle(moves);
  REQUIRE(proxy.until([&] { return move.status().gaps == 1; }));
  vmproxy::cutover::ValidateOptions all;
  all.repair = true;
  REQUIRE(move.migration->validate(all, {}));
  for (int i = 0; i < 5; ++i) move.linger();
  CHECK(move.status().gaps == 1);
  move.source.remove("others", "x");  // whose name it is by now
  move.clock.advance(seconds(61));
  REQUIRE(proxy.until([&] { return move.status().validation.phase != "running"; }));
  move.validate_until_clean();
  CHECK(proxy.equal());
}

TEST_CASE("no comparison that does not know a collection closes the gap of what it held before") {
  Proxy proxy;
  proxy.ready();
  Move& move = proxy.move;
  const auto asked = move.source.calls(Call::describe);
  move.context().mirror.gaps_act_late(vmproxy::journal::Side::source);  // something else is waited for
  vmproxy::cutover::ValidateOptions all;
  all.repair = true;
  REQUIRE(move.migration->validate(all, {}));
  REQUIRE(proxy.until([&] { return move.source.calls(Call::describe) >= asked + 2; }));
  move.linger();
  move.source.add_collection(things("other"));
  move.source.put("other", "x", 1);
  move.dialect.creates = things("other").name;
  move.source.fail(Call::describe, Error(Code::timeout, "late"));
  auto create = proxy.exchange({"POST", "/create", {}, ""}, [&](const net::Request&) {
    move.source.hold(Call::describe);
    return net::Response{};
  });
  const auto ended = proxy.begin(create);
  REQUIRE(proxy.until([&] { return move.source.held() == 1 && move.status().gaps == 1; }));
  move.clock.advance(seconds(11));
  REQUIRE(proxy.until([&] { return move.status().validation.phase != "running"; }));
  move.source.release();
  REQUIRE(proxy.until([&] { return *ended; }));
  CHECK(proxy.until([&] { return move.status().gaps == 1; }));
  move.validate_until_clean();
  CHECK(move.source.rows("other") == move.target.rows("other"));
}

TEST_CASE("when nobody can look what a change of collections left, writes are in doubt until somebody can") {
  Names proxy;
  proxy.ready();
  auto call = proxy.exchange({"POST", "/create", {}, ""}, [&](const net::Request&) {
    proxy.move.source.name_also("others", "live");
    proxy.move.source.fail(Call::describe, Error(Code::unavailable, "busy"));
    return net::Response{};
  });
  proxy.handle(call);
  CHECK(proxy.until([&] { return proxy.move.status().gaps == 1; }));
  CHECK(proxy.move.context().collections.in_doubt());
  proxy.write_live("others", "x");
  CHECK_FALSE(proxy.move.context().collections.in_doubt());
  CHECK(proxy.arrives("others", "x"));
  CHECK(proxy.equal());
}

TEST_CASE("a collection made beside the proxy is found by a full validation, which mends what it held") {
  Proxy proxy;
  proxy.ready();
  proxy.move.source.add_collection(things("other"));
  proxy.move.source.put("other", "x", 1);
  for (int pass = 0; pass < 5 && proxy.move.target.rows("other").empty(); ++pass) proxy.validate();
  proxy.validate();
  CHECK(proxy.move.source.rows("other") == proxy.move.target.rows("other"));
  CHECK(proxy.until([&] { return proxy.move.status().gaps == 0; }));
}

TEST_CASE(
    "a write to what nobody knows goes on in its own time while a comparison asks a hanging source what exists") {
  Proxy proxy;
  proxy.ready();
  proxy.move.source.hold(Call::describe);
  REQUIRE(proxy.move.migration->validate({}, {}));
  CHECK(proxy.until([&] { return proxy.move.source.held() == 1; }));
  auto write = proxy.exchange({"POST", "/put", {{"to", "new"}}, ""},
                              [](const net::Request&) { return net::Response{}; });
  const auto ended = proxy.begin(write);
  const auto over = [&] {
    proxy.io.poll();
    return *ended;
  };
  CHECK(proxy.move.reaches(over));
  CHECK(proxy.move.source.held() == 1);
  proxy.move.source.release();
  REQUIRE(proxy.until(over));
  REQUIRE(write.answer);
  CHECK(write.answer->status == 200);
}

// --- after the promotion

TEST_CASE("a change of collections that ends in the fence of a rollback refuses it") {
  Proxy proxy;
  proxy.move.options.fence_max = seconds(600);
  proxy.ready();
  REQUIRE(proxy.move.promote());
  proxy.move.enter();
  proxy.move.aside([&] { return proxy.move.migration->rollback({}); });
  REQUIRE(proxy.until([&] { return proxy.move.intended(); }));
  CHECK(proxy.backend().change(removal()));  // of who is inside the gate
  proxy.move.leave();
  CHECK_FALSE(proxy.move.ended());
  CHECK(proxy.move.primary() == "target");
}

TEST_CASE("a collection whose creation lost its answer after the promotion can be created by asking again") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  proxy.move.target.lose_answer_of_create();
  CHECK_FALSE(proxy.backend().change(creation("other")));
  REQUIRE(proxy.move.target.has_collection("other"));
  REQUIRE(proxy.backend().change(creation("other")));
  CHECK(put_into(proxy, "other", "x"));
  CHECK(proxy.move.target.rows("other") == FakeDriver::Rows{{"x", 1}});
}

TEST_CASE("what somebody else keeps under the name of a new collection is not taken") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  proxy.move.target.add_collection(things("other"));
  proxy.move.target.put("other", "theirs", 1);
  CHECK_FALSE(proxy.backend().change(creation("other")));
  CHECK(proxy.move.target.rows("other") == FakeDriver::Rows{{"theirs", 1}});
  CHECK_FALSE(proxy.move.context().collections.find("other"));
  CHECK(proxy.move.rollback());  // nothing was changed
}

TEST_CASE(
    "a crash while a collection is made after the promotion leaves one that can be written, and that a rollback knows of") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  proxy.move.target.hold(Call::create);
  auto backend = proxy.backend();
  std::thread making([&] { (void)backend.change(creation("other")); });
  CHECK(proxy.move.eventually([&] { return proxy.move.target.held() == 1; }));
  const auto disk = proxy.move.disk();
  SECTION("it arrived") {}
  SECTION("it did not") {
    proxy.move.target.fail(Call::create, Error(Code::refused_connection, "away"));
  }
  proxy.move.target.release();
  making.join();
  proxy.restart(disk);
  CHECK(proxy.backend().change(creation("other")));
  CHECK(put_into(proxy, "other", "x"));
  CHECK(proxy.move.target.rows("other") == FakeDriver::Rows{{"x", 1}});
  CHECK_FALSE(proxy.move.rollback());
}

TEST_CASE(
    "C6: after a crash in the middle of a drop after the promotion, no rollback brings the records back unasked") {
  Proxy proxy;
  proxy.move.source.put("a", 1);
  proxy.ready();
  REQUIRE(proxy.move.promote());
  proxy.move.target.hold(Call::drop);
  auto backend = proxy.backend();
  std::thread dropping([&] { (void)backend.change(removal()); });
  CHECK(proxy.move.eventually([&] { return proxy.move.target.held() == 1; }));
  const auto disk = proxy.move.disk();
  bool arrived = true;
  SECTION("it arrived") {}
  SECTION("it did not") {
    arrived = false;
    proxy.move.target.fail(Call::drop, Error(Code::refused_connection, "away"));
  }
  proxy.move.target.release();
  dropping.join();
  proxy.restart(disk);
  CHECK(proxy.move.target.has_collection("things") != arrived);
  CHECK(says(proxy.move.rollback(), "ddl"));
  CHECK(proxy.backend().change(removal()));  // the application asks again
  CHECK_FALSE(proxy.move.target.has_collection("things"));
  CHECK(says(proxy.move.rollback(), "ddl"));
}

TEST_CASE("a drop after the promotion that the target refuses holds up no rollback") {
  Proxy proxy;
  proxy.move.source.put("a", 1);
  proxy.ready();
  REQUIRE(proxy.move.promote());
  proxy.move.target.fail(Call::drop, Error(Code::refused_connection, "away"));
  CHECK_FALSE(proxy.backend().change(removal()));
  CHECK(proxy.move.target.find("a") == 1);
  CHECK(proxy.move.rollback());
}

TEST_CASE(
    "C6: a crash while a collection is dropped after the promotion leaves a drop that a rollback knows of") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  bool arrives = true;
  SECTION("it arrived") {}
  SECTION("it did not") {
    arrives = false;
  }
  Hanging(proxy, Call::drop, removal("things")).killed(Call::drop, arrives);
  CHECK(says(proxy.move.rollback(), "dropped things"));
  REQUIRE(proxy.move.primary() == "target");
  proxy.move.clock.advance(seconds(61));
  if (arrives) {
    CHECK(proxy.move.eventually([&] { return !proxy.move.context().collections.find("things"); }));
    CHECK(says(proxy.move.rollback(), "dropped things"));
    CHECK(proxy.backend().change(creation("things")));
    CHECK(put_into(proxy, "things", "x"));
    CHECK(proxy.move.target.rows() == FakeDriver::Rows{{"x", 1}});
    CHECK(proxy.move.status().gaps == 1);  // the source has the former life's records
  } else {
    const auto forgiven = [&] {
      const auto gates = proxy.move.status().gates;
      return std::ranges::all_of(gates, [](const auto& gate) { return gate.ok; });
    };
    CHECK(proxy.move.eventually(forgiven));
    CHECK(put_into(proxy, "things", "x"));
    CHECK(proxy.move.target.find("a") == 1);
    CHECK(proxy.move.rollback());
    CHECK(proxy.move.source.rows() == FakeDriver::Rows{{"a", 1}, {"x", 1}});
  }
}

// C8: what the disk does not say is not taken for no.
TEST_CASE(
    "a collection dropped and made again after the promotion has its gap also when the note of its drop cannot be read") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  REQUIRE(proxy.backend().change(removal("things")));
  proxy.move.store->fail_reads("ddl/dropped");
  REQUIRE(proxy.backend().change(creation("things")));
  proxy.move.store->fail_reads({});
  CHECK(proxy.move.status().gaps == 1);  // the source has the former life's records
}

TEST_CASE("what would be lost by a rollback is not shown as nothing when it cannot be read") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  const auto open = [&] {
    for (const auto& gate : proxy.move.status().gates) {
      if (gate.name == "ddl") return gate.ok;
    }
    return false;
  };
  REQUIRE(open());
  proxy.move.store->fail_reads("ddl/");
  CHECK_FALSE(open());
  CHECK_FALSE(proxy.move.rollback());
  proxy.move.store->fail_reads({});
  CHECK(open());
  CHECK(proxy.move.rollback());
}

TEST_CASE("a drop that the target refuses after the promotion changes nothing, and holds up no rollback") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  proxy.move.target.fail(Call::drop, Error(Code::permission_denied, "not by you"));
  CHECK_FALSE(proxy.backend().change(removal("things")));
  CHECK(put_into(proxy, "things", "x"));
  CHECK(proxy.move.rollback());
  CHECK(proxy.move.source.rows() == FakeDriver::Rows{{"a", 1}, {"x", 1}});
}

TEST_CASE(
    "a drop that the target has done and the journal cannot keep is no refusal, and is kept when it can") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  Hanging dropped(proxy, Call::drop, removal("things"));
  proxy.move.store->fail_next_commits(1);
  proxy.move.store->fail_reopen(true);
  const auto failed = dropped.released();
  REQUIRE_FALSE(failed);
  CHECK_FALSE(failed.error().surely_not_done());
  proxy.move.store->fail_reopen(false);
  CHECK(proxy.move.eventually([&] { return !proxy.move.context().collections.find("things"); }));
  CHECK(says(proxy.move.rollback(), "dropped things"));
}

TEST_CASE("a drop without an answer can be asked for again, and a write in between is not lost to it") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  proxy.move.target.fail(Call::drop, Error(Code::timeout, "no answer came"));
  CHECK_FALSE(proxy.backend().change(removal("things")));
  CHECK(put_into(proxy, "things", "x"));
  CHECK(says(proxy.move.rollback(), "dropped things"));  // it may still be done
  SECTION("again") {
    CHECK(proxy.backend().change(removal("things")));
    CHECK_FALSE(proxy.move.context().collections.find("things"));
    CHECK_FALSE(proxy.move.target.has_collection("things"));
    CHECK(says(proxy.move.rollback(), "dropped things"));
  }
  SECTION("it is not done any more") {
    proxy.move.clock.advance(seconds(61));
    CHECK(proxy.move.eventually([&] { return bool(proxy.move.rollback()); }));
    CHECK(proxy.move.source.rows() == FakeDriver::Rows{{"a", 1}, {"x", 1}});
  }
}

TEST_CASE(
    "after a crash a collection that was dropped before the promotion and made again after it holds nothing of its former life") {
  Proxy proxy;
  proxy.move.source.put("a", 1);
  proxy.ready();
  auto dropped = proxy.exchange({"POST", "/drop", {}, ""}, [&](const net::Request&) {
    proxy.move.source.drop_collection("things");
    return net::Response{};
  });
  proxy.handle(dropped);
  REQUIRE(proxy.move.promote());
  REQUIRE(proxy.move.target.find("a") == 1);
  Call step = Call::create;
  SECTION("when the old one is about to go") {
    step = Call::drop;
  }
  SECTION("when the new one is about to be made") {}
  proxy.move.target.hold(step);
  auto backend = proxy.backend();
  std::thread making([&] { (void)backend.change(creation("things")); });
  CHECK(proxy.move.eventually([&] { return proxy.move.target.held() == 1; }));
  const auto disk = proxy.move.disk();
  proxy.move.target.fail(step, Error(Code::refused_connection, "away"));
  proxy.move.target.release();
  making.join();
  proxy.restart(disk);
  CHECK(proxy.backend().change(creation("things")));
  CHECK(proxy.move.target.rows().empty());
  CHECK(put_into(proxy, "things", "x"));
  CHECK(proxy.move.target.rows() == FakeDriver::Rows{{"x", 1}});
}

TEST_CASE("a partition dropped after the promotion is named before a rollback, until it is made again") {
  Proxy proxy;
  auto parted = things();
  parted.partitions = {"", "north", "south"};
  proxy.move.source.add_collection(std::move(parted));
  proxy.move.source.put("a", 1);
  proxy.ready();
  REQUIRE(proxy.move.promote());
  const auto with = [&](std::vector<std::string> partitions) {
    vmproxy::model::SchemaChange change;
    change.kind = vmproxy::model::SchemaChange::Kind::alter_collection;
    change.name = {"", "things"};
    change.schema = proxy.move.context().collections.find("things")->plan->source();
    change.schema.partitions = std::move(partitions);
    return proxy.backend().change(change);
  };
  REQUIRE(with({"", "south"}));
  SECTION("it stays dropped") {
    CHECK(says(proxy.move.rollback(), "ddl"));
    CHECK(proxy.move.rollback({"ddl"}));
  }
  SECTION("it is made again") {
    REQUIRE(with({"", "south", "north"}));
    CHECK(proxy.move.rollback());
  }
}

TEST_CASE(
    "a crash while a collection is altered after the promotion leaves no catalog that says more than the target has") {
  Proxy proxy;
  auto parted = things();
  parted.partitions = {"", "north"};
  proxy.move.source.add_collection(std::move(parted));
  proxy.move.source.put("a", 1);
  proxy.ready();
  REQUIRE(proxy.move.promote());
  const auto known = [&] { return proxy.move.context().collections.find("things")->plan->source(); };
  const auto on_target = [&] {
    const auto there = proxy.move.target.describe({"", "things"}, proxy.move.clock.in(seconds(1)));
    REQUIRE(there);
    REQUIRE(*there);
    return (*there)->partitions;
  };
  vmproxy::model::SchemaChange change;
  change.kind = vmproxy::model::SchemaChange::Kind::alter_collection;
  change.name = {"", "things"};
  change.schema = known();
  SECTION("a partition is made") {
    change.schema.partitions = {"", "north", "south"};
  }
  SECTION("a partition is dropped") {
    change.schema.partitions = {""};
  }
  proxy.move.target.hold(Call::alter);
  auto backend = proxy.backend();
  std::thread altering([&] { (void)backend.change(change); });
  CHECK(proxy.move.eventually([&] { return proxy.move.target.held() == 1; }));
  const auto disk = proxy.move.disk();
  proxy.move.target.fail(Call::alter, Error(Code::refused_connection, "away"));  // it never arrived
  proxy.move.target.release();
  altering.join();
  proxy.restart(disk);
  CHECK(known().partitions == on_target());  // what a dialect would answer from
  CHECK(proxy.backend().change(change));
  CHECK(on_target() == change.schema.partitions);
  CHECK(known().partitions == change.schema.partitions);
}

TEST_CASE(
    "a rename after the promotion to a name that is another collection's, or that is not included, changes nothing") {
  Proxy proxy;
  proxy.move.source.add_collection(things("others"));
  proxy.move.source.put("a", 1);
  proxy.ready();
  REQUIRE(proxy.move.promote());
  vmproxy::model::SchemaChange rename;
  rename.kind = vmproxy::model::SchemaChange::Kind::alter_collection;
  rename.name = things().name;
  rename.schema = things("others");
  CHECK_FALSE(proxy.backend().change(rename));
  rename.schema = things("excluded");
  CHECK_FALSE(proxy.backend().change(rename));
  CHECK(proxy.move.context().collections.find("things"));
  CHECK(proxy.move.context().collections.find("others"));
  CHECK(proxy.move.target.find("a") == 1);
}

TEST_CASE(
    "C6: while the target thinks about a new name, what was acknowledged under the old one stays owed to the source") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  proxy.move.source.down(Error(Code::refused_connection, "away"));
  const auto attempts = proxy.move.source.calls(Call::upsert);
  proxy.move.write("b", 2);
  // The lane has it back: what it holds while it is paused goes on.
  REQUIRE(proxy.move.eventually([&] { return proxy.move.source.calls(Call::upsert) > attempts; }));
  vmproxy::model::SchemaChange rename;
  rename.kind = vmproxy::model::SchemaChange::Kind::alter_collection;
  rename.name = things().name;
  rename.schema = things("renamed");
  proxy.move.target.hold(Call::alter);
  auto backend = proxy.backend();
  Result<vmproxy::model::Schema> renamed = Error(Code::internal, "did not run");
  std::thread renaming([&] { renamed = backend.change(rename); });
  CHECK(proxy.move.eventually([&] { return proxy.move.target.held() == 1; }));
  proxy.move.source.down(std::nullopt);
  proxy.move.clock.advance(seconds(5));  // longer than any back-off
  proxy.move.linger();
  CHECK(proxy.move.context().mirror.numbers().lag_changes == 1);
  CHECK_FALSE(proxy.move.source.find("b"));
  proxy.move.target.fail(Call::alter, Error(Code::invalid, "no such name can be given"));
  proxy.move.target.release();
  renaming.join();
  CHECK_FALSE(renamed);
  CHECK(proxy.move.eventually([&] { return proxy.move.source.find("b") == 2; }));
}

TEST_CASE(
    "after the promotion a write that waits for its turn does nothing to the next life of its collection") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  auto& target = proxy.move.target;
  target.hold(Call::upsert);
  auto first = std::async(std::launch::async, [&] { return put_into(proxy, "things", "a"); });
  REQUIRE(proxy.move.eventually([&] { return target.held() == 1; }));
  // It finds the record, and waits behind the other write of it.
  vmproxy::model::Write removes;
  removes.kind = vmproxy::model::Write::Kind::delete_where;
  removes.collection = things().name;
  removes.filter = version_at_most(1);
  auto& context = proxy.move.context();
  proxy::TargetBackend late(context, context.routing.get(), "test", proxy.move.clock.in(seconds(60)));
  const auto asked = target.calls(Call::query);
  auto waiting = std::async(std::launch::async, [&] { return late.write(removes); });
  REQUIRE(proxy.move.eventually([&] { return target.calls(Call::query) > asked; }));
  auto again = std::async(std::launch::async, [&] {
    return proxy.backend().change(removal()) && proxy.backend().change(creation("things"));
  });
  CHECK(proxy.move.eventually([&] { return again.wait_for(seconds(0)) == std::future_status::ready; }));
  target.release();
  CHECK(again.get());
  (void)first.get();
  CHECK_FALSE(waiting.get());
  CHECK(late.overtaken());  // the dialect looks again what it is to be done to
  CHECK(target.calls(Call::erase) == 0);
}

TEST_CASE("after the promotion a collection is made again only when no write to its former life goes on") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  auto& target = proxy.move.target;
  target.hold(Call::upsert);
  auto late = std::async(std::launch::async, [&] { return put_into(proxy, "things", "x"); });
  REQUIRE(proxy.move.eventually([&] { return target.held() == 1; }));
  REQUIRE(proxy.backend().change(removal()));
  const auto made = target.calls(Call::create);
  auto again = std::async(std::launch::async, [&] { return proxy.backend().change(creation("things")); });
  proxy.move.linger();
  CHECK(target.calls(Call::create) == made);
  target.release();
  CHECK(proxy.move.eventually([&] { return again.wait_for(seconds(0)) == std::future_status::ready; }));
  CHECK(again.get());
  CHECK_FALSE(late.get());
  CHECK(target.rows().empty());
}

TEST_CASE("changes of collections that hang leave threads for reads") {
  Proxy proxy;
  proxy.move.options.pool_threads = 4;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  proxy.move.target.hold(Call::create);
  std::list<FakeExchange> creates;
  std::vector<std::shared_ptr<bool>> ended;
  for (int i = 0; i < 6; ++i) {
    const std::string name = i < 3 ? "same" : "other" + std::to_string(i);
    creates.emplace_back(proxy.io, net::Request{"POST", "/create", {{"to", name}}, ""},
                         proxy.move.clock.in(seconds(300)),
                         [](const net::Request&) { return net::Response{}; });
    ended.push_back(proxy.begin(creates.back()));
  }
  REQUIRE(proxy.until([&] { return proxy.move.target.held() > 0; }));
  CHECK_FALSE(proxy.read_by_source("a"));
  proxy.move.target.release();
  for (const auto& done : ended) CHECK(proxy.until([&] { return *done; }));
  for (const auto& create : creates) {
    REQUIRE(create.answer);
    CHECK(create.answer->status == 200);
  }
  for (const char* name : {"same", "other3", "other4", "other5"})
    CHECK(proxy.move.target.has_collection(name));
}
