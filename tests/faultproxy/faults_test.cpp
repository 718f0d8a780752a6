// What delays, thins or multiplies bytes, seen from both ends.
#include "connection.h"
#include "ends.h"

using namespace vmproxy;
using namespace vmproxy::faultproxy;
using namespace vmproxy::faultproxy::test;

namespace {

Duration since(TimePoint begun) {
  return std::chrono::steady_clock::now() - begun;
}

}  // namespace

TEST_CASE("without faults bytes and ends pass in both directions") {
  Line line;
  auto ends = line.connect();
  for (const auto direction : both_directions) {
    sender(ends, direction).send("hello");
    CHECK(receiver(ends, direction).receive() == "hello");
  }
  ends.client.end_writing();
  CHECK(ends.upstream.closed_within(patience));
  CHECK_FALSE(ends.upstream.was_reset());
  ends.upstream.send("still here");  // only one direction has ended
  CHECK(ends.client.receive() == "still here");
  ends.upstream.close();
  CHECK(ends.client.closed_within(patience));
  CHECK_FALSE(ends.client.was_reset());
  ends.client.close();
  CHECK(eventually([&] { return line.proxy.counts("a").open == 0; }));
  const auto counts = line.proxy.counts("a");
  CHECK(counts.accepted == 1);
  CHECK(counts.to_upstream.passed_bytes == 5);
  CHECK(counts.to_client.passed_bytes == 15);
  CHECK(counts.reset == 0);
}

TEST_CASE("latency holds back one direction, and bytes on their way do not hold up each other") {
  for (const auto direction : both_directions) {
    Line line;
    Faults slow;
    slow.latency = 500ms;
    line.set(direction, slow);
    auto ends = line.connect();
    const auto begun = std::chrono::steady_clock::now();
    for (int i = 0; i < 5; ++i) {
      sender(ends, direction).send("1234567890");
      std::this_thread::sleep_for(20ms);
    }
    sender(ends, reverse(direction)).send("quick");
    CHECK(receiver(ends, reverse(direction)).receive() == "quick");
    CHECK(receiver(ends, direction).receive_bytes(10) == "1234567890");
    CHECK(since(begun) >= 500ms);
    CHECK(receiver(ends, direction).receive_bytes(40).size() == 40);
    CHECK(since(begun) < 2000ms);  // not five times the latency
  }
}

TEST_CASE("a latency that is taken away is no more added, and order stays") {
  Line line;
  Faults slow;
  slow.latency = 200ms;
  line.set(Direction::to_upstream, slow);
  auto ends = line.connect();
  ends.client.send("first ");
  REQUIRE(eventually([&] { return line.proxy.counts("a").to_upstream.arrived_bytes == 6; }));
  line.proxy.set("a", {});
  ends.client.send("second");
  CHECK(ends.upstream.receive_bytes(12) == "first second");
}

TEST_CASE("a limited bandwidth takes its time") {
  for (const auto direction : both_directions) {
    Line line;
    Faults thin;
    thin.bytes_per_second = 50'000;
    line.set(direction, thin);
    auto ends = line.connect();
    const auto begun = std::chrono::steady_clock::now();
    const std::string bytes(20'000, 'b');
    sender(ends, direction).send(bytes);
    CHECK(receiver(ends, direction).receive_bytes(bytes.size()) == bytes);
    CHECK(since(begun) >= 350ms);  // 0.4 s without the first piece, which goes at once
  }
}

TEST_CASE("a blackhole keeps bytes and ends back, of one direction, and gives them when it is over") {
  for (const auto direction : both_directions) {
    Line line;
    auto ends = line.connect();
    Faults dead;
    dead.blackhole = true;
    line.set(direction, dead);
    sender(ends, direction).send("lost?");
    sender(ends, direction).end_writing();
    CHECK_FALSE(receiver(ends, direction).closed_within(200ms));
    sender(ends, reverse(direction)).send("alive");
    CHECK(receiver(ends, reverse(direction)).receive() == "alive");
    line.proxy.set("a", {});
    CHECK(receiver(ends, direction).receive() == "lost?");
    CHECK(receiver(ends, direction).closed_within(patience));
    CHECK_FALSE(receiver(ends, direction).was_reset());
  }
}

TEST_CASE("a connection that begins in a blackhole reaches the upstream when it is over") {
  Line line;
  Faults dead;
  dead.blackhole = true;
  line.set(Direction::to_client, dead);
  auto client = Socket::to(line.port);
  client.send("hello");
  CHECK_FALSE(line.upstream.accept(200ms).open());
  line.proxy.set("a", {});
  auto upstream = line.upstream.accept();
  CHECK(upstream.receive() == "hello");
}

TEST_CASE("what nobody takes is not collected: the sender is held up") {
  for (const auto direction : both_directions) {
    Line line;
    auto ends = line.connect();
    Faults dead;
    dead.blackhole = true;
    line.set(direction, dead);
    constexpr size_t bytes_max = 64u << 20;
    const auto sent = send_until_full(sender(ends, direction), bytes_max);
    CHECK(sent < bytes_max);
    auto counts = line.proxy.counts("a");
    CHECK(counts.of(direction).arrived_bytes <= Connection::queue_bytes_max + 64 * 1024);
    CHECK(counts.of(direction).passed_bytes == 0);
    line.proxy.set("a", {});
    size_t got = 0;
    while (got < sent) {
      const auto more = receiver(ends, direction).receive(patience);
      if (more.empty()) break;
      got += more.size();
    }
    CHECK(got == sent);
  }
}

TEST_CASE("a slow reader takes a few bytes at a time and leaves the rest in a small window") {
  for (const auto direction : both_directions) {
    Line line;
    Faults slow;
    slow.read_bytes = 2;
    slow.read_pause = 50ms;
    line.set(direction, slow);
    auto ends = line.connect();
    const auto begun = std::chrono::steady_clock::now();
    sender(ends, direction).send("1234567890");
    CHECK(receiver(ends, direction).receive_bytes(10) == "1234567890");
    CHECK(since(begun) >= 200ms);  // five reads, four pauses
    constexpr size_t bytes_max = 64u << 20;
    CHECK(send_until_full(sender(ends, direction), bytes_max) < bytes_max);
    CHECK(line.proxy.counts("a").of(direction).arrived_bytes < 2000);
  }
}

TEST_CASE("a duplicate connect sends the first bytes again and keeps its answer to itself") {
  Line line;
  LinkFaults faults;
  faults.duplicate = Duplicate{100ms, 8};
  line.proxy.set("a", faults);
  auto ends = line.connect();
  ends.client.send("1234");
  CHECK(ends.upstream.receive() == "1234");
  ends.client.send("567890");
  CHECK(ends.upstream.receive() == "567890");
  auto second = line.upstream.accept();
  REQUIRE(second.open());
  CHECK(second.receive_bytes(8) == "12345678");
  CHECK(second.receive(100ms).empty());
  second.send("an answer to the second");
  ends.upstream.send("an answer to the first");
  CHECK(ends.client.receive() == "an answer to the first");
  CHECK(ends.client.receive(100ms).empty());
  CHECK(line.proxy.counts("a").duplicated == 1);
  CHECK(line.proxy.counts("a").accepted == 1);
}

TEST_CASE("a duplicate comes also after the first connection has gone") {
  Line line;
  LinkFaults faults;
  faults.duplicate = Duplicate{300ms};
  line.proxy.set("a", faults);
  {
    auto ends = line.connect();
    ends.client.send("a write");
    CHECK(ends.upstream.receive() == "a write");
    ends.client.reset();
    CHECK(ends.upstream.closed_within(patience));
  }
  auto second = line.upstream.accept();
  REQUIRE(second.open());
  CHECK(second.receive() == "a write");
}

TEST_CASE("a link that refuses, refuses new connections only, and takes them again") {
  Line line;
  auto ends = line.connect();
  LinkFaults faults;
  faults.refuse = true;
  for (int i = 0; i < 3; ++i) {
    line.proxy.set("a", faults);
    CHECK_FALSE(Socket::to(line.port).open());
    ends.client.send("old");
    CHECK(ends.upstream.receive() == "old");
    line.proxy.set("a", {});
    auto again = line.connect();
    again.client.send("new");
    CHECK(again.upstream.receive() == "new");
  }
}
