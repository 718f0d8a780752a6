// The order in which changes reach the replica.
#include "tests/support/rig.h"

using namespace vmproxy::support;

TEST_CASE(
    "H5: of two writes of a key under way at once the replica gets what the primary kept, whichever answer came last") {
  Rig rig;
  rig.start();
  auto first = rig.begin("a", 1);
  auto second = rig.begin("a", 2);
  rig.source.put("a", 1);
  rig.source.put("a", 2);
  rig.applied(std::move(second));
  rig.applied(std::move(first));  // the older write's answer comes last
  REQUIRE(rig.quiet());
  CHECK(rig.target.find("a") == 2);
}

TEST_CASE("H5: also the earlier of two overlapping writes is read back") {
  Rig rig;
  rig.start();
  auto first = rig.begin("a", 1);
  auto second = rig.begin("a", 2);
  rig.source.put("a", 2);
  rig.source.put("a", 1);
  rig.applied(std::move(first));
  REQUIRE(rig.quiet());
  CHECK(rig.target.find("a") == 1);
  rig.applied(std::move(second));
  REQUIRE(rig.quiet());
  CHECK(rig.target.find("a") == 1);
}

TEST_CASE("H8: a change that must be read back is read after its acknowledgement, never before") {
  Rig rig;
  rig.start();
  auto ticket = rig.begin("a", 1, IntentClass::read_back);
  rig.linger();
  CHECK(rig.source.calls(Call::read) == 0);
  rig.source.put("a", 1);
  rig.applied(std::move(ticket));
  REQUIRE(rig.quiet());
  CHECK(rig.source.calls(Call::read) == 1);
  CHECK(rig.target.find("a") == 1);
}

TEST_CASE("H8: a write that is acknowledged while an older READ of its key is on its way is read again") {
  Rig rig;
  rig.start();
  std::atomic<bool> once{false};
  rig.source.after_read = [&] {
    if (once.exchange(true)) return;
    // The READ has looked; now the key changes and its write is acknowledged, before the replica has anything.
    auto ticket = rig.begin("a", 2, IntentClass::read_back);
    rig.source.put("a", 2);
    rig.applied(std::move(ticket));
  };
  rig.write("a", 1, IntentClass::read_back);
  REQUIRE(rig.quiet());
  CHECK(rig.target.find("a") == 2);
}

TEST_CASE(
    "H18: whatever the number of lanes, versions of a key reach the replica in their order, one at a time") {
  Rig rig;
  rig.options.lanes.lanes = 8;
  rig.start();
  rig.target.flap(true);
  for (int version = 1; version <= 40; ++version) {
    for (int key = 0; key < 8; ++key) rig.write("k" + std::to_string(key), version);
  }
  rig.target.flap(false);
  REQUIRE(rig.quiet());
  CHECK(rig.equal());
  std::map<std::string, int64_t> last;
  for (const auto& batch : rig.target.sent()) {
    for (const auto& [id, version] : batch.rows) {
      CHECK(last[id] <= version);
      last[id] = version;
    }
  }
}

TEST_CASE("H51: a write that hangs holds up neither other keys nor other writes of its own") {
  Rig rig;
  rig.start();
  auto hung = rig.begin("a", 1);
  rig.write("b", 1);
  rig.source.put("a", 2);
  rig.applied(rig.begin("a", 2));
  REQUIRE(rig.quiet());
  CHECK(rig.target.rows() == FakeDriver::Rows{{"a", 2}, {"b", 1}});
  rig.source.put("a", 1);
  rig.applied(std::move(hung));
  REQUIRE(rig.quiet());
  CHECK(rig.equal());
}

TEST_CASE(
    "H61: a READ that waits for a delete by filter still waits when another READ of the key takes its place") {
  Rig rig;
  rig.source.caps.read_after_write =
      false;  // so that what was read is suspect, and read again without a write
  rig.start();
  rig.write("a", 1);
  REQUIRE(rig.quiet());
  auto predicate = rig.begin_delete_where(5);
  rig.source.put("a", 2);
  rig.applied(rig.begin("a", 2));  // overlaps the delete: its READ waits
  rig.source.put("a", 3);
  rig.applied(rig.begin("a", 3));  // takes its place in the lane, and waits for the delete itself
  rig.linger();
  REQUIRE(rig.mirror->numbers().suspects > 0);
  rig.mirror->reread_suspects();  // takes their place; by itself it would wait for nothing
  rig.linger();
  CHECK(rig.target.find("a") == 1);
  rig.source.remove("a");  // the delete is executed last
  rig.applied(std::move(predicate));
  REQUIRE(rig.quiet());
  CHECK(rig.target.find("a") == std::nullopt);
}
