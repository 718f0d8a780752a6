// Collections that the target cannot hold, and those whose records take other keys there, while the source is the primary.
#include "tests/hazards/fake_proxy.h"

using namespace vmproxy::support;
using vmproxy::Code;
using vmproxy::Error;
namespace net = vmproxy::net;
namespace proxy = vmproxy::proxy;

namespace {

using Rows = FakeDriver::Rows;

vmproxy::model::Schema two_vectors(const std::string& name) {
  auto schema = things(name);
  schema.vectors.push_back(schema.vectors[0]);
  schema.vectors[0].name = "first";
  schema.vectors[1].name = "second";
  return schema;
}

vmproxy::model::Schema parted() {
  auto schema = things();
  schema.partitions = {"", "p"};
  return schema;
}

vmproxy::model::SchemaChange creation(vmproxy::model::Schema schema) {
  vmproxy::model::SchemaChange change;
  change.kind = vmproxy::model::SchemaChange::Kind::create_collection;
  change.schema = std::move(schema);
  return change;
}

// A target whose records have one vector and no partition.
struct Plain : Proxy {
  Plain() { move.target.caps.named_vectors = move.target.caps.partitions = false; }
  // Made by the application.
  void create(const vmproxy::model::Schema& schema) {
    move.dialect.creates = schema.name;
    auto call = exchange({"POST", "/create", {}, ""}, [&](const net::Request&) {
      move.source.add_collection(schema);
      return net::Response{};
    });
    handle(call);
    REQUIRE(call.answer);
    CHECK(call.answer->status == 200);
  }
  void refresh() { REQUIRE(move.context().collections.refresh(move.clock.in(seconds(1)))); }
  std::shared_ptr<const proxy::Collection> moved(const std::string& name) {
    return move.context().collections.find(name);
  }
  std::vector<std::string> left_out() {
    std::vector<std::string> names;
    for (const auto& one : move.context().collections.left_out()) names.push_back(one.name.name);
    return names;
  }
  void mends() {
    move.clock.advance(seconds(61));  // nothing that was on its way lands any more
    move.validate_until_clean();
  }
};

using Left = std::vector<std::string>;

}  // namespace

TEST_CASE(
    "a collection that the target cannot hold holds up nothing but the next step, whose gate names it") {
  Plain proxy;
  proxy.ready();
  Move& move = proxy.move;
  proxy.create(two_vectors("duo"));
  CHECK_FALSE(move.context().collections.in_doubt());
  CHECK(proxy.put("b", 2) == 200);
  auto into = proxy.exchange(
      {"POST", "/put", {{"to", "duo"}}, proxy::encode_images({{key_of("x"), record_of("x", 1)}})},
      [&](const net::Request&) {
        move.source.put("duo", "x", 1);
        return net::Response{};
      });
  proxy.handle(into);
  REQUIRE(into.answer);
  CHECK(into.answer->status == 200);
  CHECK(proxy.until([&] { return move.target.find("b") == 2; }));
  CHECK(move.status().gaps == 0);
  proxy.validate();
  CHECK(move.status().validation.phase == "clean");
  CHECK_FALSE(move.target.has_collection("duo"));
  const auto refused = move.promote();
  CHECK(says(refused, "left_out is 1: duo (vector.fields: "));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.ends_with("--force left_out"));
  SECTION("the gate opens when it is dropped") {
    move.source.drop_collection("duo");
    CHECK(move.promote());
  }
  SECTION("the gate is closed after a restart, before the source was asked") {
    proxy.restart(move.disk());
    CHECK(proxy.left_out() == Left{"duo"});
    CHECK(proxy.moved("things") != nullptr);
  }
  SECTION("once the target is the primary, another one is refused to who asks for it") {
    REQUIRE(move.promote({"left_out"}));
    const auto made = proxy.backend().change(creation(two_vectors("trio")));
    REQUIRE_FALSE(made);
    CHECK(made.error().code == Code::unsupported);
    CHECK_FALSE(proxy.backend().change(creation(things("duo"))));  // the source has it
    CHECK(proxy.backend().change(creation(things("others"))));
    CHECK(proxy.left_out() == Left{"duo"});
  }
}

TEST_CASE("before anything is moved a collection that the target cannot hold is an error that names it") {
  Move move;
  move.target.caps.named_vectors = false;
  move.source.add_collection(two_vectors("duo"));
  move.start();
  REQUIRE(move.migration->start("ready", {}));
  REQUIRE(move.eventually([&] { return !move.status().work.problem.empty(); }));
  CHECK(move.status().work.problem.find("collection 'duo' cannot be moved: vector.fields: ") == 0);
  CHECK_FALSE(move.captures());
  CHECK_FALSE(move.target.has_collection("things"));
  move.source.drop_collection("duo");
  REQUIRE(move.migration->start("ready", {}));
  CHECK(move.reaches("ready"));
}

TEST_CASE("of two collections that want one name on the target the one that is there keeps it") {
  Plain proxy;
  Move& move = proxy.move;
  move.options.names = {{"another", "things"}};
  proxy.ready();
  proxy.create(things("another"));
  move.source.put("another", "x", 1);
  CHECK(proxy.left_out() == Left{"another"});
  CHECK(move.status().gaps == 0);
  SECTION("also after a restart") {
    REQUIRE(move.journal->commit_rows({{"state", "a test", ""}}));  // what ended before is on the disk
    proxy.restart(move.disk());
    CHECK(proxy.left_out() == Left{"another"});
    CHECK(proxy.moved("things") != nullptr);
    CHECK(move.status().gaps == 0);
  }
  SECTION("and when that goes, what the other one holds is not taken for copied") {
    move.source.drop_collection("things");
    proxy.refresh();
    CHECK(proxy.left_out().empty());
    CHECK(proxy.moved("another") != nullptr);
    CHECK(move.journal->has_gaps());
    proxy.mends();
    CHECK(move.target.rows() == move.source.rows("another"));
  }
  SECTION("and after a promotion without the other one nothing takes its place, also after a restart") {
    REQUIRE(move.promote({"left_out"}));
    vmproxy::model::SchemaChange drop;
    drop.kind = vmproxy::model::SchemaChange::Kind::drop_collection;
    drop.name = things().name;
    REQUIRE(proxy.backend().change(drop));
    CHECK(proxy.moved("another") == nullptr);
    proxy.restart(move.disk());
    CHECK(proxy.moved("another") == nullptr);
    CHECK(proxy.left_out() == Left{"another"});
  }
}

TEST_CASE("a collection that takes a form which the target cannot hold is a gap, and so is its way back") {
  Plain proxy;
  Move& move = proxy.move;
  move.source.add_collection(things("others"));
  proxy.ready();
  move.source.change(two_vectors("things"));
  proxy.refresh();
  CHECK(move.journal->has_gaps());
  CHECK(proxy.left_out() == Left{"things"});
  CHECK(proxy.moved("things") == nullptr);
  CHECK(proxy.put("b", 2) == 200);
  proxy.mends();
  move.source.change(things());
  proxy.refresh();
  CHECK(move.journal->has_gaps());
  CHECK(proxy.left_out().empty());
  proxy.mends();
  CHECK(move.equal());
  CHECK(move.target.find("b") == 2);
}

TEST_CASE(
    "records that take other keys on the target are a gap before a read can miss them, whoever finds it out") {
  Plain proxy;
  proxy.ready();
  Move& move = proxy.move;
  proxy.reads(100);
  REQUIRE_FALSE(proxy.read_by_source("a"));
  move.source.change(parted());
  SECTION("of all") {
    proxy.refresh();
  }
  SECTION("of one") {
    REQUIRE(move.context().collections.refresh_one(things().name, move.clock.in(seconds(1))));
  }
  CHECK(move.journal->has_gaps());
  CHECK(proxy.read_by_source("a"));
  proxy.mends();
  CHECK(move.target.rows() == Rows{{":a", 1}});
  proxy.reads(100);
  CHECK_FALSE(proxy.read_by_source("a"));
  move.source.change(things());  // the last partition goes
  proxy.refresh();
  CHECK(move.journal->has_gaps());
  CHECK(proxy.read_by_source("a"));
  proxy.mends();
  CHECK(move.target.rows() == Rows{{"a", 1}});
  proxy.reads(100);
  CHECK_FALSE(proxy.read_by_source("a"));
}

TEST_CASE(
    "what the target holds under keys of no record is erased where it is ours, and no record's key is") {
  Plain proxy;
  proxy.ready();
  Move& move = proxy.move;
  auto& context = move.context();
  move.target.put("old", 1);
  REQUIRE(context.mirror.erase_strays(things().name, {key_of("old")}));
  CHECK(move.target.find("old"));  // a record may have it
  move.source.change(parted());
  proxy.refresh();
  proxy.mends();  // with what is under former keys
  move.target.put("old", 1);
  const auto erased = [&] { return context.mirror.erase_strays(things().name, {key_of("old")}); };
  SECTION("ours") {
    CHECK(erased());
    CHECK(move.target.rows() == Rows{{":a", 1}});
    CHECK(move.status().gaps == 0);
  }
  SECTION("somebody else's") {
    REQUIRE(context.collections.release(*proxy.moved("things")));
    CHECK(erased());
    CHECK(move.target.find("old"));
  }
  SECTION("ours, of a change that is under way") {
    context.mirror.pause("things");
    const auto refused = erased();
    context.mirror.resume("things");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().retryable());
    CHECK(move.target.find("old"));
  }
  SECTION("ours, and it may be erased later, when a record has the key") {
    move.target.delay_next(Call::erase);
    CHECK_FALSE(erased());
    CHECK(move.status().gaps == 1);
    CHECK(context.mirror.gaps_act_until() > move.clock.now());
  }
}
