// Mutators of HTTP/2: what a server behind us that speaks HTTP/1 could take for a framing, for a line or for a request.
#include <iterator>

#include "cases.h"

namespace vmproxy::smuggling {
namespace {

enum : uint8_t { data = 0, headers = 1, continuation = 9 };
enum : uint8_t { end_stream = 1, end_headers = 4 };

std::string frame(uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload) {
  std::string out;
  for (const int shift : {16, 8, 0}) out += static_cast<char>(payload.size() >> shift);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(stream >> shift);
  return out + payload;
}

// A field of a header block, literal and not indexed (RFC 7541, 6.2.2).
std::string field(const std::string& name, const std::string& value) {
  std::string out(1, '\0');
  for (const auto* text : {&name, &value}) {
    if (text->size() < 127) {
      out += static_cast<char>(text->size());
    } else {
      out += '\x7f';
      size_t rest = text->size() - 127;
      for (; rest >= 128; rest /= 128) out += static_cast<char>(rest % 128 | 128);
      out += static_cast<char>(rest);
    }
    out += *text;
  }
  return out;
}

struct Draft {
  std::string prefix;
  std::string method = "POST", path, scheme = "http", authority = "a";
  std::vector<std::pair<std::string, std::string>> fields;
  std::string body, trailers;
  std::string block;  // instead of all of the above fields, when it is not empty
  Expected expected = Expected::refused;

  std::string smuggled() const { return "GET /" + prefix + "/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"; }
  std::string lines() const { return " HTTP/1.1\r\nHost: a\r\n\r\n" + smuggled(); }
};

void injected_path(Draft& d, Choices& c) {
  d.path += c.one_of({" HTTP/1.1\r\nX: y", "\r\n\r\n", "\n", "\r", " ", "\t", "\x7f"});
  if (c.below(2) == 0) d.path = "/" + d.prefix + "/first" + d.lines();
}

void injected_method(Draft& d, Choices& c) {
  d.method = c.one_of({"GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST", "PO ST", "POST\r\n", "POST\n", "", "P\x7fST",
                       "PO\tST", "P\"ST"});
}

void injected_authority(Draft& d, Choices& c) {
  d.authority = "a" + c.one_of({"\r\nTransfer-Encoding: chunked", "\r\n\r\n", "\n", "\r", "\x01"});
}

// A field that cannot be one is dropped by HTTP/2, or the request is refused.
void injected_value(Draft& d, Choices& c) {
  d.expected = Expected::either;
  d.fields.emplace_back("x-name", "value" + c.one_of({"\r\nTransfer-Encoding: chunked", "\r\n\r\n", "\n",
                                                      "\r", "\x01", "\x7f"}));
  if (c.below(2) == 0) d.fields.back().second += "\r\n\r\n" + d.smuggled();
}

void injected_name(Draft& d, Choices& c) {
  d.expected = Expected::either;
  d.fields.emplace_back(c.one_of({"x: y\r\ntransfer-encoding", "transfer-encoding: chunked\r\nx", "x\r",
                                  "x\n", "x ", " x", "x:", "", "x\x01", "X-Name", "x\xff"}),
                        "chunked");
}

void coding(Draft& d, Choices& c) {
  d.body = "0\r\n\r\n" + d.smuggled();
  d.fields.emplace_back("transfer-encoding", c.one_of({"chunked", "identity", "gzip, chunked", "xchunked"}));
}

void hop(Draft& d, Choices& c) {
  d.fields.emplace_back(c.one_of({"connection", "keep-alive", "proxy-connection", "upgrade"}),
                        c.one_of({"transfer-encoding", "close", "content-length", "h2c"}));
}

void wrong_length(Draft& d, Choices& c) {
  const size_t kind = c.below(3);
  const std::string size = std::to_string(d.body.size());
  if (kind == 0) {
    d.fields.emplace_back("content-length", std::to_string(d.body.size() + (c.below(2) == 0 ? 1 : 100)));
  } else if (kind == 1) {
    d.fields.emplace_back("content-length", std::to_string(c.below(d.body.size())));
  } else {
    d.fields.emplace_back("content-length",
                          c.one_of({"+", "-", "0x", " ", ""}) + size + c.one_of({"a", ",0", " 0", ";"}));
  }
}

void two_lengths(Draft& d, Choices& c) {
  d.fields.emplace_back("content-length", std::to_string(d.body.size()));
  d.fields.emplace_back("content-length", c.one_of({"0", "5"}));
}

void pseudo(Draft& d, Choices& c) {
  const auto usual = field(":method", "POST") + field(":scheme", "http") + field(":path", d.path);
  const std::vector<std::string> blocks{
      usual + field(":path", "/" + d.prefix + "/smuggled"),
      usual + field(":method", "GET"),
      field("x-name", "first") + usual,
      usual + field(":status", "200"),
      usual + field(":protocol", "websocket"),
      usual + field(":other", "x"),
      field(":method", "POST") + field(":scheme", "http"),
      field(":method", "POST") + field(":path", d.path),
      field(":scheme", "http") + field(":path", d.path),
      usual + field(":", "x"),
      field(":method", "POST") + field(":scheme", "http") + field(":path", "")};
  d.block = c.one_of(blocks);
}

void hosts(Draft& d, Choices& c) {
  d.fields.emplace_back("host", c.one_of({"b", "a"}));
  d.expected = Expected::either;  // one of the two goes on or both; what does stays within its fields
  if (c.below(2) == 0) d.fields.emplace_back("host", "c");
}

void trailers(Draft& d, Choices& c) {
  const size_t kind = c.below(3);
  if (kind == 0) {
    d.trailers = field(c.one_of({":path", ":method", ":status", ":scheme"}), "/" + d.prefix + "/smuggled");
  } else if (kind == 1) {
    d.trailers = field("x-sum", "1\r\n\r\n" + d.smuggled());
    d.expected = Expected::either;
  } else {
    d.trailers = field(c.one_of({"content-length", "transfer-encoding", "connection", "host"}), "5");
    d.expected = Expected::either;
  }
}

void unusual(Draft& d, Choices& c) {
  d.expected = Expected::accepted;
  d.fields.emplace_back("content-length", std::to_string(d.body.size()));
  d.fields.emplace_back("te", "trailers");
  if (c.below(2) == 0) d.trailers = field("x-sum", "1");
}

using Mutate = void (*)(Draft&, Choices&);
struct Mutator {
  const char* name;
  Mutate mutate;
};
constexpr Mutator mutators[] = {{"injected_path", injected_path},
                                {"injected_method", injected_method},
                                {"injected_authority", injected_authority},
                                {"injected_value", injected_value},
                                {"injected_name", injected_name},
                                {"coding", coding},
                                {"hop", hop},
                                {"wrong_length", wrong_length},
                                {"two_lengths", two_lengths},
                                {"pseudo", pseudo},
                                {"hosts", hosts},
                                {"trailers", trailers},
                                {"unusual", unusual}};

}  // namespace

size_t http2_mutators() {
  return std::size(mutators);
}

Case http2_case(size_t mutator, const std::string& prefix, Choices& choices) {
  Draft d;
  d.prefix = prefix;
  d.path = "/" + prefix + "/first";
  d.body = "{\"text\":\"\r\n" + d.smuggled() + "\"}";
  mutators[mutator].mutate(d, choices);
  std::string block = d.block;
  if (block.empty()) {
    block = field(":method", d.method) + field(":scheme", d.scheme) + field(":path", d.path) +
            field(":authority", d.authority);
    for (const auto& [name, value] : d.fields) block += field(name, value);
  }
  std::string bytes;
  if (choices.below(3) == 0) {  // the block in two frames
    const size_t cut = choices.below(block.size() + 1);
    bytes +=
        frame(headers, 0, 1, block.substr(0, cut)) + frame(continuation, end_headers, 1, block.substr(cut));
  } else {
    bytes += frame(headers, end_headers, 1, block);
  }
  const bool ends = d.trailers.empty();
  const size_t cut = choices.below(d.body.size() + 1);
  bytes += frame(data, 0, 1, d.body.substr(0, cut)) +
           frame(data, static_cast<uint8_t>(ends ? end_stream : 0), 1, d.body.substr(cut));
  if (!ends) bytes += frame(headers, end_stream | end_headers, 1, d.trailers);
  return {mutators[mutator].name, d.expected, std::move(bytes), d.body};
}

}  // namespace vmproxy::smuggling
