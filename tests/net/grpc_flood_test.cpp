// The drivers' gRPC client, and the proxy, towards a database that keeps them busy with frames that hold nothing, or answers nonsense.
#include <catch2/catch.hpp>

#include "net/grpc_client.h"
#include "support.h"

using namespace vmproxy;
using namespace vmproxy::net;
using namespace vmproxy::net::test;

namespace {

Deadline in(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

std::string repeated(const std::string& frame, size_t bytes) {
  std::string many;
  while (many.size() < bytes) many += frame;
  return many;
}

const std::string settings("\0\0\0\4\0\0\0\0\0\0\0\0\4\1\0\0\0\0", 18);  // and the acknowledgement of ours
const std::string head("\0\0\1\1\4\0\0\0\1\x88", 10);                    // ":status 200" on stream 1
// A message of two bytes, and "grpc-status: 0" behind it.
const std::string answer = head + std::string("\0\0\7\0\0\0\0\0\1\0\0\0\0\2hi", 16) +
                           std::string(
                               "\0\0\xf\1\5\0\0\0\1\0\xbgrpc-status\1"
                               "0",
                               24);

const std::string empty_frames[] = {
    std::string("\0\0\x8\6\0\0\0\0\0........", 17),   // PING
    std::string("\0\0\0\4\0\0\0\0\0", 9),             // SETTINGS
    std::string("\0\0\0\0\0\0\0\0\1", 9),             // DATA
    std::string("\0\0\5\2\0\0\0\0\1\0\0\0\0\1", 14),  // PRIORITY
};

void flood(Socket& socket, const std::string& frame) {
  const std::string many = repeated(frame, 4096);
  do {
    // What the client says to it is read, so that it is never the client who waits.
    while (!socket.receive(0ms).empty()) {
    }
  } while (socket.send_some(many, 1000ms) == many.size());
}

// Until HEADERS have come: the proxy asks nothing before its settings are acknowledged.
void receive_request(Socket& socket) {
  socket.receive_bytes(24);  // the preface
  for (;;) {
    const auto frame_head = socket.receive_bytes(9);
    if (frame_head.size() < 9 || frame_head[3] == 1) return;
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(frame_head[i]); };
    socket.receive_bytes(static_cast<size_t>(byte(0) << 16 | byte(1) << 8 | byte(2)));
  }
}

auto call_through_a_proxy(FakeUpstream& database, bool holds) {
  Upstream upstream(database.options());
  auto proxy = holds ? Proxy::holding(upstream) : Proxy::passing(upstream);
  UpstreamOptions options = database.options();
  options.port = proxy.port;
  GrpcClient client(options, 1);
  return client.send("/t/Call", {}, "x", in(10s));
}

}  // namespace

TEST_CASE("a database that answers with nothing but empty frames is given up before the deadline") {
  for (const auto& frame : empty_frames) {
    FakeUpstream database([&](Socket& socket, int) {
      if (socket.send(settings + head)) flood(socket, frame);
    });
    GrpcClient client(database.options(), 1);
    const auto got = client.send("/t/Call", {}, "x", in(20s));
    REQUIRE_FALSE(got.has_value());
    INFO(got.error().message);
    CHECK(got.error().code == Code::connection_lost);
  }
}

TEST_CASE("so is one behind the proxy, whose requests on that connection it ends") {
  for (const bool holds : {false, true}) {
    for (const auto& frame : empty_frames) {
      FakeUpstream database([&](Socket& socket, int) {
        socket.send(settings);
        receive_request(socket);
        if (socket.send(head)) flood(socket, frame);
      });
      const auto got = call_through_a_proxy(database, holds);
      CAPTURE(holds);
      if (got) {
        CHECK(got->status != 0);  // an answer of the proxy's own
      } else {
        INFO(got.error().message);
        CHECK(got.error().code == Code::connection_lost);
      }
    }
  }
}

TEST_CASE("a connection whose database talks between the calls is left") {
  std::atomic<bool> full{false};
  FakeUpstream database([&](Socket& socket, int number) {
    socket.receive();
    socket.send(settings + answer);
    if (number > 0) {
      socket.closed_within(10s);
      return;
    }
    // Of a kind that HTTP/2 says to ignore; as much as the sockets hold, and more once some of it is read.
    const std::string unknown = repeated(std::string("\0\0\4\x20\0\0\0\0\0....", 13), 13 * 1024);
    while (socket.send_some(unknown, 200ms) > 0) {
    }
    full = true;
    for (const auto end = in(10s); std::chrono::steady_clock::now() < end;) {
      socket.send_some(unknown, 10ms);
      if (socket.closed_within(1ms)) break;
    }
  });
  GrpcClient client(database.options(), 1);
  const auto first = client.send("/t/Call", {}, "x", in(20s));
  REQUIRE(first.has_value());
  CHECK(first->status == 0);
  for (const auto end = in(20s); !full && std::chrono::steady_clock::now() < end;)
    std::this_thread::sleep_for(1ms);
  REQUIRE(full);
  const auto second = client.send("/t/Call", {}, "x", in(5s));
  REQUIRE(second.has_value());
  CHECK(database.accepted() == 2);
}

TEST_CASE("a status that is none is not passed on: the client is answered by the proxy") {
  for (const bool holds : {false, true}) {
    for (const std::string status : {"051", "600"}) {
      FakeUpstream database([&](Socket& socket, int) {
        socket.send(settings);
        receive_request(socket);
        socket.send(std::string("\0\0\5\1\5\0\0\0\1\x8\3", 11) + status);
        socket.receive_all();
      });
      const auto got = call_through_a_proxy(database, holds);
      CAPTURE(holds, status);
      REQUIRE(got.has_value());
      CHECK(got->status != 0);
    }
  }
}
