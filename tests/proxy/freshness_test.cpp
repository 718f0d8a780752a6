#include "proxy/freshness.h"

#include <catch2/catch.hpp>

using vmproxy::proxy::Freshness;

TEST_CASE("H52: a read is fresh only when everything acknowledged before it has arrived") {
  Freshness freshness;
  freshness.owed("c", 1);
  int answered = -1;
  freshness.when_fresh("c", Freshness::Needs::acknowledged, true,
                       [&](bool fresh) { answered = fresh ? 1 : 0; });
  CHECK(answered == -1);
  freshness.owed("c", 2);  // after the read: not waited for
  freshness.arrived("c", 1);
  CHECK(answered == 1);
  CHECK_FALSE(freshness.fresh("c"));
}

TEST_CASE("another collection's writes do not hold a read back") {
  Freshness freshness;
  freshness.owed("c", 1);
  int answered = -1;
  freshness.when_fresh("d", Freshness::Needs::acknowledged, true,
                       [&](bool fresh) { answered = fresh ? 1 : 0; });
  CHECK(answered == 1);
}

TEST_CASE("a read that gives up is told so once, and not again when it becomes fresh") {
  Freshness freshness;
  freshness.owed("c", 1);
  int calls = 0;
  bool result = true;
  const auto waiter = freshness.when_fresh("c", Freshness::Needs::acknowledged, true, [&](bool fresh) {
    ++calls;
    result = fresh;
  });
  freshness.give_up("c", waiter);
  freshness.arrived("c", 1);
  CHECK(calls == 1);
  CHECK_FALSE(result);
}

TEST_CASE("a read that may not wait is answered at once") {
  Freshness freshness;
  freshness.owed("c", 1);
  int answered = -1;
  freshness.when_fresh("c", Freshness::Needs::acknowledged, false,
                       [&](bool fresh) { answered = fresh ? 1 : 0; });
  CHECK(answered == 0);
}

TEST_CASE("nothing is fresh while a collection is blocked") {
  Freshness freshness;
  freshness.block("c");
  int answered = -1;
  freshness.when_fresh("c", Freshness::Needs::acknowledged, true,
                       [&](bool fresh) { answered = fresh ? 1 : 0; });
  CHECK(answered == -1);
  freshness.unblock("c");
  CHECK(answered == 1);
}

namespace {

constexpr auto shown = Freshness::Needs::shown;

}  // namespace

TEST_CASE("a read waits for what another was shown while it was under way, and for what that left") {
  Freshness freshness;
  freshness.began("c", 1);
  freshness.shown();
  freshness.began("c", 2);  // nobody was shown this one
  int answered = -1;
  freshness.when_fresh("c", shown, true, [&](bool fresh) { answered = fresh ? 1 : 0; });
  freshness.owed("c", 10);
  freshness.ended("c", 1);
  CHECK(answered == -1);
  freshness.arrived("c", 10);
  CHECK(answered == 1);
}

TEST_CASE(
    "a write that nobody was shown holds no read back, nor one that only asks for what was acknowledged") {
  Freshness freshness;
  freshness.shown();
  freshness.began("c", 1);
  int unseen = -1, acknowledged = -1;
  freshness.when_fresh("c", shown, true, [&](bool fresh) { unseen = fresh ? 1 : 0; });
  CHECK(unseen == 1);
  freshness.shown();
  freshness.when_fresh("c", Freshness::Needs::acknowledged, true,
                       [&](bool fresh) { acknowledged = fresh ? 1 : 0; });
  CHECK(acknowledged == 1);
}

TEST_CASE("a read does not wait for what is in doubt: it is told at once that the replica may lack it") {
  Freshness freshness;
  freshness.began("c", 1);
  freshness.doubt("c", 1);
  freshness.ended("c", 1);
  int answered = -1;
  const auto ask = [&] {
    answered = -1;
    freshness.when_fresh("c", shown, true, [&](bool fresh) { answered = fresh ? 1 : 0; });
    return answered;
  };
  CHECK(ask() == 1);  // nobody was shown it
  freshness.shown();
  CHECK(ask() == 0);
  freshness.settled("c");
  CHECK(ask() == 1);
  freshness.doubt("c", 0);  // of a former life, whose reads nobody knows
  CHECK(ask() == 0);
  freshness.settled("c");
}

TEST_CASE("a read that waits is told when what it waits for comes to be in doubt") {
  Freshness freshness;
  freshness.began("c", 1);
  freshness.shown();
  int answered = -1;
  freshness.when_fresh("c", shown, true, [&](bool fresh) { answered = fresh ? 1 : 0; });
  freshness.doubt("c", 1);
  freshness.ended("c", 1);
  CHECK(answered == 0);
}
