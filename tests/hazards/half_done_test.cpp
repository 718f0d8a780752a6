// A write that is sent in several pieces, of which the first is done and the second refused.
#include "proxy/target_backend.h"
#include "tests/support/move.h"

using namespace vmproxy;
using namespace vmproxy::support;
using proxy::Side;

namespace {

// One request of the application after the promotion.
Result<model::WriteResult> put_all(Move& move, const std::vector<std::string>& ids) {
  auto& context = move.context();
  proxy::TargetBackend backend(context, context.routing.get(), "test",
                               move.clock.in(std::chrono::seconds(10)));
  return backend.write(put_of("things", ids));
}

}  // namespace

TEST_CASE("once a piece of a batch is done, no error of a later piece says that nothing was") {
  Move move;
  move.target.caps.batch_records_max = 2;
  move.ready();
  const auto collection = move.context().collections.find("things");
  REQUIRE(collection);
  std::vector<model::Record> records;
  std::vector<model::Key> keys;
  for (const char* id : {"a", "b", "c"}) {
    records.push_back(record_of(id, 1));
    keys.push_back(key_of(id));
  }
  const auto upsert = [&] {
    return move.context().transfer.upsert(Side::target, *collection, records, protocols::UpsertMode::replace,
                                          move.clock.in(std::chrono::seconds(9)));
  };
  const auto erase = [&] {
    return move.context().transfer.erase(Side::target, *collection, keys,
                                         move.clock.in(std::chrono::seconds(9)));
  };
  const Error full(Code::quota, "the disk is full");

  move.target.fail(Call::upsert, full);
  auto upserted = upsert();
  REQUIRE_FALSE(upserted);
  CHECK(upserted.error().code == Code::quota);  // the first piece: nothing was done
  CHECK(upserted.error().surely_not_done());
  CHECK(move.target.rows().empty());

  move.target.fail_after(1, Call::upsert, full);
  upserted = upsert();
  REQUIRE_FALSE(upserted);
  CHECK(move.target.rows() == FakeDriver::Rows{{"a", 1}, {"b", 1}});
  CHECK_FALSE(upserted.error().surely_not_done());
  CHECK(upserted.error().retryable());
  CHECK(upserted.error().message.find("the disk is full") != std::string::npos);

  REQUIRE(upsert());
  move.target.fail_after(1, Call::erase, full);
  const auto erased = erase();
  REQUIRE_FALSE(erased);
  CHECK(move.target.rows() == FakeDriver::Rows{{"c", 1}});
  CHECK_FALSE(erased.error().surely_not_done());
}

TEST_CASE("after the promotion a batch with a record that the target cannot hold is refused as a whole") {
  Move move;
  std::string bad = "bad";
  SECTION("its driver finds that before anything is sent") {
    move.target.refuse(bad, Error(Code::invalid, "it holds NUL"));
  }
  SECTION("the mapping finds that") {
    move.target.caps.id_bytes_max = 8;
    bad = "longer than that";
  }
  move.ready();
  REQUIRE(move.promote());
  const auto refused = put_all(move, {"a", bad, "c"});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Code::invalid);  // the application may take it that nothing was done
  CHECK(move.target.rows().empty());
  REQUIRE(move.quiet());
  CHECK(move.source.rows().empty());
  CHECK(put_all(move, {"a", "c"}));
  REQUIRE(move.quiet());
  CHECK(move.source.rows() == move.target.rows());
}

TEST_CASE("after the promotion a batch of which the target has taken a part is no refusal") {
  Move move;
  move.target.caps.batch_records_max = 2;
  move.target.refuse("c", Error(Code::invalid, "it holds NUL"));
  move.ready();
  REQUIRE(move.promote());
  const auto refused = put_all(move, {"a", "b", "c"});
  REQUIRE_FALSE(refused);
  CHECK_FALSE(refused.error().surely_not_done());
  CHECK(refused.error().message.find("it holds NUL") != std::string::npos);
  CHECK(move.target.rows() == FakeDriver::Rows{{"a", 1}, {"b", 1}});
  REQUIRE(move.quiet());
  CHECK(move.source.rows() == move.target.rows());
}
