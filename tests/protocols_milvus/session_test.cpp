// Up to which timestamp a read has to wait.
#include "protocols/milvus/session.h"

#include <catch2/catch.hpp>

#include "base/fake_clock.h"

namespace vmproxy::protocols::milvus {
namespace {

using namespace std::chrono_literals;

constexpr uint64_t ms(uint64_t n) {
  return n << 18;
}

struct Fixture {
  static constexpr uint64_t begin = ms(1'000'000);  // what the server's clock shows when ours shows `start`
  FakeClock clock;
  const TimePoint start = clock.now();
  int asked = 0;
  bool tells = true;
  uint64_t there() const {
    const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(clock.now() - start).count();
    return begin + ms(static_cast<uint64_t>(passed));
  }
  Session session{clock, [this](Deadline) { return ++asked, tells ? there() : 0; }, 4};
  static std::vector<model::Key> keys(std::initializer_list<int64_t> ids) {
    std::vector<model::Key> out;
    for (const int64_t id : ids) out.push_back({"", {id}});
    return out;
  }
  uint64_t write(std::initializer_list<int64_t> ids, const std::string& collection = "c") {
    session.wrote(collection, keys(ids), there(), clock.in(1s));
    return there();
  }
  uint64_t of(std::initializer_list<int64_t> ids, const std::string& collection = "c") {
    return session.guarantee(collection, keys(ids), clock.in(1s));
  }
  // Long enough after it began.
  Fixture() {
    session.wrote("begin", {}, there(), clock.in(1s));
    clock.advance(1s);
  }
  uint64_t others() const { return there() - ms(500); }
};

TEST_CASE_METHOD(Fixture,
                 "a read waits for the last write of its keys, and else for what is half a second old") {
  const uint64_t one = write({1});
  clock.advance(100ms);
  const uint64_t two = write({2});
  clock.advance(100ms);
  CHECK(of({1}) == one);
  CHECK(of({2}) == two);
  CHECK(of({1, 2, 3}) == two);
  CHECK(of({3}) == others());
  CHECK(of({}) == two);  // any record of the collection
  CHECK(of({1}, "another") == others());
  CHECK(of({}, "another") == others());
  CHECK(asked == 0);  // the writes have told what time it is
  clock.advance(1s);
  CHECK(of({1}) == others());
  CHECK(of({}) == others());
}

TEST_CASE_METHOD(Fixture, "of a write whose answer has no timestamp the server's time after it counts") {
  session.wrote("c", keys({1}), 0, clock.in(1s));
  CHECK(asked == 1);
  CHECK(of({1}) == there());
  CHECK(of({2}) == others());
}

TEST_CASE_METHOD(Fixture, "what the process before may have written is waited for") {
  clock.advance(5s);
  const auto tell = [this](Deadline) { return there(); };
  Session reads(clock, tell);  // begins a moment after a kill -9
  const uint64_t first = there();
  CHECK(reads.guarantee("c", keys({1}), clock.in(1s)) == first);
  clock.advance(100ms);
  CHECK(reads.guarantee("c", keys({1}), clock.in(1s)) == first);
  Session writes(clock, tell);
  const uint64_t second = there();
  writes.wrote("another", keys({7}), second, clock.in(1s));
  CHECK(writes.guarantee("c", keys({1}), clock.in(1s)) == second);
  CHECK(Session::timestamp(writes.token("c", keys({1}))) == second);
}

TEST_CASE_METHOD(Fixture, "a write whose answer comes late or out of order takes nothing back") {
  const uint64_t early = there();
  clock.advance(50ms);
  const uint64_t late = write({1});
  session.wrote("c", keys({1}), early, clock.in(1s));
  CHECK(of({1}) == late);
  CHECK(of({}) == late);
  clock.advance(200ms);
  CHECK(of({5}) == others());  // the clock was not set back either
}

TEST_CASE_METHOD(Fixture, "what is forgotten for want of room is waited for by everybody") {
  const uint64_t one = write({1});
  for (int64_t id = 2; id < 6; ++id) {
    clock.advance(10ms);
    write({id});
  }
  CHECK(of({1}) == one);
  CHECK(of({99}) == one);  // it could be one that is forgotten
  CHECK(of({99}, "another") == one);
}

TEST_CASE_METHOD(Fixture, "the server is asked for its time when nothing was written lately, and seldom") {
  clock.advance(2s);
  CHECK(of({1}) == others());
  CHECK(of({1}) == others());
  CHECK(asked == 1);
  clock.advance(3s);
  CHECK(of({1}) == others());
  CHECK(asked == 2);
}

TEST_CASE_METHOD(Fixture,
                 "a write of unknown outcome makes reads of its collection Strong while it may be executed") {
  write({1});
  session.in_doubt("c");
  CHECK(of({1}) == 0);
  CHECK(of({7}) == 0);
  CHECK(of({}) == 0);
  CHECK(of({1}, "another") == others());
  clock.advance(Session::doubt);
  CHECK(of({1}) == others());
}

TEST_CASE_METHOD(Fixture, "a collection by its new name shows what was written by its old one") {
  const uint64_t one = write({1}, "old");
  session.renamed("old", "new");
  clock.advance(100ms);
  CHECK(of({1}, "new") == one);
  CHECK(of({}, "new") == one);
  // A write of before whose answer comes only now.
  const uint64_t two = write({2}, "old");
  CHECK(of({2}, "new") == two);
  session.in_doubt("old");
  CHECK(of({1}, "new") == 0);
  session.renamed("new", "newer");
  CHECK(of({1}, "newer") == 0);
  CHECK(of({1}, "another") == two);  // nobody knows whose it is
}

TEST_CASE_METHOD(Fixture, "an answer that comes very late does not set the clock back") {
  const uint64_t early = there();
  clock.advance(3s);
  session.wrote("c", keys({1}), early, clock.in(1s));
  CHECK(Session::timestamp(session.token("c", keys({2}))) == others());
  session.wrote("c", keys({1}), there() - ms(100), clock.in(1s));
  CHECK(Session::timestamp(session.token("c", keys({2}))) == others() - ms(100));
  CHECK(asked == 0);
}

TEST_CASE_METHOD(Fixture, "where the server gives no timestamps every read is Strong") {
  tells = false;
  clock.advance(3s);
  CHECK(of({1}) == 0);
  for (int i = 0; i < 10; ++i) session.wrote("c", keys({1}), 0, clock.in(1s));
  CHECK(of({1}) == 0);
  CHECK(of({1}, "another") == 0);
  CHECK(asked == 1);
  tells = true;
  clock.advance(Session::doubt);
  CHECK(of({1}) == others());
}

}  // namespace
}  // namespace vmproxy::protocols::milvus
