// What becomes of a request: nothing of the replica or of the journal may show in the application's answer, unless the
// user chose so.
#include "journal/rows.h"
#include "tests/hazards/fake_proxy.h"

using namespace vmproxy::support;
using vmproxy::Code;
using vmproxy::Error;
using vmproxy::Result;
namespace cutover = vmproxy::cutover;
namespace net = vmproxy::net;
namespace proxy = vmproxy::proxy;
namespace asio = boost::asio;

TEST_CASE("H2: with the target away, hanging or full the application's answers are the source's own") {
  Proxy proxy;
  proxy.ready();
  proxy.move.target.down(Error(Code::refused_connection, "away"));
  CHECK(proxy.put("b", 1) == 200);
  proxy.reads(100);
  CHECK(proxy.read_by_source("a"));
  proxy.move.target.down(Error(Code::quota, "full"));
  CHECK(proxy.put("b", 2) == 200);
  CHECK(proxy.read_by_source("a"));
  proxy.move.target.down(std::nullopt);
  proxy.move.target.hold(Call::upsert);
  CHECK(proxy.put("b", 3) == 200);
  proxy.move.target.release();
  REQUIRE(proxy.move.quiet());
  CHECK(proxy.move.equal());
}

TEST_CASE("H3: writes that pass while the journal cannot be written leave a durable gap, not silence") {
  Proxy proxy;
  proxy.ready();
  proxy.move.store->fail_next_commits(1);
  proxy.move.store->fail_reopen(true);
  CHECK(proxy.put("b", 1) == 200);
  CHECK(proxy.move.source.find("b") == 1);
  CHECK(proxy.move.status().gaps == 1);
  CHECK_FALSE(proxy.move.promote());
  proxy.move.store->fail_reopen(false);
}

TEST_CASE(
    "H3: what passed uncaptured when the process ended may be done later, so no validation before that closes its gap") {
  Proxy proxy;
  proxy.ready();
  Move& move = proxy.move;
  move.store->fail_next_commits(1);
  move.store->fail_reopen(true);
  auto request = proxy.exchange(
      put_request({{key_of("b"), record_of("b", 1)}}),
      [](const net::Request&) -> Result<net::Response> { return Error(Code::timeout, "no answer"); });
  proxy.handle(request);
  REQUIRE(move.status().gaps == 1);
  SECTION("killed") {
    proxy.restart(move.disk());
  }
  SECTION("killed once more before that") {
    proxy.restart(move.disk());
    proxy.restart(move.disk());
  }
  REQUIRE(move.status().gaps == 1);
  vmproxy::cutover::ValidateOptions all;
  all.repair = true;
  REQUIRE(move.migration->validate(all, {}));
  move.linger();
  CHECK(move.status().gaps == 1);
  move.clock.advance(seconds(3));
  move.linger();
  CHECK(move.status().gaps == 1);
  move.source.put("b", 1);  // within the time that an attempt may take
  move.clock.advance(seconds(61));
  REQUIRE(proxy.until([&] { return move.target.find("b") == 1; }));  // found, and repaired
  move.validate_until_clean();
  CHECK(move.status().gaps == 0);
  CHECK(move.equal());
}

TEST_CASE("H3: a validation that begins while what a gap stands for is under way does not close it") {
  Proxy proxy;
  proxy.ready();
  Move& move = proxy.move;
  Move::Disk disk;
  move.store->fail_next_commits(1);
  auto request = proxy.exchange(put_request({{key_of("b"), record_of("b", 1)}}),
                                [&](const net::Request&) -> Result<net::Response> {
                                  CHECK(move.eventually([&] { return !move.journal->failure(); }));
                                  cutover::ValidateOptions all;
                                  all.repair = true;
                                  CHECK(move.migration->validate(all, {}));
                                  move.linger();
                                  CHECK(move.status().gaps == 1);
                                  disk = move.disk();
                                  return Error(Code::timeout, "no answer");
                                });
  proxy.handle(request);
  proxy.restart(disk);  // killed while it was under way
  REQUIRE(move.status().gaps == 1);
  move.source.put("b", 1);
  move.clock.advance(seconds(61));
  move.validate_until_clean();
  CHECK(move.equal());
}

TEST_CASE("H3: what a gap stands for and whose end is not known may be done after its answer") {
  Proxy proxy;
  proxy.ready();
  Move& move = proxy.move;
  std::string target = "/delete_where";
  SECTION("a delete by filter that was not journaled") {
    move.store->fail_next_commits(1);
  }
  SECTION("a change that drops records without naming them") {
    target = "/drop_some";
  }
  auto request = proxy.exchange({"POST", target, {}, "1"}, [&](const net::Request&) -> Result<net::Response> {
    CHECK(move.eventually([&] { return !move.journal->failure(); }));
    return Error(Code::timeout, "no answer");
  });
  proxy.handle(request);
  REQUIRE(move.eventually([&] { return move.status().gaps == 1; }));
  cutover::ValidateOptions all;
  all.repair = true;
  REQUIRE(move.migration->validate(all, {}));
  move.linger();
  CHECK(move.status().gaps == 1);
  proxy.restart(move.disk());
  move.source.remove("a");  // within the time that an attempt may take
  move.clock.advance(seconds(61));
  move.validate_until_clean();
  CHECK(move.equal());
  CHECK_FALSE(move.target.find("a"));
}

TEST_CASE("H9: what waits for a slow target does not bring back what only a gap stands for that removed it") {
  Proxy proxy;
  proxy.ready();
  Move& move = proxy.move;
  bool on_its_way = false;
  SECTION("it waits") {
    move.target.writes_fail(Error(Code::refused_connection, "read-only"));
  }
  SECTION("it is on its way") {
    move.target.hold(Call::upsert);
    on_its_way = true;
  }
  CHECK(proxy.put("b", 1) == 200);
  if (on_its_way) REQUIRE(proxy.until([&] { return move.target.held() == 1; }));
  auto removes = proxy.exchange({"POST", "/import", {}, "x"}, [&](const net::Request&) {
    move.source.remove("b");
    return net::Response{};
  });
  proxy.handle(removes);
  REQUIRE(proxy.until([&] { return move.status().gaps == 1; }));
  cutover::ValidateOptions all;
  all.repair = true;
  REQUIRE(move.migration->validate(all, {}));
  REQUIRE(move.reaches([&] { return move.status().validation.phase != "running"; }));  // after a minute
  CHECK(move.status().validation.phase == "clean");
  move.target.writes_fail(std::nullopt);
  move.target.release();
  REQUIRE(move.quiet());
  CHECK_FALSE(move.target.find("b"));
  CHECK(move.equal());
}

TEST_CASE(
    "H3, H49: by choice, or when the gap cannot be recorded either, the write is refused before it is sent") {
  Proxy proxy;
  bool slot_fails = false;
  SECTION("by choice") {
    proxy.move.options.proxy.refuse_on_capture_failure = true;
  }
  SECTION("nothing can be written") {
    slot_fails = true;
  }
  proxy.ready();
  proxy.move.store->fail_slot(slot_fails);
  proxy.move.store->fail_next_commits(1);
  proxy.move.store->fail_reopen(true);
  CHECK(proxy.put("b", 1) == 503);
  CHECK_FALSE(proxy.move.source.find("b"));
  proxy.move.store->fail_reopen(false);
}

TEST_CASE(
    "H41: a call that is not known and may change data is passed on, leaves a gap that stays, and closes the promotion") {
  Proxy proxy;
  proxy.ready();
  auto request = proxy.exchange({"POST", "/mystery", {}, "x"}, [&](const net::Request&) {
    proxy.move.source.put("hidden", 1);
    return net::Response{200, {}, "strange", {}};
  });
  proxy.handle(request);
  REQUIRE(request.answer);
  CHECK(request.answer->body == "strange");
  CHECK(proxy.move.eventually([&] { return proxy.move.status().gaps == 1; }));
  CHECK(proxy.move.status().unknown_requests == 1);
  CHECK_FALSE(proxy.move.promote({"unknown_requests"}));  // the gap is a gate of its own
  proxy.pipeline.reset();
  proxy.move.crash();
  proxy.move.start();
  CHECK(proxy.move.status().gaps >= 1);
}

TEST_CASE(
    "H41, H49: an unknown call that was done while nothing could be recorded is a gap once something can") {
  Proxy proxy;
  proxy.ready();
  Move& move = proxy.move;
  auto request = proxy.exchange({"POST", "/mystery", {}, "x"}, [&](const net::Request&) {
    move.store->fail_reopen(true);
    move.store->fail_slot(true);
    move.store->fail_next_commits(1);
    move.source.put("hidden", 1);
    return net::Response{200, {}, "strange", {}};
  });
  proxy.handle(request);
  REQUIRE(request.answer);
  REQUIRE(move.eventually([&] { return move.journal->failure().has_value(); }));
  move.linger();
  CHECK(move.journal->has_gaps());
  move.store->fail_slot(false);
  move.store->fail_reopen(false);
  move.clock.advance(seconds(2));
  CHECK(move.eventually([&] { return move.status().gaps == 1; }));
  CHECK_FALSE(move.promote({"unknown_requests"}));
  proxy.restart(move.disk());
  CHECK(move.status().gaps >= 1);
}

TEST_CASE("H41: with unknown_requests: refuse an unknown call is refused; a safe one always passes") {
  Proxy proxy;
  proxy.move.options.proxy.refuse_unknown_requests = true;
  proxy.ready();
  auto request = proxy.exchange({"POST", "/mystery", {}, "x"});
  proxy.handle(request);
  REQUIRE(request.answer);
  CHECK(request.answer->status == 400);
  CHECK(request.asked_source == 0);
  auto safe =
      proxy.exchange({"GET", "/mystery", {}, "x"}, [](const net::Request&) { return net::Response{}; });
  proxy.handle(safe);
  CHECK(safe.asked_source == 1);
  CHECK(proxy.move.status().gaps == 0);
}

TEST_CASE(
    "H41: with unknown_requests: refuse a known call that cannot be followed is refused too, and leaves no gap") {
  Proxy proxy;
  bool refuses = false;
  SECTION("refuse") {
    refuses = true;
  }
  SECTION("mark") {}
  proxy.move.options.proxy.refuse_unknown_requests = refuses;
  proxy.ready();
  auto request =
      proxy.exchange({"POST", "/import", {}, "x"}, [](const net::Request&) { return net::Response{}; });
  proxy.handle(request);
  REQUIRE(request.answer);
  CHECK(request.asked_source == (refuses ? 0 : 1));
  CHECK(request.answer->status == (refuses ? 400 : 200));
  CHECK(request.answer->body.starts_with("request.unfollowed: ") == refuses);
  if (refuses) {
    proxy.move.linger();
    CHECK(proxy.move.status().gaps == 0);
  } else {
    CHECK(proxy.move.eventually([&] { return proxy.move.status().gaps == 1; }));
  }
}

TEST_CASE("H41: whether an unknown call was refused is for the API to say, not for HTTP") {
  Proxy proxy;
  proxy.ready();
  auto refused = proxy.exchange({"POST", "/mystery", {}, "x"}, [](const net::Request&) {
    return net::Response{200, {}, "", {{"verdict", "refused"}}};
  });
  proxy.handle(refused);
  CHECK(refused.asked_source == 1);
  CHECK(proxy.move.status().gaps == 0);
  auto taken =
      proxy.exchange({"POST", "/mystery", {}, "x"}, [](const net::Request&) { return net::Response{}; });
  proxy.handle(taken);
  CHECK(proxy.move.eventually([&] { return proxy.move.status().gaps >= 1; }));
}

TEST_CASE("H41: after the promotion an unknown call never reaches the source") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  auto request = proxy.exchange({"POST", "/mystery", {}, "x"});
  proxy.handle(request);
  REQUIRE(request.answer);
  CHECK(request.answer->status >= 400);
  CHECK(request.asked_source == 0);
}

TEST_CASE("H43: a drop that the source refuses changes nothing anywhere") {
  Proxy proxy;
  proxy.move.options.proxy.mirror_drops = true;
  proxy.ready();
  const auto life = proxy.move.context().collections.find("things")->plan->source().incarnation;
  auto request = proxy.exchange({"POST", "/drop", {}, ""},
                                [](const net::Request&) { return net::Response{409, {}, "in use", {}}; });
  proxy.handle(request);
  REQUIRE(request.answer);
  CHECK(request.answer->status == 409);
  CHECK(proxy.move.context().collections.find("things")->plan->source().incarnation == life);
  CHECK(proxy.move.target.calls(Call::drop) == 0);
  CHECK(proxy.put("b", 1) == 200);
  CHECK(proxy.move.eventually([&] { return proxy.move.target.find("b") == 1; }));  // the lanes go on
}

TEST_CASE("H43: a drop that the source does is done on the target, once") {
  Proxy proxy;
  proxy.move.options.proxy.mirror_drops = true;
  proxy.ready();
  const auto dropped = proxy.move.context().collections.find("things");
  REQUIRE(proxy.move.context().collections.claimed(*dropped));
  auto request = proxy.exchange({"POST", "/drop", {}, ""}, [&](const net::Request&) {
    proxy.move.source.drop_collection("things");
    return net::Response{200, {}, "", {}};
  });
  proxy.handle(request);
  CHECK(proxy.move.target.calls(Call::drop) == 1);
  CHECK_FALSE(proxy.move.target.has_collection("things"));
  CHECK_FALSE(
      proxy.move.context().collections.claimed(*dropped));  // what somebody makes there later is not ours
}

TEST_CASE(
    "H43: a change that was on its way when its collection was dropped does not make it anew on the target") {
  Proxy proxy;
  proxy.move.options.proxy.mirror_drops = true;
  proxy.ready();
  proxy.move.target.hold(Call::upsert);
  CHECK(proxy.put("b", 1) == 200);
  REQUIRE(proxy.move.eventually([&] { return proxy.move.target.held() > 0; }));
  auto request = proxy.exchange({"POST", "/drop", {}, ""}, [&](const net::Request&) {
    proxy.move.source.drop_collection("things");
    return net::Response{200, {}, "", {}};
  });
  proxy.handle(request);
  REQUIRE(proxy.move.target.calls(Call::drop) == 1);
  proxy.move.target.release();
  REQUIRE(proxy.move.quiet());
  proxy.move.linger();
  CHECK_FALSE(proxy.move.target.has_collection("things"));
  CHECK(proxy.move.status().gaps == 0);
}

TEST_CASE("H43: a drop that the target does not do leaves a gap that names it") {
  Proxy proxy;
  proxy.move.options.proxy.mirror_drops = true;
  proxy.ready();
  proxy.move.target.fail(Call::drop, Error(Code::overloaded, "busy"));
  auto request = proxy.exchange({"POST", "/drop", {}, ""}, [&](const net::Request&) {
    proxy.move.source.drop_collection("things");
    return net::Response{200, {}, "", {}};
  });
  proxy.handle(request);
  CHECK(proxy.move.target.has_collection("things"));
  CHECK(proxy.move.eventually([&] { return proxy.move.status().gaps == 1; }));
}

TEST_CASE(
    "H2: a drop that finds no thread before its deadline to look what it left is answered, and is a gap") {
  Proxy proxy;
  proxy.ready();
  auto& slots = proxy.move.context().change_slots;
  uint64_t all = UINT64_MAX;
  REQUIRE(slots.take_now(all));
  FakeExchange drop(proxy.io, {"POST", "/drop", {}, ""}, proxy.move.clock.in(milliseconds(20)),
                    [&](const net::Request&) {
                      proxy.move.source.drop_collection("things");
                      return net::Response{};
                    });
  const auto ended = proxy.begin(drop);
  CHECK(proxy.until([&] { return *ended; }));
  slots.give_back(all);
  REQUIRE(proxy.until([&] { return *ended; }));
  REQUIRE(drop.answer);
  CHECK(drop.answer->status == 200);
  CHECK(proxy.until([&] { return proxy.move.status().gaps == 1; }));
  CHECK(proxy.until([&] { return !proxy.move.context().collections.find("things"); }));  // asked later
}

TEST_CASE("H43: a change that drops records without naming them leaves a gap, a refused one does not") {
  Proxy proxy;
  proxy.ready();
  auto refused = proxy.exchange({"POST", "/drop_some", {}, ""},
                                [](const net::Request&) { return net::Response{409, {}, "", {}}; });
  proxy.handle(refused);
  CHECK(proxy.move.status().gaps == 0);
  auto done =
      proxy.exchange({"POST", "/drop_some", {}, ""}, [](const net::Request&) { return net::Response{}; });
  proxy.handle(done);
  CHECK(proxy.move.eventually([&] { return proxy.move.status().gaps == 1; }));
  CHECK(proxy.put("b", 1) == 200);  // the lanes go on
  CHECK(proxy.move.eventually([&] { return proxy.move.target.find("b") == 1; }));
}

TEST_CASE(
    "after the promotion only those are served whom the source had let in; a health call neither needs nor proves that") {
  Proxy proxy;
  proxy.ready();
  const auto ask = [&](const char* method, const char* target, const char* who, net::Response from_source) {
    auto request =
        proxy.exchange({method, target, {{"who", who}}, proxy::encode_images({{key_of("a"), std::nullopt}})},
                       [=](const net::Request&) { return from_source; });
    proxy.handle(request);
    REQUIRE(request.answer);
    return request.answer->status;
  };
  CHECK(ask("POST", "/read", "alice", {200, {}, "", {}}) == 200);
  CHECK(ask("POST", "/read", "bob", {200, {}, "", {{"verdict", "refused"}}}) == 200);  // as gRPC refuses
  CHECK(ask("GET", "/health", "mallory", {200, {}, "", {}}) == 200);
  REQUIRE(proxy.move.promote());
  CHECK(ask("POST", "/read", "alice", {}) == 200);
  CHECK(ask("POST", "/read", "bob", {}) == 401);
  CHECK(ask("POST", "/read", "mallory", {}) == 401);
  CHECK(ask("POST", "/put", "mallory", {}) == 401);
  CHECK(ask("GET", "/health", "mallory", {}) == 200);
}

TEST_CASE("H50: when the client has gone before the first byte leaves, its write is dropped for good") {
  Proxy proxy;
  proxy.ready();
  auto request = proxy.exchange(put_request({{key_of("b"), record_of("b", 1)}}));
  SECTION("before the intent") {
    request.gone = true;
  }
  SECTION("after the intent") {
    request.before_first_byte = [&] { request.gone = true; };
  }
  proxy.handle(request);
  CHECK(request.asked_source == 0);
  REQUIRE(proxy.move.quiet());
  proxy.move.linger();
  CHECK_FALSE(proxy.move.source.find("b"));
  CHECK_FALSE(proxy.move.target.find("b"));
  CHECK_FALSE(proxy.move.context().mirror.dirty({"", "things"}, key_of("b")));  // rejected, not uncertain
}

TEST_CASE(
    "H59: a write whose epoch ended before its first byte is withdrawn, never sent to the old primary") {
  Proxy proxy;
  proxy.ready();
  auto request = proxy.exchange(put_request({{key_of("b"), record_of("b", 1)}}));
  request.before_first_byte = [&] {
    auto routing = *proxy.move.context().routing.get();
    ++routing.epoch;
    proxy.move.context().routing.publish(routing);
  };
  proxy.handle(request);
  CHECK(request.asked_source == 0);
  CHECK_FALSE(proxy.move.source.find("b"));
  REQUIRE(request.answer);
  CHECK(request.answer->status == 503);
}

TEST_CASE("H37: a write whose answer is larger than may be held was done all the same") {
  Proxy proxy;
  proxy.ready();
  auto request = proxy.exchange(put_request({{key_of("b"), record_of("b", 1)}}),
                                [&](const net::Request& sent) -> Result<net::Response> {
                                  (void)proxy.source(sent);
                                  return Error(Code::too_large, "the answer is larger than it may be");
                                });
  proxy.handle(request);
  CHECK(proxy.move.source.find("b") == 1);
  CHECK(proxy.move.eventually([&] { return proxy.move.target.find("b") == 1; }));
}

TEST_CASE("what a client takes its time to read counts in the budget until it has it") {
  Proxy proxy;
  proxy.ready();
  proxy.reads(1e-9);  // routed, and to the source
  const std::string large(1 << 20, 'x');
  const auto answers = [&](const net::Request&) { return net::Response{200, {}, large, {}}; };
  auto read =
      proxy.exchange({"POST", "/read", {}, proxy::encode_images({{key_of("a"), std::nullopt}})}, answers);
  auto write = proxy.exchange(put_request({{key_of("b"), record_of("b", 1)}}), answers);
  int taken = 0;
  for (auto* exchange : {&read, &write}) {
    exchange->on_reply = [&] {
      ++taken;
      CHECK(proxy.move.context().budget.used() >= large.size());
    };
    proxy.handle(*exchange);
    CHECK(proxy.move.context().budget.used() == 0);
  }
  CHECK(taken == 2);
  REQUIRE(proxy.move.quiet());
}

TEST_CASE("H51: while a write hangs at the source another of the same collection is answered") {
  Proxy proxy;
  proxy.ready();
  int answered = 0;
  auto slow = proxy.exchange(put_request({{key_of("b"), record_of("b", 1)}}), [&](const net::Request& sent) {
    answered = proxy.put("c", 1);  // the slow one is at the source at this moment
    CHECK(proxy.move.eventually([&] { return proxy.move.target.find("c") == 1; }));
    return proxy.source(sent);
  });
  proxy.handle(slow);
  CHECK(answered == 200);
  REQUIRE(slow.answer);
  CHECK(slow.answer->status == 200);
  REQUIRE(proxy.move.quiet());
  CHECK(proxy.move.equal());
}

TEST_CASE(
    "H52: a read right after an acknowledged write is not served by a target that lacks it, on any connection") {
  Proxy proxy;
  proxy.ready();
  proxy.reads(100);
  CHECK_FALSE(proxy.read_by_source("a"));
  proxy.move.target.hold(Call::upsert);
  CHECK(proxy.put("a", 2) == 200);
  CHECK(proxy.read_by_source("a"));
  CHECK(proxy.move.status().reads.returned.front().first == "stale");
  CHECK_FALSE(proxy.read_by_source("other"));  // a read by key asks only about its key
  proxy.move.target.release();
  REQUIRE(proxy.move.quiet());
  CHECK_FALSE(proxy.read_by_source("a"));
}

TEST_CASE("H52: a write under way that a read of the source may have shown is not missing in the next read") {
  Proxy proxy;
  proxy.ready();
  proxy.reads(100);
  auto slow = proxy.exchange(put_request({{key_of("b"), record_of("b", 1)}}), [&](const net::Request& sent) {
    auto answer = proxy.source(sent);       // executed, and nobody knows
    CHECK_FALSE(proxy.search_by_source());  // no read was shown it: it has not happened yet
    proxy.reads(0);
    CHECK(proxy.search_by_source());
    proxy.reads(100);
    CHECK(proxy.search_by_source());
    CHECK_FALSE(proxy.read_by_source("a"));  // a read by key asks only about its key
    return answer;
  });
  proxy.handle(slow);
  REQUIRE(proxy.move.quiet());
  CHECK_FALSE(proxy.search_by_source());
}

TEST_CASE("H52: nor is one whose outcome nobody knows, while it may still be executed") {
  Proxy proxy;
  proxy.ready();
  proxy.reads(100);
  auto lost = proxy.exchange(
      put_request({{key_of("b"), record_of("b", 1)}}),
      [](const net::Request&) -> Result<net::Response> { return Error(Code::timeout, "no answer"); });
  proxy.handle(lost);
  CHECK(proxy.move.eventually([&] { return proxy.move.status().lag_changes == 0; }));
  CHECK_FALSE(proxy.search_by_source());
  proxy.reads(0);
  CHECK(proxy.search_by_source());
  proxy.reads(100);
  CHECK(proxy.search_by_source());
  proxy.move.clock.advance(seconds(61));
  REQUIRE(proxy.move.quiet());
  CHECK_FALSE(proxy.search_by_source());
}

TEST_CASE("H52: nor is one of which nobody can say what it changes") {
  Proxy proxy;
  proxy.ready();
  proxy.reads(100);
  const auto import = [&](net::Response answer) {
    auto request = proxy.exchange({"POST", "/import", {}, "x"}, [&](const net::Request&) {
      proxy.reads(0);
      CHECK(proxy.search_by_source());  // shows it
      proxy.reads(100);
      CHECK(proxy.search_by_source());
      CHECK(proxy.read_by_source("a"));  // any record may be one of its
      return answer;
    });
    proxy.handle(request);
    REQUIRE(request.answer);
  };
  import({400, {}, "refused", {}});
  CHECK_FALSE(proxy.search_by_source());
  CHECK(proxy.move.status().gaps == 0);
  import({200, {}, "", {}});
  CHECK(proxy.search_by_source());  // its gap
  CHECK(proxy.until([&] { return proxy.move.status().gaps == 1; }));
}

TEST_CASE("H29: a read without keys is not for a replica that is owed something beside the lanes") {
  Proxy proxy;
  proxy.ready();
  proxy.reads(100);
  CHECK_FALSE(proxy.search_by_source());
  proxy.move.source.hold(Call::read);
  proxy.move.context().mirror.repair({"", "things"}, {key_of("b")});
  CHECK(proxy.search_by_source());
  CHECK_FALSE(proxy.read_by_source("a"));  // a read by key asks only about its key
  proxy.move.source.release();
  CHECK(proxy.move.eventually([&] { return !proxy.search_by_source(); }));
}

TEST_CASE(
    "H35: a paged walk stays on the side where it began when the percentage changes; other reads move") {
  Proxy proxy;
  proxy.ready();
  proxy.reads(1e-9);  // routed, and to the source
  CHECK(proxy.read_by_source("a", "/read?page"));
  proxy.reads(100);
  CHECK(proxy.read_by_source("a", "/read?page"));
  CHECK_FALSE(proxy.read_by_source("a"));
  CHECK_FALSE(proxy.read_by_source("b", "/read?page"));  // a walk that begins now
}

TEST_CASE("H29: a read that the source answered in the end does not count as one that the target served") {
  Proxy proxy;
  proxy.ready();
  proxy.reads(100);
  CHECK_FALSE(proxy.read_by_source("a"));
  proxy.move.target.fail(Call::query, Error(Code::timeout, "slow"), 1);
  CHECK(proxy.read_by_source("a"));
  const auto status = proxy.move.status();
  CHECK(status.reads.to_target == 1);
  REQUIRE(status.reads.returned.size() == 1);
  CHECK(status.reads.returned.front().second == 1);
}

TEST_CASE(
    "a rollback moves reads first: the source answers each for which it has everything, while the rest is under way") {
  Proxy proxy;
  proxy.move.source.put("b", 1);
  bool can = true;
  SECTION("where what was acknowledged is seen at once") {}
  SECTION("not a call that may miss what was acknowledged") {
    can = proxy.move.dialect.can_ask_for_all = false;
  }
  proxy.move.options.fence_max = seconds(600);
  proxy.ready();
  REQUIRE(proxy.move.promote());
  CHECK_FALSE(proxy.read_by_source("b"));
  proxy.move.source.hold(Call::upsert);
  proxy.move.write("a", 2);  // to the target; the source lacks it
  std::thread aside([&] { (void)proxy.move.migration->rollback({}); });
  CHECK(proxy.move.eventually([&] { return proxy.move.intended(); }));
  CHECK(proxy.read_by_source("b") == can);
  CHECK(proxy.move.status().reads_percent == 0);
  CHECK_FALSE(proxy.read_by_source("a"));
  CHECK_FALSE(proxy.read_by_source("b", "/read?page"));  // a walk ends where it began
  CHECK(proxy.move.primary() == "target");
  proxy.move.source.release();
  CHECK(proxy.move.eventually([&] { return proxy.move.primary() == "source"; }));
  CHECK(proxy.read_by_source("a"));
  aside.join();
}

TEST_CASE(
    "a read that the source answers first in a rollback is asked so that it has every acknowledged write") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  proxy.reads(0);
  proxy.move.dialect.ask_for_all =
      proxy::encode_images({{key_of("a"), std::nullopt}, {key_of("a"), std::nullopt}});
  auto request = proxy.exchange({"POST", "/read", {}, proxy::encode_images({{key_of("a"), std::nullopt}})});
  proxy.move.source.token = [] { return "what the mirror wrote"; };
  // Just now, so what the application wrote there counts, too.
  proxy.move.context().mirror.set_primary(vmproxy::journal::Side::target);
  proxy.handle(request);
  CHECK(request.sent == proxy.move.dialect.ask_for_all);
  CHECK(proxy.move.dialect.asked_with.empty());
  proxy.move.clock.advance(seconds(3));
  auto later = proxy.exchange({"POST", "/read", {}, proxy::encode_images({{key_of("a"), std::nullopt}})});
  proxy.handle(later);
  CHECK(later.sent == proxy.move.dialect.ask_for_all);
  CHECK(proxy.move.dialect.asked_with == "what the mirror wrote");
}

TEST_CASE(
    "in a rollback a source that does not answer reads is left alone for a while: the target answers at once") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  proxy.reads(0);
  int asked = 0;
  for (int i = 0; i < 3; ++i) {
    auto request = proxy.exchange(
        {"POST", "/read", {}, proxy::encode_images({{key_of("a"), std::nullopt}})},
        [](const net::Request&) -> Result<net::Response> { return Error(Code::timeout, "hangs"); });
    proxy.handle_at_once(request);
    asked += request.asked_source;
    REQUIRE(request.answer);
    CHECK(request.answer->status == 200);
  }
  CHECK(asked == 1);
  proxy.move.clock.advance(seconds(3));
  CHECK(proxy.read_by_source("a"));
  CHECK(proxy.read_by_source("a"));
}

TEST_CASE("in a rollback a read that the source cannot be asked rightly leaves the next try to another") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  proxy.reads(0);
  auto late = proxy.exchange(
      {"POST", "/read", {}, proxy::encode_images({{key_of("a"), std::nullopt}})},
      [](const net::Request&) -> Result<net::Response> { return Error(Code::timeout, "hangs"); });
  proxy.handle(late);
  CHECK(late.asked_source == 1);
  proxy.move.clock.advance(seconds(3));
  proxy.move.dialect.can_ask_for_all = false;
  CHECK_FALSE(proxy.read_by_source("a"));
  proxy.move.dialect.can_ask_for_all = true;
  CHECK(proxy.read_by_source("a"));
}

TEST_CASE("a rollback that does not come about leaves reads with the target") {
  Proxy proxy;
  proxy.move.source.put("b", 1);
  proxy.ready();
  REQUIRE(proxy.move.promote());
  proxy.move.target.down(Error(Code::refused_connection, "away"));
  proxy.move.context().mirror.repair({"", "things"}, {key_of("a")});  // must be read from the target
  CHECK_FALSE(proxy.move.rollback());
  proxy.move.target.down(std::nullopt);
  CHECK_FALSE(proxy.read_by_source("b"));
  CHECK(proxy.move.status().reads_percent == 100);
}

TEST_CASE("what the source cannot answer while a rollback is under way, the target answers") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  proxy.reads(0);
  net::Response failed{404, {}, "no such collection", {}};
  Result<net::Response> answer = failed;
  SECTION("it never had the collection") {}
  SECTION("it is away") {
    answer = Error(Code::refused_connection, "away");
  }
  auto request = proxy.exchange({"POST", "/read", {}, proxy::encode_images({{key_of("a"), std::nullopt}})},
                                [&](const net::Request&) { return answer; });
  proxy.handle(request);
  CHECK(request.asked_source == 1);
  REQUIRE(request.answer);
  CHECK(request.answer->status == 200);
}

// --- changes of collections, and keys that the source makes up

TEST_CASE(
    "H20: dropped and later created again, with drops not mirrored: the target's old records are a gap") {
  Proxy proxy;
  proxy.ready();
  auto drop = proxy.exchange({"POST", "/drop", {}, ""}, [&](const net::Request&) {
    proxy.move.source.drop_collection("things");
    return net::Response{};
  });
  proxy.handle(drop);
  CHECK(proxy.move.status().gaps == 0);
  auto create = proxy.exchange({"POST", "/create", {}, ""}, [&](const net::Request&) {
    proxy.move.source.add_collection(things());
    return net::Response{};
  });
  proxy.handle(create);
  CHECK(proxy.move.target.find("a") == 1);
  CHECK(proxy.move.status().gaps == 1);
  CHECK_FALSE(proxy.move.promote());
}

TEST_CASE(
    "a collection that nobody saw being made is a gap: its records were not copied; one made through the proxy is none") {
  Proxy proxy;
  proxy.ready();
  auto other = things();
  other.name.name = "other";
  bool found = false, fills = false;
  auto create = proxy.exchange({"POST", "/create", {}, ""}, [&](const net::Request&) {
    if (!found) proxy.move.source.add_collection(other);
    if (fills) proxy.move.source.put("other", "x", 1);
    return net::Response{};
  });
  uint64_t gaps = 1;
  SECTION("beside the proxy") {}
  SECTION("through it") {
    proxy.move.dialect.creates = other.name;
    gaps = 0;
  }
  SECTION("through it, and written at once") {
    proxy.move.dialect.creates = other.name;
    fills = true;
    gaps = 0;
  }
  SECTION("beside it, and found through it") {
    proxy.move.dialect.creates = other.name;
    proxy.move.source.add_collection(other);
    proxy.move.source.put("other", "x", 1);
    found = true;
  }
  SECTION("through it, when nobody can tell whether it was there before") {
    proxy.move.dialect.creates = other.name;
    proxy.move.source.fail(Call::describe, Error(Code::timeout, "late"));
  }
  proxy.handle(create);
  CHECK(proxy.move.eventually([&] { return proxy.move.status().gaps == gaps; }));
  CHECK(proxy.move.journal->has_gaps() == (gaps > 0));
}

TEST_CASE(
    "a name that is given to another collection while writes are under way is a gap: they may be on the wrong one") {
  Proxy proxy;
  proxy.move.options.included = [](const auto& name) { return name.name != "excluded"; };
  proxy.move.source.add_collection(things("excluded"));
  proxy.ready();
  proxy.move.dialect.moves_name = true;
  proxy.move.dialect.creates = things().name;
  auto& mirror = proxy.move.context().mirror;
  const auto begin_write = [&] {
    return mirror.begin_keyed(*proxy.move.context().routing.get(), "records.put", {"", "things"},
                              {key_of("b")}, IntentClass::read_back);
  };
  std::function<void()> meanwhile = [] {};
  auto request = proxy.exchange({"POST", "/create", {}, ""}, [&](const net::Request&) {
    meanwhile();
    return net::Response{};
  });
  bool gap = true;
  SECTION("alone") {
    gap = false;
    proxy.handle(request);
  }
  SECTION("with a write beside it") {
    meanwhile = [&] { proxy.move.write("b", 1); };
    proxy.handle(request);
  }
  SECTION("with a write that began before") {
    auto ticket = begin_write();
    meanwhile = [&] { mirror.drop(std::move(ticket)); };
    proxy.handle(request);
  }
  SECTION("with a write that may still be executed") {
    proxy.move.write_uncertain("b", 1);
    proxy.handle(request);
  }
  SECTION("with one whose name is being looked up") {
    const auto passing = mirror.passing();
    proxy.handle(request);
  }
  SECTION("with one that goes past the mirror") {
    auto past = proxy.exchange(
        {"POST", "/put", {{"to", "excluded"}}, proxy::encode_images({{key_of("z"), record_of("z", 1)}})},
        [&](const net::Request&) {
          proxy.handle(request);
          return net::Response{};
        });
    proxy.handle(past);
  }
  CHECK(proxy.move.journal->has_gaps() == gap);
  CHECK(proxy.move.eventually([&] { return proxy.move.status().gaps == (gap ? 1u : 0u); }));
}

TEST_CASE("a promotion does not leave behind what was made beside the proxy") {
  Proxy proxy;
  proxy.ready();
  auto other = things();
  other.name.name = "other";
  proxy.move.source.add_collection(other);
  proxy.move.source.put("other", "x", 1);
  CHECK_FALSE(proxy.move.promote());
  CHECK(proxy.move.status().gaps == 1);
}

TEST_CASE("records whose keys the source made up come over: its answer names them") {
  Proxy proxy;
  proxy.ready();
  std::vector<std::pair<std::string, std::string>> disk;
  std::string answer = proxy::encode_images({{key_of("made"), std::nullopt}});
  auto request = proxy.exchange({"POST", "/generate", {}, "x"}, [&](const net::Request&) {
    proxy.move.source.put("made", 1);
    disk = proxy.move.disk();
    return net::Response{200, {}, answer, {}};
  });
  SECTION("it came") {
    proxy.handle(request);
    CHECK(proxy.move.eventually([&] { return proxy.move.target.find("made") == 1; }));
    CHECK(proxy.move.status().gaps == 0);
  }
  SECTION("it does not name them") {
    answer = "unreadable";
    proxy.handle(request);
    CHECK(proxy.move.eventually([&] { return proxy.move.status().gaps == 1; }));
  }
  SECTION("a crash comes before it") {
    proxy.handle(request);
    proxy.pipeline.reset();
    proxy.move.crash(disk);
    proxy.move.start();
    CHECK(proxy.move.status().gaps == 1);
  }
  SECTION("a crash comes after it") {
    proxy.move.target.hold(Call::upsert);
    proxy.handle(request);
    REQUIRE(proxy.move.eventually([&] { return proxy.move.target.held() > 0; }));
    proxy.move.linger();  // the outcome becomes durable
    proxy.pipeline.reset();
    proxy.move.crash();
    proxy.move.start();
    CHECK(proxy.move.eventually([&] { return proxy.move.target.find("made") == 1; }));
    CHECK(proxy.move.status().gaps == 0);
  }
}

TEST_CASE(
    "C8: a write by filter whose records cannot be listed is a gap, also when a crash comes before its outcome") {
  Proxy proxy;
  proxy.ready();
  std::vector<std::pair<std::string, std::string>> disk;
  proxy.move.source.fail(Call::query, Error(Code::invalid, "no such filter"));
  int status = 200;
  uint64_t gaps = 1;
  auto request = proxy.exchange({"POST", "/delete_where", {}, "1"}, [&](const net::Request&) {
    disk = proxy.move.disk();
    return net::Response{status, {}, "", {}};
  });
  SECTION("it is done") {}
  SECTION("it is refused") {
    status = 400;
    gaps = 0;
  }
  proxy.handle(request);
  CHECK(proxy.move.eventually([&] { return proxy.move.status().gaps == gaps; }));
  proxy.pipeline.reset();
  proxy.move.crash(disk);  // while it was under way
  proxy.move.start();
  CHECK(proxy.move.status().gaps == 1);
}

TEST_CASE("a source that needs seconds to list what a delete by filter reaches is waited for: no gap") {
  Proxy proxy;
  proxy.ready();
  const auto answers = proxy.move.clock.in(seconds(4));
  proxy.move.source.before_query = [&](vmproxy::Deadline until) -> std::optional<Error> {
    while (proxy.move.clock.now() < std::min(until, answers))
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    if (proxy.move.clock.now() < answers) return Error(Code::timeout, "it takes too long");
    return std::nullopt;
  };
  auto request = proxy.exchange({"POST", "/delete_where", {}, "1"}, [&](const net::Request&) {
    proxy.move.source.remove("a");
    return net::Response{};
  });
  proxy.handle(request);
  REQUIRE(request.answer);
  CHECK(request.answer->status == 200);
  CHECK(proxy.move.eventually([&] { return !proxy.move.target.find("a"); }));
  CHECK(proxy.move.status().gaps == 0);
}

TEST_CASE("listing what a delete by filter reaches does not take the time of the delete itself") {
  Proxy proxy;
  proxy.ready();
  proxy.move.source.before_query = [&](vmproxy::Deadline until) -> std::optional<Error> {
    while (proxy.move.clock.now() < until) std::this_thread::sleep_for(std::chrono::microseconds(100));
    return Error(Code::timeout, "it takes too long");
  };
  const auto deadline = proxy.move.clock.in(seconds(4));
  bool in_time = false;
  FakeExchange request(proxy.io, {"POST", "/delete_where", {}, "1"}, deadline, [&](const net::Request&) {
    in_time = proxy.move.clock.now() < deadline - seconds(1);
    proxy.move.source.remove("a");
    return net::Response{};
  });
  proxy.handle(request);
  CHECK(in_time);
  REQUIRE(request.answer);
  CHECK(request.answer->status == 200);
  CHECK(proxy.move.eventually([&] { return proxy.move.status().gaps == 1; }));
}

// --- what the target could not do, known before the promotion

namespace {

cutover::Gate gate_of(Move& move, const std::string& name) {
  for (const auto& gate : move.status().gates) {
    if (gate.name == name) return gate;
  }
  FAIL("no gate " << name);
  return {};
}

}  // namespace

TEST_CASE("H29: reads that were never tried on the target are no reason to promote") {
  Proxy proxy;
  proxy.ready_untried();
  CHECK_FALSE(gate_of(proxy.move, "reads").ok);
  CHECK(says(proxy.move.promote(), "vmproxy cutover --percent 10"));
  CHECK(proxy.move.primary() == "source");
  SECTION("some are answered by it") {
    proxy.reads(100);
    CHECK_FALSE(proxy.read_by_source("a"));
    CHECK(gate_of(proxy.move, "reads").ok);
    proxy.put("b", 1);  // durable with it
    REQUIRE(proxy.move.quiet());
    proxy.restart(proxy.move.disk());
    CHECK(gate_of(proxy.move, "reads").ok);
  }
  SECTION("those that it is too late for are not tried") {
    proxy.reads(100);
    proxy.move.target.fail(Call::query, Error(Code::timeout, "late"), 100);
    proxy.move.target.fail(Call::read, Error(Code::timeout, "late"), 100);
    CHECK(proxy.read_by_source("a"));
    CHECK_FALSE(gate_of(proxy.move, "reads").ok);
  }
  SECTION("by name it is skipped; what it answered as the primary was tried") {
    REQUIRE(proxy.move.promote({"reads"}));
    CHECK_FALSE(proxy.read_by_source("a"));
    REQUIRE(proxy.move.rollback());
    CHECK(gate_of(proxy.move, "reads").ok);
  }
}

TEST_CASE(
    "H29: a read that the target cannot even be asked closes the promotion, as one that it refuses does") {
  Proxy proxy;
  proxy.ready();
  Move& move = proxy.move;
  move.dialect.refuses_reads = "call.x: only the source itself can answer this";
  proxy.reads(10);
  CHECK(proxy.read_by_source("a"));
  CHECK(gate_of(move, "reads").value == "1 (call.x)");
  CHECK(says(move.promote(), "reads is 1 (call.x)"));
  CHECK(move.metrics.render().find("code=\"call.x\"") != std::string::npos);
  proxy.put("b", 1);  // durable with it
  REQUIRE(move.quiet());
  proxy.restart(move.disk());
  move.clock.advance(seconds(61));
  REQUIRE(move.quiet());
  CHECK(says(move.promote(), "reads is 1 (call.x)"));
  CHECK(move.primary() == "source");
}

TEST_CASE("H29: an application that does not read is not asked to") {
  Move move;
  move.ready();
  CHECK(gate_of(move, "reads").ok);
}

TEST_CASE(
    "a write by filter that the target could not carry out closes the promotion; it costs the application nothing") {
  Proxy proxy;
  proxy.ready();
  std::atomic<bool> asked = false;
  const auto remove = [&] {
    auto request = proxy.exchange({"POST", "/delete_where", {}, "0"},
                                  [](const net::Request&) { return net::Response{}; });
    proxy.handle(request);
    REQUIRE(request.answer);
    CHECK(request.answer->status == 200);
  };
  SECTION("refused") {
    proxy.move.target.before_query = [&](vmproxy::Deadline) -> std::optional<Error> {
      return Error(Code::unsupported, "filter.version: versions cannot be compared here");
    };
    remove();
    REQUIRE(proxy.until([&] { return !gate_of(proxy.move, "writes").ok; }));
    CHECK(gate_of(proxy.move, "writes").value == "1 (filter.version)");
    proxy.put("b", 1);  // durable with it
    REQUIRE(proxy.move.quiet());
    proxy.restart(proxy.move.disk());
    proxy.move.clock.advance(seconds(61));
    REQUIRE(proxy.move.quiet());
    CHECK(says(proxy.move.promote(), "writes is 1 (filter.version)"));
    CHECK(proxy.move.primary() == "source");
    SECTION("by name it is skipped") {
      CHECK(proxy.move.promote({"writes"}));
    }
    SECTION("a new start forgets it") {
      REQUIRE(proxy.move.run([&] { return proxy.move.migration->abandon({}); }));
      REQUIRE(proxy.move.migration->start("ready", {}));
      REQUIRE(proxy.move.reaches("ready"));
      CHECK(gate_of(proxy.move, "writes").ok);
    }
  }
  SECTION("a trial that breaks off takes no room from those after it") {
    std::atomic<int> broken = 0;
    proxy.move.target.before_query = [&](vmproxy::Deadline) -> std::optional<Error> {
      if (++broken <= 4) throw std::bad_alloc();
      asked = true;
      return std::nullopt;
    };
    for (int i = 1; i <= 4; ++i) {
      remove();
      REQUIRE(proxy.until([&] { return broken >= i; }));
    }
    REQUIRE(proxy.until([&] {
      remove();
      return asked.load();
    }));
  }
  SECTION("a target that is away proves nothing") {
    proxy.move.target.before_query = [&](vmproxy::Deadline) -> std::optional<Error> {
      asked = true;
      return Error(Code::refused_connection, "away");
    };
    remove();
    REQUIRE(proxy.until([&] { return asked.load(); }));
    CHECK(gate_of(proxy.move, "writes").ok);
  }
}

// --- who may read what from the target

TEST_CASE("nobody reads from the target whom the source has not let in") {
  Proxy proxy;
  proxy.ready();
  proxy.reads(100);
  const net::Request stranger{
      "POST", "/read", {{"who", "stranger"}}, proxy::encode_images({{key_of("a"), std::nullopt}})};
  auto refused =
      proxy.exchange(stranger, [](const net::Request&) { return net::Response{401, {}, "who are you", {}}; });
  proxy.handle(refused);
  REQUIRE(refused.answer);
  CHECK(refused.answer->status == 401);
  auto let_in = proxy.exchange(stranger);
  proxy.handle(let_in);
  CHECK(let_in.asked_source == 1);
  auto known = proxy.exchange(stranger);
  proxy.handle(known);
  CHECK(known.asked_source == 0);
}

TEST_CASE("H44: a write that waited in the fence is answered by the new primary, without an error") {
  Proxy proxy;
  proxy.ready();
  proxy.move.enter();  // what is under way keeps the fence closed
  proxy.move.promote_aside();
  REQUIRE(proxy.until([&] { return proxy.move.intended(); }));
  proxy.move.linger();
  auto request = proxy.exchange(put_request({{key_of("z"), record_of("z", 1)}}));
  const auto ended = proxy.begin(request);
  proxy.move.linger();
  CHECK_FALSE(*ended);
  proxy.move.leave();
  REQUIRE(proxy.move.ended());
  REQUIRE(proxy.until([&] { return *ended; }));
  REQUIRE(request.answer);
  CHECK(request.answer->status == 200);
  CHECK(request.asked_source == 0);
  CHECK(proxy.move.target.find("z") == 1);
}

TEST_CASE(
    "H44: a write that waited in the fence of a promotion is not executed for whom the source has not let in") {
  Proxy proxy;
  proxy.ready();
  const net::Request stranger{
      "POST", "/put", {{"who", "stranger"}}, proxy::encode_images({{key_of("z"), record_of("z", 1)}})};
  proxy.move.context().gate.close();
  auto request = proxy.exchange(stranger);
  bool ended = false;
  asio::co_spawn(proxy.io, proxy.pipeline->handle(request), [&](std::exception_ptr) { ended = true; });
  proxy.io.poll();
  auto routing = *proxy.move.context().routing.get();
  routing.primary = Side::target;
  proxy.move.context().routing.publish(routing);
  proxy.move.context().gate.open();
  CHECK(proxy.move.eventually([&] {
    proxy.io.poll();
    return ended;
  }));
  REQUIRE(request.answer);
  CHECK(request.answer->status == 401);
  CHECK_FALSE(proxy.move.target.find("z"));
}

TEST_CASE("reads go to the source while the target is known to lack something") {
  Proxy proxy;
  proxy.ready();
  proxy.reads(100);
  CHECK_FALSE(proxy.read_by_source("a"));
  REQUIRE(proxy.move.journal->mark_gap("somebody wrote beside the proxy"));
  CHECK(proxy.read_by_source("a"));
}

TEST_CASE("H29: a record that the target refuses while a read waits for it is not read there") {
  Proxy proxy;
  proxy.move.options.proxy.read_wait = seconds(30);
  proxy.ready();
  proxy.reads(100);
  proxy.move.target.refuse("bad", Error(Code::invalid, "no"));
  proxy.move.target.hold(Call::upsert);
  CHECK(proxy.put("bad", 1) == 200);
  auto request = proxy.exchange({"POST", "/read", {}, proxy::encode_images({})});
  bool ended = false;
  asio::co_spawn(proxy.io, proxy.pipeline->handle(request), [&](std::exception_ptr) { ended = true; });
  proxy.io.poll();
  CHECK_FALSE(ended);
  proxy.move.target.release();
  CHECK(proxy.move.eventually([&] {
    proxy.io.poll();
    return ended;
  }));
  CHECK(request.asked_source == 1);
}

TEST_CASE("a read of a rollback that waited for the mirror asks the source for what it has waited for") {
  Proxy proxy;
  proxy.move.options.proxy.read_wait = seconds(30);
  proxy.ready();
  REQUIRE(proxy.move.promote());
  proxy.move.clock.advance(seconds(3));
  proxy.reads(0);
  proxy.move.source.token = [&] { return std::to_string(proxy.move.source.find("a").value_or(0)); };
  proxy.move.source.hold(Call::upsert);
  proxy.move.write("a", 7);
  auto request = proxy.exchange({"POST", "/read", {}, proxy::encode_images({{key_of("a"), std::nullopt}})});
  const auto ended = proxy.begin(request);
  CHECK_FALSE(*ended);
  proxy.move.source.release();
  CHECK(proxy.until([&] { return *ended; }));
  CHECK(request.asked_source == 1);
  CHECK(proxy.move.dialect.asked_with == "7");
}

TEST_CASE("a read of a rollback that a write of its record came across is the target's to answer") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  proxy.reads(0);
  std::string written = "b";
  bool by_source = true;
  SECTION("of another record") {}
  SECTION("of its record") {
    written = "a";
    by_source = false;
  }
  auto request = proxy.exchange({"POST", "/read", {}, proxy::encode_images({{key_of("a"), std::nullopt}})},
                                [&](const net::Request&) {
                                  proxy.move.write(written, 5);
                                  return net::Response{200, {}, "from the source", {}};
                                });
  proxy.handle(request);
  REQUIRE(request.answer);
  CHECK((request.answer->body == "from the source") == by_source);
}

// --- collections after the promotion

TEST_CASE(
    "C6: a collection made after the promotion is made on the source, too, and holds nothing up there") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  auto backend = proxy.backend();
  vmproxy::model::SchemaChange change;
  change.kind = vmproxy::model::SchemaChange::Kind::create_collection;
  change.schema = things();
  change.schema.name.name = "other";
  REQUIRE(backend.change(change));
  const auto write = [&](const std::string& collection, const std::string& id) {
    return backend.write(put_of(collection, {id}));
  };
  // Not before the source says whether it can.
  proxy.move.source.hold(Call::upsert);
  REQUIRE(write("other", "new"));
  SECTION("it can be made there") {
    proxy.move.source.release();
    REQUIRE(write("things", "b"));
    REQUIRE(proxy.move.quiet());
    CHECK(proxy.move.source.rows("other") == proxy.move.target.rows("other"));
    CHECK(proxy.move.source.find("b") == 1);
    CHECK(proxy.move.status().gaps == 0);  // the source has never had it, so it has lost nothing
    CHECK_FALSE(proxy.move.rollback());    // the application may hold on to the id that it was told
    CHECK(proxy.move.rollback({"ddl"}));
  }
  SECTION("it cannot") {
    proxy.move.source.fail(Call::create, Error(Code::unsupported, "not here"), 1000);
    proxy.move.source.release();
    REQUIRE(write("things", "b"));
    REQUIRE(proxy.move.eventually([&] { return proxy.move.source.find("b") == 1; }));
    REQUIRE(proxy.move.quiet());
    CHECK(proxy.move.status().quarantined == 1);
  }
}

TEST_CASE("after the promotion a collection that was dropped before it can be created, and is empty") {
  Proxy proxy;
  proxy.ready();
  auto drop = proxy.exchange({"POST", "/drop", {}, ""}, [&](const net::Request&) {
    proxy.move.source.drop_collection("things");
    return net::Response{};
  });
  proxy.handle(drop);
  REQUIRE(proxy.move.promote());
  REQUIRE(proxy.move.target.find("a") == 1);
  auto backend = proxy.backend();
  vmproxy::model::SchemaChange change;
  change.kind = vmproxy::model::SchemaChange::Kind::create_collection;
  change.schema = things();
  REQUIRE(backend.change(change));
  CHECK(proxy.move.target.rows().empty());
}

TEST_CASE(
    "a collection renamed, or made again, after the promotion is a gap of the way back, which a full validation closes") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  auto backend = proxy.backend();
  vmproxy::model::SchemaChange change;
  change.name = things().name;
  change.schema = things();
  SECTION("renamed") {
    change.kind = vmproxy::model::SchemaChange::Kind::alter_collection;
    change.schema.name.name = "renamed";
    REQUIRE(backend.change(change));
  }
  SECTION("made again") {
    change.kind = vmproxy::model::SchemaChange::Kind::drop_collection;
    REQUIRE(backend.change(change));
    change.kind = vmproxy::model::SchemaChange::Kind::create_collection;
    REQUIRE(backend.change(change));
  }
  CHECK(proxy.move.status().gaps == 1);
  vmproxy::cutover::ValidateOptions all;
  all.repair = true;
  for (int pass = 0; pass < 10 && proxy.move.status().gaps > 0; ++pass) {
    REQUIRE(proxy.move.migration->validate(all, {}));
    REQUIRE(proxy.move.eventually([&] { return proxy.move.status().validation.phase != "running"; }));
    REQUIRE(proxy.move.quiet());
  }
  CHECK(proxy.move.status().gaps == 0);
  for (const std::string name : {"things", "renamed"}) {
    if (proxy.move.target.has_collection(name))
      CHECK(proxy.move.source.rows(name) == proxy.move.target.rows(name));
  }
}

TEST_CASE(
    "H20: a collection that was made again beside the proxy is a gap, and what was on its way to the former one goes") {
  Proxy proxy;
  proxy.move.options.mirror.lanes.lanes = 1;
  proxy.ready();
  proxy.move.target.hold(Call::upsert);
  CHECK(proxy.put("b", 1) == 200);
  REQUIRE(proxy.move.eventually([&] { return proxy.move.target.held() == 1; }));
  CHECK(proxy.put("c", 1) == 200);  // waits behind it
  proxy.move.source.recreate("things");
  REQUIRE(proxy.move.context().collections.refresh(proxy.move.clock.in(seconds(1))));
  CHECK(proxy.move.status().gaps == 1);
  proxy.move.target.release();
  REQUIRE(proxy.move.quiet());
  CHECK_FALSE(proxy.move.target.find("c"));
  proxy.move.linger();  // the row becomes durable
  proxy.restart(proxy.move.disk());
  const auto life = proxy.move.journal->row(vmproxy::journal::rows::state, "life/things");
  REQUIRE(life);
  CHECK(life->has_value());  // what was journaled before is not applied after a restart either
}

TEST_CASE(
    "a gap that opens while a promotion is under way ends it: no comparison would find what it stands for") {
  Proxy proxy;
  proxy.move.options.fence_max = seconds(600);
  proxy.ready();
  proxy.move.enter();  // a write that the fence waits for
  proxy.move.promote_aside();
  REQUIRE(proxy.move.eventually([&] { return proxy.move.intended(); }));
  SECTION("before the lanes catch up") {
    REQUIRE(proxy.move.journal->mark_gap("a call that cannot be captured"));
    proxy.move.leave();
  }
  SECTION("while they do") {
    auto& mirror = proxy.move.context().mirror;
    auto ticket = mirror.begin_keyed(*proxy.move.context().routing.get(), "records.put", {"", "things"},
                                     {key_of("b")}, IntentClass::read_back);
    proxy.move.source.put("b", 1);
    proxy.move.source.hold(Call::read);
    vmproxy::journal::OutcomeRecord outcome;
    outcome.whole = Outcome::applied;
    mirror.finish(std::move(ticket), outcome);
    proxy.move.leave();
    // The lane's READ, and the comparison's, which begins when the gates were asked in the fence.
    REQUIRE(proxy.move.eventually([&] { return proxy.move.source.held() == 2; }));
    REQUIRE(proxy.move.journal->mark_gap("a call that cannot be captured"));
    proxy.move.source.release();
  }
  CHECK_FALSE(proxy.move.ended());
  CHECK(proxy.move.primary() == "source");
}

TEST_CASE("after the promotion two requests that make the same collection make it once") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  auto first = proxy.backend(), second = proxy.backend();
  vmproxy::model::SchemaChange change;
  change.kind = vmproxy::model::SchemaChange::Kind::create_collection;
  change.schema = things();
  change.schema.name.name = "other";
  change.schema.native_id = "first";
  auto again = change;
  again.schema.native_id = "second";
  SECTION("one after the other") {
    REQUIRE(first.change(change));
    proxy.move.target.put("other", "x", 1);
    const auto made = second.change(again);
    REQUIRE(made);
    CHECK(made->native_id == "first");
    CHECK(proxy.move.target.rows("other").size() == 1);
  }
  SECTION("at once") {
    const auto creates = proxy.move.target.calls(Call::create);
    proxy.move.target.hold(Call::create);
    Result<vmproxy::model::Schema> one = Error(Code::internal, ""), two = Error(Code::internal, "");
    std::thread other([&] { one = first.change(change); });
    CHECK(proxy.move.eventually([&] { return proxy.move.target.held() == 1; }));
    std::atomic<bool> done{false};
    std::thread same([&] {
      two = second.change(again);
      done = true;
    });
    proxy.move.linger();
    CHECK_FALSE(done);
    proxy.move.target.release();
    CHECK(proxy.move.eventually([&] { return done.load(); }));
    other.join();
    same.join();
    REQUIRE(one);
    REQUIRE(two);
    CHECK(two->native_id == "first");
    CHECK(proxy.move.target.calls(Call::create) == creates + 1);
  }
}

TEST_CASE("after the promotion a write that depends on what is there sees what the one before it left") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  auto first = proxy.backend(), second = proxy.backend();
  auto one = put_of("things", {"n"});
  one.kind = vmproxy::model::Write::Kind::insert_if_absent;
  auto two = one;
  two.patches[0].set = vmproxy::model::Object{{"version", int64_t{2}}};
  proxy.move.target.hold(Call::insert_only);
  Result<vmproxy::model::WriteResult> made = Error(Code::internal, ""), left = Error(Code::internal, "");
  std::thread early([&] { made = first.write(one); });
  CHECK(proxy.move.eventually([&] { return proxy.move.target.held() == 1; }));
  std::thread late([&] { left = second.write(two); });
  proxy.move.linger();
  proxy.move.target.release();
  early.join();
  late.join();
  REQUIRE(made);
  REQUIRE(left);
  CHECK(left->affected == 0);  // it was there
  CHECK(proxy.move.target.find("n") == 1);
}

TEST_CASE(
    "H37: after the promotion an insert that the target does late leaves alone what was written meanwhile") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  auto backend = proxy.backend();
  auto insert = put_of("things", {"n"});
  insert.kind = vmproxy::model::Write::Kind::insert_if_absent;
  proxy.move.target.delay_next(Call::insert_only);
  REQUIRE_FALSE(backend.write(insert));
  proxy.move.write("n", 2);
  proxy.move.target.land();
  CHECK(proxy.move.target.find("n") == 2);
  proxy.move.clock.advance(seconds(61));
  REQUIRE(proxy.move.quiet());
  CHECK(proxy.move.source.find("n") == 2);
}

TEST_CASE(
    "a collection made, dropped and made again after the promotion is no gap while the source has never had it") {
  Proxy proxy;
  proxy.ready();
  REQUIRE(proxy.move.promote());
  auto backend = proxy.backend();
  vmproxy::model::SchemaChange change;
  change.schema = things();
  change.schema.name.name = "other";
  change.name = change.schema.name;
  using Change = vmproxy::model::SchemaChange::Kind;
  for (const auto kind : {Change::create_collection, Change::drop_collection, Change::create_collection}) {
    change.kind = kind;
    REQUIRE(backend.change(change));
  }
  CHECK(proxy.move.status().gaps == 0);
}
