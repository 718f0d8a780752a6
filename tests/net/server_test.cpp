// The server itself: limits, timeouts, drain, exhaustion, awaiting other threads.
#include <sys/resource.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <catch2/catch.hpp>

#include "net/await.h"
#include "support.h"

using namespace vmproxy;
using namespace vmproxy::net;
using namespace vmproxy::net::test;

namespace {

boost::asio::awaitable<void> say_ok(Exchange& exchange) {
  Response response;
  response.body = "ok";
  (void)co_await exchange.reply(std::move(response));
}

const std::string get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

}  // namespace

TEST_CASE("a port that is taken is refused with advice") {
  Server first(1);
  Server second(1);
  ListenOptions options;
  options.host = "127.0.0.1";
  options.port = first.listen(options, say_ok).value();
  const auto refused = second.listen(options, say_ok);
  REQUIRE(refused.has_error());
  CHECK(refused.error().message.find("cannot listen on 127.0.0.1:") == 0);
}

TEST_CASE("a head over the limit is answered 431") {
  ListenOptions options;
  options.head_bytes_max = 4096;
  Proxy proxy(say_ok, options);
  auto client = Socket::to(proxy.port);
  client.send("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(100000, 'x'));
  CHECK(client.receive_all().starts_with("HTTP/1.1 431 "));
}

TEST_CASE("what is no HTTP is refused at once") {
  Proxy proxy(say_ok);
  auto client = Socket::to(proxy.port);
  client.send("\x16\x03\x01\x02\x00\x01");
  CHECK(client.receive_all().starts_with("HTTP/1.1 400 "));
}

TEST_CASE("a connection that begins with a line of another protocol is closed, without an answer in ours") {
  Proxy proxy(say_ok);
  auto client = Socket::to(proxy.port);
  client.send("INVALID CONNECTION PREFACE\r\n\r\n");
  CHECK(client.receive_all().empty());
  auto later = Socket::to(proxy.port);
  later.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nINVALID CONNECTION PREFACE\r\n\r\n");
  const auto answers = later.receive_all();
  CHECK(answers.starts_with("HTTP/1.1 200 "));
  CHECK(answers.find("HTTP/1.1 400 ") != std::string::npos);
  auto newer = Socket::to(proxy.port);
  newer.send("GET / HTTP/3.7\r\nHost: a\r\n\r\n");
  CHECK(newer.receive_all().starts_with("HTTP/1.1 400 "));
}

TEST_CASE("a head that does not end and an idle connection are closed in time") {
  ListenOptions options;
  options.head_timeout = 100ms;
  options.idle_timeout = 250ms;
  Proxy proxy(say_ok, options);
  auto slow = Socket::to(proxy.port);
  slow.send("GET / HT");
  auto idle = Socket::to(proxy.port);
  idle.send(get);
  CHECK(idle.receive().ends_with("ok"));
  CHECK(slow.closed_within(1000ms));
  CHECK(idle.closed_within(1000ms));
}

TEST_CASE("a handler that throws or does not answer costs only its connection") {
  Proxy proxy([](Exchange& exchange) -> boost::asio::awaitable<void> {
    if (exchange.head().target == "/throw") throw std::runtime_error("a bug");
    if (exchange.head().target == "/silent") co_return;
    co_await say_ok(exchange);
  });
  for (const std::string target : {"/throw", "/silent"}) {
    auto client = Socket::to(proxy.port);
    client.send("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(client.receive_all().empty());
  }
  auto client = Socket::to(proxy.port);
  client.send(get);
  CHECK(client.receive().ends_with("ok"));
}

TEST_CASE("stop lets requests in flight end and closes idle connections") {
  std::atomic<bool> inside{false};
  Proxy proxy([&](Exchange& exchange) -> boost::asio::awaitable<void> {
    if (exchange.head().target == "/slow") {
      inside = true;
      boost::asio::steady_timer timer(exchange.executor(), 300ms);
      co_await timer.async_wait(boost::asio::use_awaitable);
    }
    co_await say_ok(exchange);
  });
  auto idle = Socket::to(proxy.port);
  idle.send(get);
  CHECK(idle.receive().ends_with("ok"));
  auto busy = Socket::to(proxy.port);
  busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
  while (!inside) std::this_thread::sleep_for(1ms);
  const auto begun = std::chrono::steady_clock::now();
  proxy.server.stop(5s);
  CHECK(std::chrono::steady_clock::now() - begun < 3s);
  const auto answer = busy.receive_all();
  CHECK(answer.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(answer.find("Connection: close") != std::string::npos);
  CHECK(idle.closed_within(100ms));
  CHECK_FALSE(Socket::to(proxy.port).open());
}

TEST_CASE("who was promised the connection before the drain is answered once more") {
  std::atomic<bool> release{false};
  Proxy proxy([&](Exchange& exchange) -> boost::asio::awaitable<void> {
    const bool first = exchange.head().target == "/first";
    co_await say_ok(exchange);
    // The answer has gone without "Connection: close"; its end comes when the drain has begun.
    while (first && !release) {
      boost::asio::steady_timer timer(exchange.executor(), 1ms);
      co_await timer.async_wait(boost::asio::use_awaitable);
    }
  });
  auto client = Socket::to(proxy.port);
  client.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
  const auto answer = client.receive();
  REQUIRE(answer.ends_with("ok"));
  REQUIRE(answer.find("Connection: close") == std::string::npos);
  std::thread stopping([&] { proxy.server.stop(5s); });
  while (Socket::to(proxy.port).open()) std::this_thread::sleep_for(1ms);
  std::this_thread::sleep_for(50ms);  // nothing outside shows that each connection has been told
  release = true;
  std::this_thread::sleep_for(20ms);  // as long as the next request is on its way
  client.send(get);
  const auto next = client.receive_all();
  CHECK(next.ends_with("ok"));
  CHECK(next.find("Connection: close") != std::string::npos);
  stopping.join();
}

TEST_CASE("clients that were let in by the system before the drain are answered") {
  std::atomic<bool> inside{false};
  Proxy proxy([&](Exchange& exchange) -> boost::asio::awaitable<void> {
    if (exchange.head().target == "/blocks") {
      inside = true;
      std::this_thread::sleep_for(300ms);  // nobody is accepted meanwhile
    }
    co_await say_ok(exchange);
  });
  auto blocking = Socket::to(proxy.port);
  blocking.send("GET /blocks HTTP/1.1\r\nHost: a\r\n\r\n");
  while (!inside) std::this_thread::sleep_for(1ms);
  std::vector<Socket> waiting;  // more than are accepted at a time
  for (int i = 0; i < 200; ++i) {
    waiting.push_back(Socket::to(proxy.port));
    waiting.back().send(get);
  }
  proxy.server.stop(5s);
  CHECK(blocking.receive_all().ends_with("ok"));
  for (auto& client : waiting) CHECK(client.receive_all().ends_with("ok"));
}

TEST_CASE("stop ends in time although a request hangs") {
  std::atomic<bool> inside{false};
  Proxy proxy([&](Exchange& exchange) -> boost::asio::awaitable<void> {
    inside = true;
    boost::asio::steady_timer timer(exchange.executor(), 1h);
    co_await timer.async_wait(boost::asio::use_awaitable);
  });
  auto client = Socket::to(proxy.port);
  client.send(get);
  while (!inside) std::this_thread::sleep_for(1ms);
  const auto begun = std::chrono::steady_clock::now();
  proxy.server.stop(100ms);
  CHECK(std::chrono::steady_clock::now() - begun < 2s);
}

TEST_CASE("many connections are spread over the workers and all are served") {
  Proxy proxy(say_ok, {}, 3);
  std::vector<Socket> clients;
  for (int i = 0; i < 200; ++i) clients.push_back(Socket::to(proxy.port));
  for (int round = 0; round < 3; ++round) {
    for (auto& client : clients) client.send(get);
    for (auto& client : clients) REQUIRE(client.receive().ends_with("ok"));
  }
  CHECK(proxy.server.connections() == 200);
}

TEST_CASE("connections over the limit wait instead of failing") {
  ListenOptions options;
  options.connections_max = 2;
  Proxy proxy(say_ok, options);
  auto first = Socket::to(proxy.port);
  auto second = Socket::to(proxy.port);
  first.send(get);
  second.send(get);
  CHECK(first.receive().ends_with("ok"));
  CHECK(second.receive().ends_with("ok"));
  auto third = Socket::to(proxy.port);
  third.send(get);
  CHECK(third.receive(300ms).empty());
  first.close();
  CHECK(third.receive().ends_with("ok"));
}

TEST_CASE("clients leave a quarter of the file descriptors, and 128, to what serves them") {
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  rlimit tight = before;
  tight.rlim_cur = 188;
  ::setrlimit(RLIMIT_NOFILE, &tight);
  Proxy proxy(say_ok);
  ::setrlimit(RLIMIT_NOFILE, &before);
  std::vector<Socket> clients;
  for (int i = 0; i < 55; ++i) clients.push_back(Socket::to(proxy.port));
  for (auto& client : clients) client.send(get);
  for (size_t i = 0; i < 45; ++i) REQUIRE(clients[i].receive().ends_with("ok"));
  CHECK(clients[45].receive(300ms).empty());
  CHECK(proxy.server.connections() == 45);
  for (size_t i = 0; i < 10; ++i) clients[i].close();
  for (size_t i = 45; i < 55; ++i) CHECK(clients[i].receive().ends_with("ok"));
}

TEST_CASE("when file descriptors run out the server waits without spinning and recovers") {
  Proxy proxy(say_ok);
  std::vector<Socket> clients;
  for (int i = 0; i < 8; ++i) clients.push_back(Socket::to(proxy.port));
  clients.back().send(get);
  CHECK(clients.back().receive().ends_with("ok"));
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  // The client's sockets are made first; the server then finds no descriptor for its side.
  const int highest = ::dup(0);
  ::close(highest);
  std::vector<int> raw;
  for (int i = 0; i < 4; ++i) raw.push_back(::socket(AF_INET, SOCK_STREAM, 0));
  rlimit tight = before;
  tight.rlim_cur = static_cast<rlim_t>(raw.back() + 1);
  ::setrlimit(RLIMIT_NOFILE, &tight);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(proxy.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (const int fd : raw) ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
  rusage started{};
  ::getrusage(RUSAGE_SELF, &started);
  std::this_thread::sleep_for(500ms);
  rusage ended{};
  ::getrusage(RUSAGE_SELF, &ended);
  const auto used = (ended.ru_utime.tv_sec - started.ru_utime.tv_sec) * 1000000 +
                    (ended.ru_utime.tv_usec - started.ru_utime.tv_usec) +
                    (ended.ru_stime.tv_sec - started.ru_stime.tv_sec) * 1000000 +
                    (ended.ru_stime.tv_usec - started.ru_stime.tv_usec);
  ::setrlimit(RLIMIT_NOFILE, &before);
  CHECK(used < 100000);
  for (const int fd : raw) {
    Socket client(fd);
    client.send(get);
    CHECK(client.receive().ends_with("ok"));
  }
}

TEST_CASE("a completion from another thread resumes the handler on its worker") {
  std::vector<std::thread> threads;
  std::atomic<bool> same{false};
  Proxy proxy([&](Exchange& exchange) -> boost::asio::awaitable<void> {
    const auto worker = std::this_thread::get_id();
    const auto value = co_await completion<int>(exchange.executor(), [&](std::function<void(int)> done) {
      threads.emplace_back([done] {
        std::this_thread::sleep_for(20ms);
        done(42);
      });
    });
    same = worker == std::this_thread::get_id() && value == 42;
    co_await say_ok(exchange);
  });
  auto client = Socket::to(proxy.port);
  client.send(get);
  CHECK(client.receive().ends_with("ok"));
  CHECK(same);
  for (auto& thread : threads) thread.join();
}
