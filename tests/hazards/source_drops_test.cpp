// Drops at the source with mirror.ddl: full: followed on the target whatever became of the answer, of vmproxy or of the catalog.
#include <list>

#include "tests/hazards/fake_proxy.h"

using namespace vmproxy::support;
using vmproxy::Code;
using vmproxy::Error;
namespace net = vmproxy::net;

namespace {

struct Dropping : Proxy {
  Dropping() { move.options.proxy.mirror_drops = true; }
  bool on_target() const { return move.target.has_collection("things"); }
  bool claimed() {
    const auto left = move.context().collections.left_behind();
    return !left.empty() || move.context().collections.find("things") != nullptr;
  }
  net::Response execute() {
    move.source.drop_collection("things");
    return {200, {}, "", {}};
  }
  // A drop that is on its way to the source when vmproxy is killed.
  void kill_in_a_drop() {
    auto call = exchange({"POST", "/drop", {}, ""}, [&](const net::Request&) {
      disk_ = move.disk();
      return net::Response{500, {}, "", {}};
    });
    handle(call);
    restart(disk_);
  }
  void drop(const FakeExchange::Source& source) {
    auto call = exchange({"POST", "/drop", {}, ""}, source);
    handle(call);
    REQUIRE(call.answer);
  }
  void restart_cleanly() {
    pipeline.reset();
    move.migration->close();
    move.migration.reset();
    REQUIRE(move.journal->close());
    move.start();
    pipeline = std::make_unique<vmproxy::proxy::Pipeline>(move.context(), "test");
  }
  void windows_pass() { move.clock.advance(seconds(61)); }

 private:
  Move::Disk disk_;
};

}  // namespace

TEST_CASE(
    "H60: a drop that a kill took the answer of is followed on the target, once the source has done it") {
  Dropping proxy;
  proxy.ready();
  proxy.kill_in_a_drop();
  bool waits = false;
  SECTION("while a comparison waits for it") {
    waits = true;
    vmproxy::cutover::ValidateOptions all;
    all.repair = true;
    REQUIRE(proxy.move.migration->validate(all, {}));
    proxy.move.linger();
  }
  SECTION("with none asked for") {}
  REQUIRE(proxy.on_target());
  proxy.move.source.drop_collection("things");
  if (waits) proxy.windows_pass();
  CHECK(proxy.until([&] { return !proxy.on_target(); }));
  CHECK(proxy.until([&] { return !proxy.claimed(); }));  // what somebody makes there later is not ours
  proxy.windows_pass();
  CHECK(proxy.until([&] { return !proxy.move.context().source_drops.any_open(); }));
  proxy.validate();
  CHECK(proxy.until([&] { return proxy.move.status().gaps == 0; }));
  CHECK(proxy.move.promote());
}

TEST_CASE(
    "H60: a drop that was followed when a kill came is followed once more, and only what is left of it") {
  Dropping proxy;
  proxy.ready();
  Move::Disk disk;
  proxy.move.target.hold(Call::drop);
  auto call = proxy.exchange({"POST", "/drop", {}, ""}, [&](const net::Request&) { return proxy.execute(); });
  const auto ended = proxy.begin(call);
  REQUIRE(proxy.until([&] { return proxy.move.target.held() > 0; }));
  disk = proxy.move.disk();  // the catalog has it no more
  bool arrives = true;
  SECTION("the target did it") {}
  SECTION("the target did not do it") {
    arrives = false;
    proxy.move.target.fail(Call::drop, Error(Code::refused_connection, "away"));
  }
  proxy.move.target.release();
  REQUIRE(proxy.until([&] { return *ended; }));
  REQUIRE(proxy.on_target() != arrives);
  proxy.restart(disk);
  CHECK(proxy.until([&] { return !proxy.on_target() && !proxy.claimed(); }));
}

TEST_CASE(
    "H60: a drop that the source never did drops nothing on the target, also when its collection goes another way later") {
  Dropping proxy;
  proxy.ready();
  proxy.kill_in_a_drop();
  proxy.windows_pass();
  CHECK(proxy.until([&] { return !proxy.move.context().source_drops.any_open(); }));
  REQUIRE(proxy.on_target());
  proxy.move.source.drop_collection("things");  // beside the proxy
  proxy.validate();
  proxy.move.linger();
  CHECK(proxy.on_target());
  CHECK(proxy.move.target.calls(Call::drop) == 0);
  CHECK(proxy.move.status().left_behind == std::vector<std::string>{"things"});  // said, not done
}

TEST_CASE("H60: a promotion does not pass before a drop of which nobody knew the end is followed") {
  Dropping proxy;
  proxy.ready();
  proxy.kill_in_a_drop();
  proxy.windows_pass();
  proxy.validate();
  REQUIRE(proxy.until([&] { return proxy.move.status().gaps == 0; }));
  // Known to be open again, with a target that does not drop.
  proxy.drop([](const net::Request&) { return net::Response{500, {}, "", {}}; });
  proxy.move.target.down(Error(Code::overloaded, "busy"));
  proxy.move.source.drop_collection("things");
  const auto refused = proxy.move.promote();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("nothing changed") != std::string::npos);
  CHECK(refused.error().message.find("'things' was dropped and the target still holds it") !=
        std::string::npos);
  CHECK(proxy.move.primary() == "source");
  proxy.move.target.down(std::nullopt);
  CHECK(proxy.move.promote());
  CHECK_FALSE(proxy.on_target());
}

TEST_CASE("H60: a drop whose answer was lost is followed when the source does it late") {
  Dropping proxy;
  proxy.ready();
  proxy.drop([](const net::Request&) { return net::Response{500, {}, "", {}}; });
  proxy.move.linger();
  REQUIRE(proxy.on_target());
  CHECK(proxy.put("b", 1) == 200);  // it goes on
  CHECK(proxy.until([&] { return proxy.move.target.find("b") == 1; }));
  proxy.move.source.drop_collection("things");
  CHECK(proxy.until([&] { return !proxy.on_target() && !proxy.claimed(); }));
}

TEST_CASE("H60: a drop is followed when another request asked the source first what it left") {
  Dropping proxy;
  proxy.ready();
  auto& collections = proxy.move.context().collections;
  proxy.drop([&](const net::Request&) {
    auto answer = proxy.execute();
    REQUIRE(collections.refresh(proxy.move.clock.in(seconds(5))));
    REQUIRE_FALSE(collections.find("things"));
    return answer;
  });
  CHECK_FALSE(proxy.on_target());
  CHECK_FALSE(proxy.claimed());
  CHECK(proxy.move.target.calls(Call::drop) == 1);
}

TEST_CASE("H60: a drop is followed when the source could not be asked at first what it left") {
  Dropping proxy;
  proxy.ready();
  proxy.drop([&](const net::Request&) {
    auto answer = proxy.execute();
    proxy.move.source.down(Error(Code::unavailable, "busy"));
    return answer;
  });
  REQUIRE(proxy.on_target());
  proxy.move.source.down(std::nullopt);
  CHECK(proxy.until([&] { return !proxy.on_target() && !proxy.claimed(); }));
}

TEST_CASE("H60: a drop that the target refused at first is followed when it does it, and is done with then") {
  Dropping proxy;
  proxy.ready();
  proxy.move.target.down(Error(Code::overloaded, "busy"));
  proxy.drop([&](const net::Request&) { return proxy.execute(); });
  proxy.move.linger();
  REQUIRE(proxy.on_target());
  SECTION("in this run") {}
  SECTION("in the next one") {
    proxy.restart(proxy.move.disk());
  }
  proxy.move.target.down(std::nullopt);
  CHECK(proxy.until([&] { return !proxy.on_target(); }));
  proxy.windows_pass();
  CHECK(proxy.until([&] { return !proxy.move.context().source_drops.any_open(); }));
}

TEST_CASE("H2, H60: a target that hangs at a drop holds up the answers of none, and does it later") {
  std::atomic<bool> hangs = true;
  Dropping proxy;
  proxy.move.target.before_drop = [&](vmproxy::Deadline until) -> std::optional<Error> {
    while (hangs && proxy.move.clock.now() < until)
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    return hangs ? std::optional(Error(Code::timeout, "no answer came")) : std::nullopt;
  };
  proxy.ready();
  std::list<FakeExchange> drops;
  std::vector<std::shared_ptr<bool>> ended;
  for (int i = 0; i < 8; ++i) {
    drops.emplace_back(proxy.io, net::Request{"POST", "/drop", {}, ""}, proxy.move.clock.in(seconds(300)),
                       [&](const net::Request&) { return proxy.execute(); });
    ended.push_back(proxy.begin(drops.back()));
  }
  const bool all =  // within five seconds
      proxy.until([&] { return std::ranges::all_of(ended, [](const auto& one) { return *one; }); });
  CHECK(all);
  CHECK(proxy.on_target());
  CHECK(proxy.move.status().gaps == 0);  // it is followed yet
  hangs = false;
  proxy.move.clock.advance(seconds(6));  // when those are looked after again
  CHECK(proxy.until([&] { return !proxy.on_target() && !proxy.claimed(); }));
  REQUIRE(proxy.until([&] { return std::ranges::all_of(ended, [](const auto& one) { return *one; }); }));
  for (const auto& drop : drops) {
    REQUIRE(drop.answer);
    CHECK(drop.answer->status == 200);
  }
}

TEST_CASE("H60: a drop that the source refused leaves nothing open") {
  Dropping proxy;
  proxy.ready();
  proxy.drop([](const net::Request&) { return net::Response{409, {}, "in use", {}}; });
  CHECK_FALSE(proxy.move.context().source_drops.any_open());
  proxy.move.source.drop_collection("things");
  proxy.restart(proxy.move.disk());
  proxy.move.linger();
  CHECK(proxy.move.target.calls(Call::drop) == 0);
}

TEST_CASE(
    "H60: what was made again under the name of an open drop stays on the target, with all that was written to it") {
  Dropping proxy;
  proxy.move.dialect.creates = things().name;
  proxy.ready();
  proxy.drop([](const net::Request&) { return net::Response{500, {}, "", {}}; });
  proxy.move.source.drop_collection("things");
  // Made again while the target is about to drop the former one.
  proxy.move.target.hold(Call::drop);
  REQUIRE(proxy.until([&] { return proxy.move.target.held() > 0; }));
  auto create = proxy.exchange({"POST", "/create", {}, ""}, [&](const net::Request&) {
    proxy.move.source.add_collection(things());
    return net::Response{};
  });
  proxy.handle(create);
  CHECK(proxy.put("x", 1) == 200);
  proxy.move.target.release();
  CHECK(proxy.until([&] { return proxy.move.target.rows() == FakeDriver::Rows{{"x", 1}}; }));
  proxy.windows_pass();
  CHECK(proxy.until([&] { return !proxy.move.context().source_drops.any_open(); }));
  proxy.move.linger();
  CHECK(proxy.move.target.rows() == FakeDriver::Rows{{"x", 1}});
  CHECK(proxy.claimed());
}

TEST_CASE("H60: after a promotion nothing is left of the source's open drops") {
  Dropping proxy;
  proxy.ready();
  proxy.drop([](const net::Request&) { return net::Response{500, {}, "", {}}; });
  REQUIRE(proxy.move.promote());
  CHECK_FALSE(proxy.move.context().source_drops.any_open());
  proxy.move.source.drop_collection("things");  // late
  proxy.move.linger();
  CHECK(proxy.on_target());
  CHECK(proxy.move.target.calls(Call::drop) == 0);
}

TEST_CASE("H60: a promotion does not pass while a drop that the target did not answer may still land there") {
  Dropping proxy;
  proxy.move.target.caps.max_zombie = seconds(30);
  proxy.ready();
  proxy.move.target.fail(Call::drop, Error(Code::timeout, "no answer"));
  proxy.drop([&](const net::Request&) { return proxy.execute(); });
  CHECK(proxy.until([&] { return !proxy.on_target(); }));  // asked again
  proxy.validate();
  REQUIRE(proxy.until([&] { return proxy.move.status().gaps == 0; }));
  SECTION("in this run") {}
  SECTION("in the next one, after a clean stop") {
    proxy.restart_cleanly();
  }
  const auto refused = proxy.move.migration->promote({});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Code::unavailable);
  CHECK(refused.error().message.find("did not answer the drop of a collection") != std::string::npos);
  proxy.move.clock.advance(seconds(31));
  CHECK(proxy.move.promote());
}

TEST_CASE(
    "H60: nor where the collection had been made again before the target was asked to drop the former one") {
  Dropping proxy;
  proxy.move.target.caps.max_zombie = seconds(30);
  proxy.ready();
  proxy.move.target.fail(Call::drop, Error(Code::timeout, "no answer"));
  proxy.drop([&](const net::Request&) {
    proxy.move.source.recreate("things");  // by another client, before the source is asked what the drop left
    return net::Response{};
  });
  REQUIRE(proxy.on_target());
  // Nothing is mended there before: the gap stays open, and would refuse it as well.
  CHECK(says(proxy.move.promote(), "did not answer the drop of a collection"));
  proxy.move.clock.advance(seconds(31));
  proxy.validate();
  proxy.validate();  // what the first has mended
  REQUIRE(proxy.until([&] { return proxy.move.status().gaps == 0; }));
  CHECK(proxy.move.promote());
}

TEST_CASE("H60: nothing is written under a name while a drop that the target did not answer may land there") {
  Dropping proxy;
  proxy.move.dialect.creates = things().name;
  proxy.move.target.caps.max_zombie = seconds(30);
  proxy.ready();
  proxy.move.target.fail(Call::drop, Error(Code::timeout, "no answer"));
  bool anew = false, later = false;
  SECTION("made again before the target was asked") {
    anew = true;
    proxy.drop([&](const net::Request&) {
      proxy.move.source.recreate("things");
      return net::Response{};
    });
    SECTION("in this run") {}
    SECTION("in the next one, after a clean stop") {
      later = true;
    }
  }
  SECTION("made again after the target was asked once more, and did it") {
    proxy.drop([&](const net::Request&) { return proxy.execute(); });
    REQUIRE(proxy.until([&] { return !proxy.on_target() && !proxy.claimed(); }));
    auto create = proxy.exchange({"POST", "/create", {}, ""}, [&](const net::Request&) {
      proxy.move.source.add_collection(things());
      return net::Response{};
    });
    proxy.handle(create);
  }
  if (later) proxy.restart_cleanly();
  CHECK(proxy.put("x", 1) == 200);
  proxy.move.linger();
  if (proxy.on_target()) proxy.move.target.drop_collection("things");  // that first one, late
  proxy.move.clock.advance(seconds(31));
  CHECK(proxy.until([&] { return proxy.move.target.find("x") == 1; }));
  if (anew) {  // what the former life had there is for a comparison
    proxy.validate();
    CHECK(proxy.until([&] { return proxy.move.status().gaps == 0; }));
  }
  CHECK(proxy.move.promote());
  CHECK(proxy.move.target.rows() == FakeDriver::Rows{{"x", 1}});
}

TEST_CASE(
    "H60: what the target refuses to drop for good is said, and does not keep a promotion from passing") {
  Dropping proxy;
  proxy.ready();
  proxy.move.target.fail(Call::drop, Error(Code::invalid, "a view depends on it"), 1000);
  proxy.drop([&](const net::Request&) { return proxy.execute(); });
  CHECK(proxy.until([&] { return !proxy.move.context().source_drops.any_open(); }));
  proxy.validate();
  REQUIRE(proxy.until([&] { return proxy.move.status().gaps == 0; }));
  CHECK(proxy.move.promote());
  CHECK(proxy.on_target());
  CHECK(proxy.move.status().left_behind == std::vector<std::string>{"things"});
}

TEST_CASE(
    "H60: a drop that was open when the migration was abandoned drops nothing when it is started again") {
  Dropping proxy;
  proxy.ready();
  proxy.drop([](const net::Request&) { return net::Response{500, {}, "", {}}; });
  REQUIRE(proxy.move.migration->abandon({}));
  proxy.move.linger();
  SECTION("in this run") {}
  SECTION("in the next one") {
    proxy.restart(proxy.move.disk());
  }
  proxy.move.source.drop_collection("things");  // unwatched
  REQUIRE(proxy.move.migration->start("ready", {}));
  CHECK(proxy.move.reaches("ready"));
  proxy.move.linger();
  CHECK(proxy.on_target());
  CHECK(proxy.move.target.calls(Call::drop) == 0);
}

TEST_CASE("where drops are not mirrored the target keeps what the source drops, and the status says so") {
  Proxy proxy;
  proxy.ready();
  auto call = proxy.exchange({"POST", "/drop", {}, ""}, [&](const net::Request&) {
    proxy.move.source.drop_collection("things");
    return net::Response{};
  });
  proxy.handle(call);
  proxy.move.linger();
  CHECK(proxy.move.target.has_collection("things"));
  CHECK_FALSE(proxy.move.context().source_drops.any_open());
  CHECK(proxy.move.status().left_behind == std::vector<std::string>{"things"});
}

TEST_CASE("a drop on the source that a newer vmproxy has noted is refused with its format, and stays") {
  Dropping proxy;
  proxy.ready();
  proxy.kill_in_a_drop();
  const std::string row = "source-drop/things";
  const auto noted = proxy.move.journal->row("x", row);
  REQUIRE(noted);
  REQUIRE(*noted);
  std::string newer = **noted;
  newer[0] = 7;
  REQUIRE(proxy.move.journal->commit_rows({{"x", row, newer}}));
  proxy.pipeline.reset();
  const auto disk = proxy.move.disk();
  proxy.move.crash(disk);
  const auto refused = proxy.move.try_start();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("the drop of 'things' on the source has format 7") != std::string::npos);
  CHECK(*proxy.move.journal->row("x", row) == newer);
}
