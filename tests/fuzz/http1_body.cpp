// A chunked body, cut in every way: its end, its bytes and its faults do not depend on how it came. What is accepted
// means the same to a second reader that knows only the grammar.
#include <charconv>
#include <optional>

#include "net/body_framer.h"
#include "tests/fuzz/target.h"

using namespace vmproxy::net;
using vmproxy::fuzz::must;

namespace {

struct Taken {
  std::string decoded;
  size_t consumed = 0;
  bool complete = false, bad = false;
  bool operator==(const Taken&) const = default;
};

Taken feed(std::string_view bytes, size_t step) {
  Http1Head head;
  head.body = BodyKind::chunked;
  BodyFramer framer(head);
  Taken out;
  while (out.consumed < bytes.size() && !framer.complete() && !framer.bad()) {
    const auto piece = bytes.substr(out.consumed, step);
    const size_t taken = framer.take(piece, &out.decoded);
    must(taken <= piece.size(), "no more than there is");
    must(taken == piece.size() || framer.complete() || framer.bad(), "no less without a reason");
    out.consumed += taken;
  }
  out.complete = framer.complete();
  out.bad = framer.bad();
  return out;
}

// The data of a complete body, by its lines alone.
std::optional<std::string> read_plainly(std::string_view body) {
  std::string data;
  for (;;) {
    const auto end = body.find("\r\n");
    if (end == body.npos) return std::nullopt;
    uint64_t size = 0;
    const auto [at, error] = std::from_chars(body.data(), body.data() + end, size, 16);
    if (error != std::errc() || (at != body.data() + end && *at != ';')) return std::nullopt;
    body.remove_prefix(end + 2);
    if (size == 0) break;
    if (size > body.size() || body.substr(size, 2) != "\r\n") return std::nullopt;
    data += body.substr(0, size);
    body.remove_prefix(size + 2);
  }
  while (!body.starts_with("\r\n")) {
    const auto end = body.find("\r\n");
    if (end == body.npos) return std::nullopt;
    body.remove_prefix(end + 2);
  }
  return body.size() == 2 ? std::optional(data) : std::nullopt;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = vmproxy::fuzz::text_of(data, size);
  const Taken whole = feed(bytes, bytes.size());
  for (const size_t step : {1, 2, 3, 7, 64}) must(feed(bytes, step) == whole, "however it was cut");
  must(whole.decoded.size() <= size, "data is no more than the body");
  if (whole.complete)
    must(read_plainly(bytes.substr(0, whole.consumed)) == whole.decoded, "a second reader agrees");
  return 0;
}
