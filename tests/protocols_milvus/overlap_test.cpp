// Reads beside writes: which of them were crossed, and turns.
#include "protocols/milvus/overlap.h"

#include <catch2/catch.hpp>
#include <future>
#include <optional>

#include "base/fake_clock.h"

namespace vmproxy::protocols::milvus {
namespace {

using namespace std::chrono_literals;

std::vector<model::Key> keys(std::initializer_list<int64_t> ids) {
  std::vector<model::Key> out;
  for (const int64_t id : ids) out.push_back({"", {id}});
  return out;
}
bool crossed(const Overlap::Read& read, int64_t id) {
  const Overlap::Mark mark = Overlap::mark_of({id});
  return read.crossed({&mark, 1});
}

struct Fixture {
  FakeClock clock;
  Overlap overlap{clock, 4};
  Deadline soon = clock.in(10s);
  Overlap::Write write(std::initializer_list<int64_t> ids) {
    auto begun = overlap.write("c", keys(ids), soon);
    REQUIRE(begun.has_value());
    return std::move(*begun);
  }
};

TEST_CASE_METHOD(Fixture, "a read is crossed by writes of its keys that went on meanwhile, by no others") {
  write({1});
  auto before = std::make_optional(write({2}));
  const auto read = overlap.read("c");
  CHECK_FALSE(crossed(read, 1));  // over when it began
  CHECK(crossed(read, 2));        // goes on
  before.reset();
  CHECK(crossed(read, 2));  // went on when it began
  CHECK_FALSE(crossed(read, 3));
  write({3});
  CHECK(crossed(read, 3));  // began and ended meanwhile
  CHECK_FALSE(crossed(read, 4));
  CHECK(read.crossed_any());
  const auto elsewhere = overlap.read("d");
  CHECK_FALSE(crossed(elsewhere, 3));
  CHECK_FALSE(elsewhere.crossed_any());
  const auto later = overlap.read("c");
  CHECK_FALSE(crossed(later, 3));
  CHECK_FALSE(later.crossed_any());
}

TEST_CASE_METHOD(Fixture, "what is no longer remembered counts as crossed") {
  const auto read = overlap.read("c");
  write({1, 2, 3, 4});
  CHECK_FALSE(crossed(read, 9));
  write({5});
  CHECK(crossed(read, 9));
  CHECK_FALSE(crossed(overlap.read("c"), 9));
}

TEST_CASE_METHOD(Fixture,
                 "a read alone waits for the writes before it, and those after it wait for its end") {
  auto first = std::make_optional(write({1}));
  auto alone = std::async(std::launch::async, [&] { return overlap.read_alone("c", soon); });
  CHECK(alone.wait_for(50ms) == std::future_status::timeout);
  auto second = std::async(std::launch::async, [&] { return overlap.write("c", keys({2}), soon); });
  CHECK(second.wait_for(50ms) ==
        std::future_status::timeout);  // behind the read, though only a write goes on
  first.reset();
  {
    const auto read = alone.get();
    REQUIRE(read.has_value());
    CHECK_FALSE(read->crossed_any());
    CHECK(second.wait_for(50ms) == std::future_status::timeout);
    // Another one comes behind the write that waits, so that readers cannot keep writers out.
    const auto third = overlap.read_alone("c", clock.now());
    REQUIRE(third.has_error());
    CHECK(third.error().code == Code::timeout);
  }
  CHECK(second.get().has_value());
}

TEST_CASE_METHOD(Fixture, "a write that waited in vain was surely not done") {
  const auto read = overlap.read_alone("c", soon);
  REQUIRE(read.has_value());
  auto late = std::async(std::launch::async, [&] { return overlap.write("c", keys({1}), soon); });
  clock.advance(11s);
  const auto result = late.get();
  REQUIRE(result.has_error());
  CHECK(result.error().surely_not_done());
  CHECK_FALSE(read->crossed_any());
  CHECK(overlap.write("other", keys({1}), clock.in(1s)).has_value());
}

}  // namespace
}  // namespace vmproxy::protocols::milvus
