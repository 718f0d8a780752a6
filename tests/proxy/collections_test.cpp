// What is moved: the catalog and the claims, where two ask or make at the same time.
#include "proxy/collections.h"

#include <future>

#include "tests/support/kept.h"
#include "tests/support/rig.h"

using namespace vmproxy::support;
using vmproxy::Code;
using vmproxy::Deadline;
using vmproxy::Error;
using vmproxy::Result;

namespace {

bool any_collection(const vmproxy::model::CollectionName&) {
  return true;
}

struct Sides : Kept {
  FakeDriver source, target;
  vmproxy::proxy::Collections collections{*journal, source, target, clock, any_collection, {}};
  std::shared_ptr<const vmproxy::proxy::Collection> collection;  // "things"

  Sides() {
    source.add_collection(things());
    REQUIRE(collections.load());
    REQUIRE(collections.refresh(clock.in(seconds(1))));
    collection = collections.find("things");
    REQUIRE(collection != nullptr);
  }
  using Ended = std::future<Result<void>>;
  static Ended aside(std::function<Result<void>()> call) {
    return std::async(std::launch::async, std::move(call));
  }
  bool ends(const Ended& call) {
    return eventually(clock, [&] { return call.wait_for(seconds(0)) == std::future_status::ready; });
  }
  // It hangs at the source until release().
  Ended refresh_that_hangs() {
    source.hold(Call::describe);
    auto refreshed =
        aside([this, deadline = clock.in(seconds(30))] { return collections.refresh(deadline); });
    CHECK(eventually(clock, [this] { return source.held() == 1; }));
    return refreshed;
  }
};

}  // namespace

TEST_CASE(
    "who asks what exists waits for another that asks no longer than its own time, and nothing is lost") {
  Sides at;
  at.source.add_collection(things("others"));
  auto first = at.refresh_that_hangs();
  const Deadline deadline = at.clock.in(seconds(5));
  Sides::Ended second;
  SECTION("for everything") {
    second = Sides::aside([&] { return at.collections.refresh(deadline); });
  }
  SECTION("for one collection") {
    second = Sides::aside([&] { return at.collections.refresh_one(at.collection->name, deadline); });
  }
  at.clock.advance(seconds(6));
  CHECK(at.ends(second));
  at.source.release();
  const auto late = second.get();
  REQUIRE_FALSE(late);
  CHECK(late.error().code == Code::timeout);
  CHECK(first.get());
  CHECK(at.collections.find("others") != nullptr);
  CHECK(at.collections.refresh(at.clock.in(seconds(1))));
}

TEST_CASE(
    "a change of the catalog waits for a source that hangs no longer than its own time, and is not made then") {
  Sides at;
  auto first = at.refresh_that_hangs();
  const Deadline deadline = at.clock.in(seconds(5));
  Sides::Ended change;
  SECTION("put") {
    change = Sides::aside([&] { return at.collections.put(things("others"), true, deadline); });
  }
  SECTION("remove") {
    change = Sides::aside([&] { return at.collections.remove(at.collection->name, deadline); });
  }
  SECTION("rename") {
    change =
        Sides::aside([&] { return at.collections.rename(*at.collection, things("others"), {}, deadline); });
  }
  SECTION("put a space") {
    change = Sides::aside([&] { return at.collections.put_space({"tenant", {}}, deadline); });
  }
  SECTION("remove a space") {
    change = Sides::aside([&] { return at.collections.remove_space("", deadline); });
  }
  at.clock.advance(seconds(6));
  CHECK(at.ends(change));
  at.source.release();
  const auto late = change.get();
  REQUIRE_FALSE(late);
  CHECK(late.error().surely_not_done());
  CHECK(first.get());
  CHECK(at.collections.find("things") != nullptr);
  CHECK(at.collections.find("others") == nullptr);
  CHECK(at.collections.catalog()->find_space("tenant") == nullptr);
  CHECK(at.collections.put(things("others"), true, at.clock.in(seconds(1))));
  CHECK(at.collections.find("others") != nullptr);
}

TEST_CASE(
    "a rename is one step: whoever looks finds the old name with its claim or the new one with it, also after a crash") {
  Sides at;
  REQUIRE(at.collections.create_on_target(*at.collection, at.clock.in(seconds(1))));
  const vmproxy::journal::Row beside{std::string(vmproxy::journal::rows::state), "beside", "it"};
  const auto known = [&at](const std::string& name) {
    vmproxy::proxy::Collections again(*at.journal, at.source, at.target, at.clock,
                                      [](const vmproxy::model::CollectionName&) { return true; }, {});
    REQUIRE(again.load());
    const auto found = again.find(name);
    return found && again.claimed(*found);
  };
  SECTION("it comes about") {
    const uint64_t before = at.store->synced_commits();
    REQUIRE(at.collections.rename(*at.collection, things("others"), {beside}, at.clock.in(seconds(1))));
    CHECK(at.store->synced_commits() == before + 1);
    REQUIRE(at.collections.find("others"));
    CHECK(at.collections.claimed(*at.collections.find("others")));
    CHECK_FALSE(at.collections.claimed(*at.collection));
    CHECK(at.collections.find("others")->plan->source().incarnation >
          at.collection->plan->source().incarnation);
    CHECK(known("others"));
    CHECK_FALSE(known("things"));
    CHECK(at.journal->row(vmproxy::journal::rows::state, "beside").value().has_value());
  }
  SECTION("it cannot be kept") {
    at.store->fail_next_commits(1);
    at.store->fail_reopen(true);
    auto failed = Sides::aside([&] {
      return at.collections.rename(*at.collection, things("others"), {beside}, at.clock.in(seconds(1)));
    });
    CHECK(at.ends(failed));
    CHECK_FALSE(failed.get());
    at.store->fail_reopen(false);
    CHECK_FALSE(at.collections.find("others"));
    REQUIRE(at.collections.find("things"));
    CHECK(at.collections.claimed(*at.collection));
  }
}

// build/release/bin/sim --seed 724750008: what was on its way to a collection's former life landed on the next, which the target
// had made and not yet answered for.
TEST_CASE(
    "H20: what we began to make on the target is ours, though its answer was lost and records are there since") {
  Sides at;
  at.target.lose_answer_of_create();
  CHECK_FALSE(at.collections.create_on_target(*at.collection, at.clock.in(seconds(5))));
  REQUIRE(at.target.has_collection("things"));
  at.target.put("late", 7);
  SECTION("asked again") {
    CHECK(at.collections.create_on_target(*at.collection, at.clock.in(seconds(5))));
    CHECK(at.collections.claimed(*at.collection));
  }
  SECTION("after a restart") {
    vmproxy::proxy::Collections next{*at.journal, at.source, at.target, at.clock, any_collection, {}};
    REQUIRE(next.load());
    CHECK(next.create_on_target(*next.find("things"), at.clock.in(seconds(5))));
    CHECK(next.claimed(*next.find("things")));
  }
  SECTION("but what comes after it was dropped is not") {
    REQUIRE(at.collections.create_on_target(*at.collection, at.clock.in(seconds(5))));
    REQUIRE(at.collections.release(*at.collection));
    const auto made = at.collections.create_on_target(*at.collection, at.clock.in(seconds(5)));
    REQUIRE_FALSE(made);
    CHECK(made.error().code == Code::precondition);
  }
}

// scripts/torture --row fault_points, seed 11604: killed at ddl.renamed.
TEST_CASE("H20: what we renamed on the target is ours, though nobody came to say so") {
  Sides at;
  REQUIRE(at.collections.create_on_target(*at.collection, at.clock.in(seconds(5))));
  at.target.put("a", 7);
  auto schema = at.collection->plan->source();
  schema.name = {"", "new name"};
  const auto there = [&] {  // as the source has it now
    at.source.drop({"", "things"}, at.clock.in(seconds(5))).value();
    at.source.add_collection(schema);
    REQUIRE(at.collections.refresh(at.clock.in(seconds(5))));
    return at.collections.find("new name");
  };
  SECTION("the answer was lost") {
    const auto renamed = there();
    REQUIRE(renamed);
    at.target.lose_answer_of_alter();
    CHECK_FALSE(at.collections.rename_on_target(*at.collection, *renamed, at.clock.in(seconds(5))));
    REQUIRE(at.target.has_collection("new name"));
    vmproxy::proxy::Collections next{*at.journal, at.source, at.target, at.clock, any_collection, {}};
    REQUIRE(next.load());
    REQUIRE(next.find("new name"));
    CHECK(next.create_on_target(*next.find("new name"), at.clock.in(seconds(5))));
    CHECK(next.claimed(*next.find("new name")));
  }
  SECTION("but what somebody else had there before is not") {
    auto other = schema;
    at.target.add_collection(other);
    const auto renamed = there();
    REQUIRE(renamed);
    CHECK_FALSE(at.collections.rename_on_target(*at.collection, *renamed, at.clock.in(seconds(5))));
    CHECK_FALSE(at.collections.claimed(*renamed));
    CHECK(at.target.has_collection("things"));
  }
}

TEST_CASE("what is ours on the target stays so when giving it up failed, whatever the disk has of that") {
  Sides at;
  REQUIRE(at.collections.create_on_target(*at.collection, at.clock.in(seconds(5))));
  at.target.put("a", 7);
  at.store->fail_next_commit_after_applying();
  CHECK_FALSE(at.collections.release(*at.collection));
  CHECK_FALSE(
      at.collections.claimed(*at.collection));  // nothing is written there until the disk has it again
  CHECK(at.collections.owned(*at.collection));
  REQUIRE(eventually(at.clock, [&] { return !at.journal->failure(); }));
  REQUIRE(at.collections.create_on_target(*at.collection, at.clock.in(seconds(5))));
  CHECK(at.collections.claimed(*at.collection));
  vmproxy::proxy::Collections next{*at.journal, at.source, at.target, at.clock, any_collection, {}};
  REQUIRE(next.load());
  CHECK(next.claimed(*next.find("things")));
}

TEST_CASE("what was surely not made on the target is not ours when somebody makes it") {
  Sides at;
  at.target.fail(Call::create, Error(Code::refused_connection, "nobody listens"));
  CHECK_FALSE(at.collections.create_on_target(*at.collection, at.clock.in(seconds(5))));
  at.target.add_collection(things());
  at.target.put("theirs", 7);
  const auto made = at.collections.create_on_target(*at.collection, at.clock.in(seconds(5)));
  REQUIRE_FALSE(made);
  CHECK(made.error().code == Code::precondition);
  CHECK_FALSE(at.collections.claimed(*at.collection));
}

TEST_CASE(
    "what the target does not show as a collection is not taken for absent, so it does not become ours") {
  Sides at;
  at.target.add_collection(things());
  at.target.put("theirs", 7);
  Code told = Code::precondition;
  SECTION("it is none") {
    at.target.fail(Call::describe, Error(Code::unsupported, "table.vector: it has none"));
  }
  SECTION("we may not look") {
    told = Code::permission_denied;
    at.target.fail(Call::describe, Error(told, "not by you"));
  }
  const auto first = at.collections.create_on_target(*at.collection, at.clock.in(seconds(5)));
  REQUIRE_FALSE(first);
  CHECK(first.error().code == told);
  CHECK(at.target.calls(Call::create) == 0);
  // Nor later, when it can be looked at.
  const auto second = at.collections.create_on_target(*at.collection, at.clock.in(seconds(5)));
  REQUIRE_FALSE(second);
  CHECK(second.error().code == Code::precondition);
  CHECK_FALSE(at.collections.claimed(*at.collection));
}

TEST_CASE(
    "one of ours that the target does not show as a collection is no gap: nobody said that it is missing") {
  Sides at;
  REQUIRE(at.collections.create_on_target(*at.collection, at.clock.in(seconds(5))));
  at.target.fail(Call::describe, Error(Code::unsupported, "table.vector: it has none"));
  CHECK_FALSE(at.collections.create_on_target(*at.collection, at.clock.in(seconds(5))));
  CHECK_FALSE(at.journal->has_gaps());
}

TEST_CASE("what is made on the target is claimed while a source that hangs is asked what exists") {
  Sides at;
  auto first = at.refresh_that_hangs();
  auto made =
      Sides::aside([&] { return at.collections.create_on_target(*at.collection, at.clock.in(seconds(5))); });
  CHECK(at.ends(made));
  at.source.release();
  CHECK(made.get());
  CHECK(at.collections.claimed(*at.collection));
  CHECK(first.get());
}

TEST_CASE(
    "of two that make a collection on the target at once the second does not take the records of the first for foreign ones") {
  Sides at;
  at.target.add_collection(things());  // made by the first, which has not claimed it yet
  bool ours = false;
  SECTION("the first goes on while the second counts") {
    ours = true;
  }
  SECTION("it was somebody else") {}
  at.target.before_query = [&](Deadline) -> std::optional<Error> {
    if (ours && !at.collections.claim(*at.collection)) return Error(Code::internal, "no claim");
    at.target.put("a", 1);
    return std::nullopt;
  };
  const auto second = at.collections.create_on_target(*at.collection, at.clock.in(seconds(5)));
  CHECK(second.has_value() == ours);
  CHECK(at.collections.claimed(*at.collection) == ours);
  if (!ours) CHECK(second.error().code == Code::precondition);
}

TEST_CASE("H20: that a collection began a new life is a gap before the catalog has it, whoever finds out") {
  Sides at;
  REQUIRE(at.collections.claim(*at.collection));
  bool reborn = true;
  SECTION("it was made again under its name") {
    at.source.recreate("things");
  }
  SECTION("it went, was found gone, and came again") {
    at.source.drop_collection("things");
    REQUIRE(at.collections.refresh_one(at.collection->name, at.clock.in(seconds(1))));
    REQUIRE(at.collections.find("things") == nullptr);
    at.source.add_collection(things());
  }
  SECTION("it is the same") {
    reborn = false;
  }
  REQUIRE(at.collections.refresh_one(at.collection->name, at.clock.in(seconds(1))));
  CHECK(at.journal->has_gaps() == reborn);
}

TEST_CASE("what the source shows is not taken for what exists once the target is the primary") {
  Sides at;
  at.source.add_collection(things("others"));
  Result<void> asked;
  SECTION("asked before the promotion, answered after it") {
    auto first = at.refresh_that_hangs();
    at.collections.follow(vmproxy::journal::Side::target);
    at.source.release();
    asked = first.get();
  }
  SECTION("asked after it") {
    at.collections.follow(vmproxy::journal::Side::target);
    REQUIRE(at.collections.remove(at.collection->name));
    asked = at.collections.refresh_one(at.collection->name, at.clock.in(seconds(1)));
    CHECK(at.collections.find("things") == nullptr);
  }
  REQUIRE_FALSE(asked);
  CHECK(asked.error().code == Code::precondition);
  CHECK(at.collections.find("others") == nullptr);
  at.collections.follow(vmproxy::journal::Side::source);
  CHECK(at.collections.refresh(at.clock.in(seconds(1))));
  CHECK(at.collections.find("others") != nullptr);
}

TEST_CASE("a source that lists a collection twice is asked again, and what it said is not kept") {
  struct Paged final : FakeDriver {
    bool moved = true;  // the page, while it was listed
    Result<std::vector<vmproxy::model::Schema>> list_collections(Deadline deadline) override {
      auto listed = FakeDriver::list_collections(deadline);
      if (listed && moved) listed->push_back(listed->front());
      return listed;
    }
  };
  Kept kept;
  Paged source;
  FakeDriver target;
  source.add_collection(things());
  vmproxy::proxy::Collections collections(*kept.journal, source, target, kept.clock, any_collection, {});
  REQUIRE(collections.load());
  const auto refused = collections.refresh(kept.clock.in(seconds(1)));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("'things' is listed twice") != std::string::npos);
  vmproxy::proxy::Collections restarted(*kept.journal, source, target, kept.clock, any_collection, {});
  REQUIRE(restarted.load());
  source.moved = false;
  REQUIRE(restarted.refresh(kept.clock.in(seconds(1))));
  CHECK(restarted.find("things") != nullptr);
}

TEST_CASE("a doubt about names whose time cannot be read is said so, and is not over") {
  Sides at;
  at.collections.doubt(seconds(5));
  for (const std::string text : {"long", "5000 or so", "-1", "9223372036854775807"}) {
    at.rewrite(vmproxy::journal::rows::state, [&](std::string row) { return row == "5000" ? text : row; });
    vmproxy::proxy::Collections again(*at.journal, at.source, at.target, at.clock, any_collection, {});
    const auto loaded = again.load();
    CAPTURE(text);
    REQUIRE_FALSE(loaded);
    CHECK(loaded.error().code == Code::corrupt);
    at.rewrite(vmproxy::journal::rows::state, [&](std::string row) { return row == text ? "5000" : row; });
  }
  vmproxy::proxy::Collections again(*at.journal, at.source, at.target, at.clock, any_collection, {});
  REQUIRE(again.load());
  CHECK(again.in_doubt());
}

TEST_CASE("what the source cannot show as a collection is known after a restart, as far as it is included") {
  Sides at;
  const std::vector<vmproxy::protocols::LeftOut> all{
      {{"", "keyless"}, "table.primary_key: it has none", "give it one"},
      {{"", "other"}, "id.kind: of no use", "give it another"}};
  at.source.leave_out(all);
  CHECK(at.collections.left_out().empty());
  REQUIRE(at.collections.refresh(at.clock.in(seconds(1))));
  CHECK(at.collections.left_out() == all);
  vmproxy::proxy::Collections again(
      *at.journal, at.source, at.target, at.clock,
      [](const vmproxy::model::CollectionName& name) { return name.name != "other"; }, {});
  REQUIRE(again.load());
  REQUIRE(again.left_out().size() == 1);
  CHECK(again.left_out()[0] == all[0]);
  at.source.leave_out({});
  REQUIRE(at.collections.refresh(at.clock.in(seconds(1))));
  CHECK(at.collections.left_out().empty());
}
