// Resets, half-closes and cuts after a number of bytes, seen from both ends.
#include "ends.h"

using namespace vmproxy;
using namespace vmproxy::faultproxy;
using namespace vmproxy::faultproxy::test;

namespace {

const std::string ten = "1234567890";

Faults cut_after(uint64_t bytes, Cut cut) {
  Faults faults;
  faults.cut_after = bytes;
  faults.cut = cut;
  return faults;
}

}  // namespace

TEST_CASE("a reset is a RST for both ends") {
  Line line;
  auto ends = line.connect();
  ends.client.send("hello");
  CHECK(ends.upstream.receive() == "hello");
  line.proxy.reset("a");
  for (auto* end : {&ends.client, &ends.upstream}) {
    CHECK(end->closed_within(patience));
    CHECK(end->was_reset());
  }
  CHECK(line.proxy.counts("a").open == 0);
}

TEST_CASE(
    "a reset of one direction is a RST for its receiver, and for its sender when that sends more or has waited") {
  for (const auto direction : both_directions) {
    for (const bool sends : {true, false}) {
      Line line;
      auto ends = line.connect();
      sender(ends, direction).send("hello");
      CHECK(receiver(ends, direction).receive_bytes(5) == "hello");
      line.proxy.call([&](FaultProxy& proxy) { proxy.reset("a", direction).value(); });
      CHECK(receiver(ends, direction).closed_within(patience));
      CHECK(receiver(ends, direction).was_reset());
      if (sends) {
        CHECK_FALSE(sender(ends, direction).closed_within(1ms));
        sender(ends, direction).send("more");
      }
      CHECK(sender(ends, direction).closed_within(patience));
      CHECK(sender(ends, direction).was_reset());
      CHECK(line.proxy.counts("a").open == 0);
      CHECK(line.proxy.counts("a").reset == 1);
    }
  }
}

TEST_CASE("a half-close ends one direction and leaves the other") {
  for (const auto direction : both_directions) {
    Line line;
    auto ends = line.connect();
    line.proxy.call([&](FaultProxy& proxy) { proxy.half_close("a", direction).value(); });
    CHECK(receiver(ends, direction).closed_within(patience));
    CHECK_FALSE(receiver(ends, direction).was_reset());
    for (int i = 0; i < 3; ++i) {
      sender(ends, reverse(direction)).send("back");
      CHECK(receiver(ends, reverse(direction)).receive_bytes(4) == "back");
      CHECK(sender(ends, direction).send("thrown away"));
    }
  }
}

TEST_CASE("a cut by FIN or RST lets exactly so many bytes pass, and both ends see it") {
  for (const auto direction : both_directions) {
    for (const auto cut : {Cut::fin, Cut::reset}) {
      for (size_t bytes = 0; bytes <= ten.size(); ++bytes) {
        Line line;
        line.set(direction, cut_after(bytes, cut));
        auto ends = line.connect();
        CHECK_FALSE(receiver(ends, direction).closed_within(1ms));  // not before the first byte
        sender(ends, direction).send(ten);
        auto& end = receiver(ends, direction);
        INFO("after " << bytes << " bytes");
        CHECK(end.receive_all() == ten.substr(0, bytes));
        CHECK(end.was_reset() == (cut == Cut::reset));
        CHECK(sender(ends, direction).closed_within(patience));
        CHECK(sender(ends, direction).was_reset() == (cut == Cut::reset));
        const auto counts = line.proxy.counts("a");
        CHECK(counts.cut == 1);
        CHECK((direction == Direction::to_upstream ? counts.to_upstream : counts.to_client).passed_bytes ==
              bytes);
      }
    }
  }
}

TEST_CASE("a cut by half-close leaves the other direction") {
  for (const auto direction : both_directions) {
    Line line;
    line.set(direction, cut_after(4, Cut::half_close));
    auto ends = line.connect();
    sender(ends, direction).send(ten);
    CHECK(receiver(ends, direction).receive_all() == "1234");
    CHECK_FALSE(receiver(ends, direction).was_reset());
    receiver(ends, direction).send("and back");
    CHECK(sender(ends, direction).receive() == "and back");
  }
}

TEST_CASE("a cut counts the bytes of each connection from its beginning") {
  Line line;
  auto old = line.connect();
  old.client.send(ten);
  CHECK(old.upstream.receive() == ten);
  line.set(Direction::to_upstream, cut_after(12, Cut::fin));
  old.client.send("abcdef");
  CHECK(old.upstream.receive_all() == "ab");
  auto young = line.connect();
  young.client.send(ten);
  CHECK(young.upstream.receive() == ten);
  young.client.send("abcdef");
  CHECK(young.upstream.receive_all() == "ab");
}

TEST_CASE("many bytes before a RST reach a reader that comes late") {
  Line line;
  constexpr size_t bytes = 3'000'001;  // more than the sockets' buffers
  line.set(Direction::to_client, cut_after(bytes, Cut::reset));
  auto ends = line.connect();
  std::thread sender([&] { ends.upstream.send(std::string(2 * bytes, 'x')); });
  size_t got = 0;
  for (;;) {
    const auto more = ends.client.receive(patience, 1u << 20);
    if (more.empty()) break;
    got += more.size();
  }
  CHECK(got == bytes);
  CHECK(ends.client.was_reset());
  sender.join();
}

TEST_CASE("a RST of one side is a RST for the other") {
  for (const auto direction : both_directions) {
    Line line;
    auto ends = line.connect();
    sender(ends, direction).send("last words");
    CHECK(receiver(ends, direction).receive() == "last words");
    sender(ends, direction).reset();
    CHECK(receiver(ends, direction).closed_within(patience));
    CHECK(receiver(ends, direction).was_reset());
  }
}

TEST_CASE("an upstream that is not there is a RST for the client") {
  Line line;
  line.proxy.add("nobody", 1);
  const auto port = line.proxy.call([](FaultProxy& proxy) { return proxy.ports().at("nobody"); });
  auto client = Socket::to(port);
  CHECK(client.closed_within(patience));
  CHECK(client.was_reset());
  CHECK(line.proxy.counts("nobody").connect_failed == 1);
}

TEST_CASE("an answer that came before the upstream stopped reading is not lost") {
  Line line;
  auto ends = line.connect();
  ends.client.send(std::string(100'000, 'x'));
  CHECK_FALSE(ends.upstream.receive(patience, 10).empty());
  ends.upstream.send("too large");
  ends.upstream.close();  // with bytes unread: a RST
  CHECK(ends.client.receive() == "too large");
  CHECK(ends.client.closed_within(patience));
}

TEST_CASE("a proxy that ends takes its connections along, whatever they wait for") {
  Listener upstream;
  std::optional<RunningFaultProxy> proxy(std::in_place, 1);
  const auto port = proxy->add("a", upstream.port());
  LinkFaults faults;
  faults.to_upstream.latency = std::chrono::hours(1);
  faults.duplicate = Duplicate{std::chrono::hours(1)};
  proxy->set("a", faults);
  auto client = Socket::to(port);
  auto other = upstream.accept();
  client.send("never there");
  REQUIRE(eventually([&] { return proxy->counts("a").to_upstream.arrived_bytes > 0; }));
  const auto begun = std::chrono::steady_clock::now();
  proxy.reset();
  CHECK(std::chrono::steady_clock::now() - begun < patience);
  CHECK(client.closed_within(patience));
  CHECK(other.closed_within(patience));
}
