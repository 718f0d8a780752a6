// More requests at once than there may be connections to databases: they take turns, and who cannot wait is told that nothing was
// sent.
#include <sys/resource.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "net/upstream_pool.h"
#include "support.h"

using namespace vmproxy;
using namespace vmproxy::net;
using namespace vmproxy::net::test;

namespace {

// Of 148 files 20 are shared out: 5 connections to databases. The limit is lifted again for the test's own sockets.
constexpr int places = 5;
Proxy with_few_descriptors(Handler handler, ListenOptions options = {}) {
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  rlimit tight = before;
  tight.rlim_cur = 148;
  ::setrlimit(RLIMIT_NOFILE, &tight);
  struct Restore {
    rlimit limit;
    ~Restore() { ::setrlimit(RLIMIT_NOFILE, &limit); }
  } restore{before};
  return Proxy(std::move(handler), options);
}

// How many connections were open at once, and how many requests came.
struct Observed {
  std::atomic<int> open{0}, most{0}, requests{0};
  FakeUpstream::Serve answering_after(std::chrono::milliseconds time) {
    return [this, time](Socket& socket, int) {
      const int now = ++open;
      for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
      }
      while (!read_request(socket).empty()) {
        ++requests;
        std::this_thread::sleep_for(time);
        socket.send(ok());
      }
      --open;
    };
  }
};

const std::string post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy";

}  // namespace

TEST_CASE("requests take turns when there are fewer connections to the database than requests") {
  const bool held = GENERATE(false, true);
  Observed observed;
  FakeUpstream database(observed.answering_after(30ms));
  Upstream upstream(database.options());
  auto proxy = with_few_descriptors([&](Exchange& exchange) {
    return held ? hold_or_error(exchange, upstream) : pass_or_error(exchange, upstream);
  });
  std::vector<Socket> clients;
  for (int i = 0; i < 15; ++i) clients.push_back(Socket::to(proxy.port));
  for (int round = 0; round < 3; ++round) {
    for (auto& client : clients) client.send(post);
    for (auto& client : clients) CHECK(client.receive_bytes(ok().size()) == ok());
  }
  CHECK(observed.most == places);
  CHECK(observed.requests == 45);
  CHECK(database.accepted() == places);  // who waited was given one that was used before
}

TEST_CASE("a read that cannot be sent once more gets a new connection also where idle ones have all places") {
  // Answers only when all places are taken; then each connection dies at its second request.
  std::atomic<int> came{0}, died{0};
  FakeUpstream database([&](Socket& socket, int) {
    if (read_request(socket).empty()) return;
    ++came;
    const auto end = std::chrono::steady_clock::now() + 2s;
    while (came < places && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(1ms);
    socket.send(ok());
    died += !read_request(socket).empty();
  });
  Upstream upstream(database.options());
  auto proxy = with_few_descriptors([&](Exchange& exchange) {
    exchange.set_repeatable();
    return pass_or_error(exchange, upstream);
  });
  std::vector<Socket> clients;
  for (int i = 0; i < places; ++i) clients.push_back(Socket::to(proxy.port));
  for (auto& client : clients) client.send(post);
  for (auto& client : clients) REQUIRE(client.receive_bytes(ok().size()) == ok());
  REQUIRE(database.accepted() == places);
  std::this_thread::sleep_for(2 * recently);  // time that has to pass: nothing is to be waited for
  clients[0].send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + std::string(100000, 'x'));
  CHECK(clients[0].receive_bytes(ok().size()) == ok());
  CHECK(died == 0);
  CHECK(database.accepted() == places + 1);
}

TEST_CASE("who finds no connection to the database in half of its time was not sent") {
  std::atomic<int> requests{0};
  FakeUpstream database([&requests](Socket& socket, int) {
    while (!read_request(socket).empty()) ++requests;  // never an answer
  });
  Upstream upstream(database.options());
  ListenOptions options;
  options.request_timeout = 1s;
  auto proxy =
      with_few_descriptors([&](Exchange& exchange) { return pass_or_error(exchange, upstream); }, options);
  std::vector<Socket> clients;
  for (int i = 0; i < 12; ++i) clients.push_back(Socket::to(proxy.port));
  for (auto& client : clients) client.send(post);
  int refused = 0, unknown = 0;
  for (auto& client : clients) {
    const auto answer = client.receive_until("\r\n\r\n") + client.receive(100ms);
    refused += answer.find("overloaded: ") != std::string::npos ? 1 : 0;
    unknown += answer.starts_with("HTTP/1.1 504 ") ? 1 : 0;
  }
  CHECK(refused == 7);
  CHECK(unknown == places);
  CHECK(requests == places);
}

TEST_CASE("idle connections to one database give way to another") {
  Observed first_observed, second_observed;
  FakeUpstream first_database(first_observed.answering_after(20ms)),
      second_database(second_observed.answering_after(20ms));
  Upstream first(first_database.options()), second(second_database.options());
  auto proxy = with_few_descriptors([&](Exchange& exchange) {
    return pass_or_error(exchange, exchange.head().target.starts_with("/second") ? second : first);
  });
  std::vector<Socket> clients;
  for (int i = 0; i < places; ++i) clients.push_back(Socket::to(proxy.port));
  for (auto& client : clients) client.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
  for (auto& client : clients) CHECK(client.receive_bytes(ok().size()) == ok());
  CHECK(first_observed.most == places);
  for (auto& client : clients) client.send("GET /second HTTP/1.1\r\nHost: a\r\n\r\n");
  for (auto& client : clients) CHECK(client.receive_bytes(ok().size()) == ok());
  CHECK(second_observed.most == places);
}
