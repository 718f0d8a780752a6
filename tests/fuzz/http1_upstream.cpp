// A database that speaks HTTP/1.1, or something like it, behind the proxy: what it says on each of its connections is what follows
// the first byte of an input. That byte says what the client asks and how its requests are carried.
#include "net/body_framer.h"
#include "passing.h"

using namespace vmproxy;
using fuzz::must;

namespace {

struct Request {
  std::string_view method, text;
};
constexpr Request requests[] = {
    {"GET", "GET /a HTTP/1.1\r\nHost: h\r\n"},
    {"HEAD", "HEAD /a HTTP/1.1\r\nHost: h\r\n"},
    {"POST", "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n"},
    {"POST", "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"},
};
constexpr std::string_view bodies[] = {"", "", "body", "4\r\nbody\r\n0\r\n\r\n"};

// Takes one answer, with what comes before it; nothing: it was cut in its body, and all of it is taken.
std::optional<std::string_view> take_answer(std::string_view& rest, std::string_view method) {
  for (;;) {
    size_t scanned = 0;
    must(net::scan_head(rest, scanned) == net::HeadScan::complete, "a client never gets a part of a head");
    net::Http1Head head;
    must(net::parse_response_head(rest.substr(0, scanned), method, head), "nor one that can be misread");
    if (head.status < 200) {
      rest.remove_prefix(scanned);
      continue;
    }
    net::BodyFramer body(head);
    const size_t taken = body.take(rest.substr(scanned));
    must(!body.bad(), "a client gets whole chunks");
    body.peer_ended();
    const auto answer = rest.substr(0, scanned + taken);
    rest.remove_prefix(answer.size());
    if (!body.complete()) return std::nullopt;
    return answer;
  }
}

// But for what says that the connection ends, which our own client asked of the second one.
std::string without_connection(std::string_view answer) {
  std::string out;
  for (size_t at = 0; at < answer.size();) {
    const size_t end = std::min(answer.find("\r\n", at), answer.size() - 2) + 2;
    const auto line = answer.substr(at, end - at);
    if (line == "\r\n") return out.append(answer.substr(at));
    if (!line.starts_with("Connection: ") && !line.starts_with("connection: ")) out += line;
    at = end;
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const bool reuses = (data[0] & 2) != 0;
  const size_t which = (data[0] >> 2) % std::size(requests);
  const auto& asked = requests[which];
  auto& database = fuzz::HostileServer::instance();
  database.say(fuzz::text_of(data, size).substr(1));
  const std::string text(asked.text), body(bodies[which]);
  const std::string answered =
      fuzz::converse(text + "\r\n" + body + text + "Connection: close\r\n\r\n" + body,
                     fuzz::listener_before_database((data[0] & 1) != 0, reuses), false);
  must(answered.size() <= 2 * (size + 1024), "answers are not much larger than what the database says");
  std::string_view rest = answered;
  if (rest.empty()) return 0;
  const auto first = take_answer(rest, asked.method);
  if (rest.empty()) return 0;
  must(first.has_value(), "nothing comes behind an answer that was cut");
  const auto second = take_answer(rest, asked.method);
  must(rest.empty(), "no more answers than requests");
  // On connections of their own the same is said to both.
  if (!reuses && second)
    must(without_connection(*first) == without_connection(*second), "each request has the answer to it");
  return 0;
}
