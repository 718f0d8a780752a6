// A database that speaks HTTP/2, or something like it, towards the session that carries the proxy's requests.
#include <sys/socket.h>
#include <unistd.h>

#include "net/http1_head.h"
#include "net/http2_upstream.h"
#include "tests/fuzz/target.h"

using namespace vmproxy;
using namespace vmproxy::net;
using fuzz::must;

namespace {

class Answered final : public Http2UpstreamStream {
 public:
  using Http2UpstreamStream::Http2UpstreamStream;

 private:
  void check(const Headers& headers) {
    size_t bytes = 0;
    for (const auto& [name, value] : headers.all()) {
      must(is_token(name) && is_field_value(value), "a field of an answer is one line");
      bytes += name.size() + value.size();
    }
    must(bytes <= 256 * 1024, "the fields of an answer are within their bound");
  }
  void on_head(Http2Head head, bool) override {
    must(!head_seen && !finished(), "one head, before the end");
    head_seen = true;
    check(head.headers);
  }
  void on_data(std::string_view bytes) override {
    must(head_seen && !finished(), "data behind a head");
    consumed(bytes.size());
  }
  void on_trailers(Headers trailers) override { check(trailers); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static asio::io_context io{1};
  Worker& worker = worker_of(io);
  int ends[2];
  must(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0, "a socket pair");
  Signal changed(worker.signals);
  auto session =
      std::make_shared<Http2Upstream>(worker, std::make_unique<UpstreamConnection>(worker, ends[0]));
  Http2Upstream::start(session);
  const auto work = [&] {
    io.restart();
    io.poll();
    char room[4096];
    while (::recv(ends[1], room, sizeof room, 0) > 0) {
    }
  };
  {
    Answered first(changed), second(changed);
    const Http2Head head{"POST", "http", "h", "/s/m", 0, {{"te", "trailers"}}};
    must(session->request(first, head, false) && session->request(second, head, true),
         "a fresh session takes requests");
    first.send_data("body");
    first.send_end();
    work();
    std::string_view bytes = fuzz::text_of(data, size);
    while (!bytes.empty() && session->alive()) {
      const ssize_t sent = ::send(ends[1], bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent > 0) bytes.remove_prefix(static_cast<size_t>(sent));
      if (sent < 0 && errno != EAGAIN) break;
      work();
    }
    ::shutdown(ends[1], SHUT_WR);
    for (int rounds = 0; rounds < 1000 && session->alive(); ++rounds) work();
    must(!session->alive() && first.closed && second.closed, "streams end with their connection");
  }
  session.reset();
  work();
  ::close(ends[1]);
  return 0;
}
