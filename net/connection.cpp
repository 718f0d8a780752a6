#include "net/connection.h"

namespace vmproxy::net {
namespace {

constexpr std::string_view http2_preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

}  // namespace

Connection::Connection(Worker& w, std::shared_ptr<const Listener> l, ConnectionList& list, int fd)
    : worker(w),
      listener(std::move(l)),
      stream(w, fd),
      timer(w.deadlines,
            [this] {
              if (on_expired) {
                on_expired();
              } else {
                stream.close();
              }
            }),
      list_(list) {
  list_.all.insert(this);
}

Connection::~Connection() {
  list_.all.erase(this);
  --list_.count;
}

void Connection::drain() {
  draining = true;
  if (on_drain) on_drain();
}

asio::awaitable<void> Connection::run() {
  timer.set(std::chrono::steady_clock::now() + listener->options.head_timeout);
  bool http2 = false;
  if (listener->tls) {
    if (co_await stream.handshake_server(*listener->tls)) co_return;
    http2 = stream.negotiated_http2();
  }
  // HTTP/2 with prior knowledge begins with a preface that is no HTTP/1 request anybody sends.
  timer.set(std::chrono::steady_clock::now() + listener->options.idle_timeout);
  busy = false;
  while (!http2) {
    const auto [failed, bytes] = co_await stream.read_some(buffer.space(4096));
    if (failed) co_return;
    buffer.filled(bytes);
    const auto begun = buffer.bytes().substr(0, http2_preface.size());
    if (begun != http2_preface.substr(0, begun.size())) break;
    http2 = begun.size() == http2_preface.size();
    timer.set(std::chrono::steady_clock::now() + listener->options.head_timeout);
  }
  busy = true;
  if (http2) {
    co_await run_http2(*this);
  } else {
    co_await run_http1(*this);
  }
}

asio::awaitable<void> Connection::linger() {
  on_expired = nullptr;
  timer.set(std::chrono::steady_clock::now() + std::chrono::seconds(1));
  if (stream.encrypted()) {
    co_await stream.say_goodbye();
    co_return;
  }
  stream.end_writing();
  for (size_t discarded = 0; discarded < (1u << 20);) {
    buffer.consume(buffer.size());
    const auto [failed, bytes] = co_await stream.read_some(buffer.space(4096));
    if (failed) co_return;
    discarded += bytes;
  }
}

}  // namespace vmproxy::net
