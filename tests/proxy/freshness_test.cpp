#include "proxy/freshness.h"

#include <catch2/catch.hpp>

using vmproxy::proxy::Freshness;

TEST_CASE("H52: a read is fresh only when everything acknowledged before it has arrived") {
  Freshness freshness;
  freshness.owed("c", 1);
  int answered = -1;
  freshness.when_fresh("c", true, [&](bool fresh) { answered = fresh ? 1 : 0; });
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
  freshness.when_fresh("d", true, [&](bool fresh) { answered = fresh ? 1 : 0; });
  CHECK(answered == 1);
}

TEST_CASE("a read that gives up is told so once, and not again when it becomes fresh") {
  Freshness freshness;
  freshness.owed("c", 1);
  int calls = 0;
  bool result = true;
  const auto waiter = freshness.when_fresh("c", true, [&](bool fresh) {
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
  freshness.when_fresh("c", false, [&](bool fresh) { answered = fresh ? 1 : 0; });
  CHECK(answered == 0);
}

TEST_CASE("nothing is fresh while a collection is blocked") {
  Freshness freshness;
  freshness.block("c");
  int answered = -1;
  freshness.when_fresh("c", true, [&](bool fresh) { answered = fresh ? 1 : 0; });
  CHECK(answered == -1);
  freshness.unblock("c");
  CHECK(answered == 1);
}
