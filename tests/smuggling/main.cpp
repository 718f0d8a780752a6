// Request smuggling: doubtful requests through the real server and clients of net/, to a database that keeps what it got.
//   smuggling [--cases N] [--seed S] [--only CASE]
// The last line is the figure; the exit code is 1 when anything was desynchronised.
#include <cstring>

#include "oracle.h"
#include "tests/net/support.h"

using namespace vmproxy;
using namespace vmproxy::smuggling;
using net::test::FakeUpstream;
using net::test::Proxy;
using net::test::Socket;

namespace {

// Reads strictly, keeps everything, answers whole requests and hangs up on what is none.
FakeUpstream::Serve echo(Log& log) {
  return [&log](Socket& socket, int) {
    std::string bytes;
    size_t answered = 0;
    for (;;) {
      const auto read = read_strictly(bytes);
      for (; answered < read.requests.size(); ++answered) {
        log.arrived(read.requests[answered]);
        socket.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      }
      if (!read.problem.empty()) break;
      const auto more = socket.receive(std::chrono::minutes(10));
      if (more.empty()) break;
      bytes += more;
    }
    log.connection(bytes);
  };
}

// The same in HTTP/2, by a server of ours.
boost::asio::awaitable<void> echo_http2(net::Exchange& exchange, Log& log) {
  if (!co_await exchange.read_body(1 << 20)) co_return;
  const auto& request = exchange.request();
  log.arrived({request.method, request.target, request.headers.all(), false, request.body});
  net::Response response;
  response.body = "ok";
  (void)co_await exchange.reply(std::move(response));
}

boost::asio::awaitable<void> proxy(net::Exchange& exchange, net::Upstream& upstream, bool hold, Log& log) {
  const size_t index = log.believe(exchange.head());
  if (!hold) {
    net::Response answer;
    answer.status = 0;
    const auto passed = co_await exchange.pass(upstream, &answer);
    if (answer.status == 200) log.answered(index);
    if (!passed) co_await net::test::reply_error(exchange, passed.error());
    co_return;
  }
  if (const auto read = co_await exchange.read_body(1 << 20); !read)
    co_return co_await net::test::reply_error(exchange, read.error());
  const auto answer = co_await exchange.forward(upstream, exchange.deadline(), 1 << 20, [] { return true; });
  if (!answer) co_return co_await net::test::reply_error(exchange, answer.error());
  if (answer->status == 200) log.answered(index);
  (void)co_await exchange.reply_upstream();
}

// All servers of a batch; what they saw is whole when this has gone.
class Lanes {
 public:
  explicit Lanes(Log& log)
      : http1_(echo(log)),
        http2_([&log](net::Exchange& exchange) { return echo_http2(exchange, log); }),
        to_http1_(http1_.options()),
        to_http2_([this] {
          net::UpstreamOptions options;
          options.host = "127.0.0.1";
          options.port = http2_.port;
          return options;
        }()),
        fronts_{front(to_http1_, false, log), front(to_http1_, true, log), front(to_http2_, false, log),
                front(to_http2_, true, log)} {}

  void play(Played& played, bool hold, Choices& choices) {
    const size_t lane = (played.http2 && !played.to_http1 ? 2 : 0) + (hold ? 1 : 0);
    auto client = Socket::to(fronts_[lane].port);
    if (played.http2) {
      say(client,
          "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + std::string("\0\0\0\4\0\0\0\0\0", 9) + played.one.bytes,
          choices);
      played.ended = http2_ended(client);
    } else {
      say(client, played.one.bytes, choices);
      played.answers = client.receive_all();
      played.ended = client.closed_within(std::chrono::milliseconds(1));
    }
  }

 private:
  static Proxy front(net::Upstream& upstream, bool hold, Log& log) {
    return Proxy(
        [&upstream, hold, &log](net::Exchange& exchange) { return proxy(exchange, upstream, hold, log); });
  }

  // At once, or in two pieces that may come apart.
  static void say(Socket& client, const std::string& bytes, Choices& choices) {
    const size_t cut = choices.below(4) == 0 ? choices.below(bytes.size()) : 0;
    client.send(std::string_view(bytes).substr(0, cut));
    if (cut > 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    client.send(std::string_view(bytes).substr(cut));
  }

  // The end of stream 1 or of the connection.
  static bool http2_ended(Socket& client) {
    std::string bytes;
    for (;;) {
      const auto more = client.receive();
      if (more.empty()) return client.closed_within(std::chrono::milliseconds(1));
      bytes += more;
      while (bytes.size() >= 9) {
        const size_t length = static_cast<uint8_t>(bytes[1]) * size_t{256} + static_cast<uint8_t>(bytes[2]);
        if (bytes.size() < 9 + length) break;
        const auto type = static_cast<uint8_t>(bytes[3]);
        const bool of_stream = bytes.substr(5, 4) == std::string("\0\0\0\1", 4);
        if (type == 7 || (of_stream && (type == 3 || (type <= 1 && (bytes[4] & 1) != 0)))) return true;
        bytes.erase(0, 9 + length);
      }
    }
  }

  FakeUpstream http1_;
  Proxy http2_;
  net::Upstream to_http1_, to_http2_;
  Proxy fronts_[4];
};

}  // namespace

int main(int argc, char** argv) {
  size_t cases = 60, seed = 1, only = SIZE_MAX;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--cases") == 0) cases = std::stoul(argv[i + 1]);
    if (std::strcmp(argv[i], "--seed") == 0) seed = std::stoul(argv[i + 1]);
    if (std::strcmp(argv[i], "--only") == 0) only = std::stoul(argv[i + 1]);
  }
  constexpr size_t batch_cases = 200;
  size_t played = 0, refused = 0, found = 0;
  for (size_t begin = 0; begin < cases; begin += batch_cases) {
    Log log;
    std::vector<Played> batch;
    {
      Lanes lanes(log);
      for (size_t i = begin; i < std::min(cases, begin + batch_cases); ++i) {
        if (only != SIZE_MAX && i != only) continue;
        // HTTP/1 twice, HTTP/2 to a database of HTTP/1, HTTP/2 to one of HTTP/2; every mutator on each way in turn.
        const size_t way = i % 4, turn = i / 4;
        Choices choices(seed * 1'000'003 + i);
        Played one;
        one.prefix = "case-" + std::to_string(i);
        one.http2 = way >= 2;
        one.to_http1 = way == 2;
        one.one = one.http2 ? http2_case(turn % http2_mutators(), one.prefix, choices)
                            : http1_case(turn % http1_mutators(), one.prefix, choices);
        lanes.play(one, way == 1 || (way >= 2 && turn % 2 == 1), choices);
        batch.push_back(std::move(one));
      }
    }
    const auto verdict = judge(batch, log);
    for (const auto& line : verdict.findings) std::printf("%s\n", line.c_str());
    for (const auto& one : batch) {
      if (only != SIZE_MAX) std::printf("%s: %s\n", one.prefix.c_str(), one.one.mutator.c_str());
    }
    played += batch.size();
    refused += verdict.refused;
    found += verdict.findings.size();
  }
  std::printf("%zu cases, %zu refused, %zu desynchronised\n", played, refused, found);
  return found == 0 && played > 0 ? 0 : 1;
}
