// Mutators of HTTP/1.1. Each takes a sound request with a smuggled one in its body, and makes its framing doubtful.
#include <iterator>

#include "cases.h"

namespace vmproxy::smuggling {
namespace {

struct Draft {
  std::string prefix;
  std::string line;                 // "POST /prefix/first HTTP/1.1"
  std::vector<std::string> fields;  // whole lines, without their ends
  std::string body;
  std::string end_of_line = "\r\n";  // of one line alone: see `odd`
  size_t odd = SIZE_MAX;             // 0: the request line, 1...: the fields, then the empty line
  Expected expected = Expected::refused;

  std::string smuggled() const { return "GET /" + prefix + "/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"; }
  void length(size_t bytes) { fields.push_back("Content-Length: " + std::to_string(bytes)); }
  void as_chunks() {
    char size[20];
    std::snprintf(size, sizeof size, "%zx", body.size());
    body = std::string(size) + "\r\n" + body + "\r\n0\r\n\r\n";
    fields.push_back("Transfer-Encoding: chunked");
  }
};

std::string anywhere(std::string text, const std::string& piece, Choices& choices) {
  return text.insert(choices.below(text.size() + 1), piece);
}

void length_and_chunked(Draft& d, Choices& c) {
  d.body = "0\r\n\r\n" + d.smuggled();
  const std::string coding = c.one_of({"chunked", "Chunked", " chunked", "chunked ", "\tchunked", "identity",
                                       "xchunked", "chunked, identity", "\"chunked\"", ""});
  d.length(d.body.size());
  d.fields.insert(d.fields.begin() + static_cast<ptrdiff_t>(c.below(d.fields.size() + 1)),
                  "Transfer-Encoding:" + coding);
}

void several_lengths(Draft& d, Choices& c) {
  const std::string size = std::to_string(d.body.size());
  const size_t kind = c.below(3);
  if (kind == 0) {
    d.fields.push_back("Content-Length: " + c.one_of({"0", "1", "4"}));
    d.fields.push_back("Content-Length: " + size);
  } else if (kind == 1) {
    d.fields.push_back("Content-Length: " + size);
    d.fields.push_back("content-length: " + size);
  } else {
    d.fields.push_back("Content-Length: " + c.one_of({"+", "-", "0x", "", "1 ", "1,", "1e", "\"", "\xb2"}) +
                       size + c.one_of({";", ", 5", " 0", "a", "\"", ",", ".0"}));
  }
}

void bad_chunk(Draft& d, Choices& c) {
  const std::string size = c.one_of(
      {"0x5", "+5", "-5", " 5", "5 ", "5\t", "", "g", "fffffffffffffffff", "5_", "5\v", "５", "5.0"});
  const std::string end = c.one_of({"\r\n", "\n", "\r", "\r\r\n", "\n\r\n"});
  d.body = size + end + "hello" + c.one_of({"\r\n", "\n", "", "\r", "x\r\n"}) + "0\r\n\r\n" + d.smuggled();
  d.fields.push_back("Transfer-Encoding: chunked");
}

void odd_line_end(Draft& d, Choices& c) {
  d.length(d.body.size());
  d.odd = c.below(d.fields.size() + 2);
  d.end_of_line = c.one_of({"\n", "\r", "\r\r\n", "\n\r", "\v\n", "\xe2\x80\xa8"});
  // Then two lines are one field, perhaps a sound one.
  if (d.end_of_line == "\xe2\x80\xa8") d.expected = Expected::either;
}

void control(Draft& d, Choices& c) {
  d.length(d.body.size());
  const std::string byte(1, "\0\1\x7f\v\f\b\r\n"[c.below(8)]);
  const size_t where = c.below(3);
  if (where == 0) {
    d.line = anywhere(d.line, byte, c);
  } else if (where == 1) {
    d.fields.push_back(anywhere("X-Name", byte, c) + ": value");
  } else {
    d.fields.push_back("X-Name: " + anywhere("value", byte, c));
  }
}

void fold(Draft& d, Choices& c) {
  d.fields.push_back(c.one_of({"X-Name: a", "Transfer-Encoding:", "Content-Length:"}) + std::string("\r\n") +
                     c.one_of({" ", "\t", "  \t"}) + c.one_of({"chunked", "0", "Content-Length: 0"}));
  d.length(d.body.size());
}

void blank_before_colon(Draft& d, Choices& c) {
  d.body = "0\r\n\r\n" + d.smuggled();
  d.length(d.body.size());
  const std::string blank = c.one_of({" ", "\t", "\xa0", "\v", "\x85"});
  d.fields.push_back(c.below(2) == 0 ? "Transfer-Encoding" + blank + ": chunked"
                                     : blank + "Transfer-Encoding: chunked");
}

void no_name(Draft& d, Choices& c) {
  d.length(d.body.size());
  d.fields.push_back(
      c.one_of({": value", ":", "no colon", "a b: c", "a(b): c", "a\"b: c", "a/b: c", "a\xff: c", "a@b: c"}));
}

void other_host(Draft& d, Choices& c) {
  d.length(d.body.size());
  const size_t kind = c.below(4);
  if (kind == 0) {
    d.fields.push_back("Host: b");
  } else if (kind == 1) {
    std::erase(d.fields, "Host: a");
  } else if (kind == 2) {
    d.fields.push_back("hOST : b");
  } else {  // sound, and the database's own affair
    d.line =
        "POST " + c.one_of({"http://other", "http://a@b:1", "//x", "*"}) + "/" + d.prefix + "/first HTTP/1.1";
    d.expected = Expected::accepted;
  }
}

void codings(Draft& d, Choices& c) {
  d.as_chunks();
  d.fields.pop_back();
  if (c.below(3) == 0) {
    d.fields.push_back("Transfer-Encoding: chunked");
    d.fields.push_back(
        c.one_of({"Transfer-Encoding: chunked", "Transfer-Encoding: identity", "transfer-encoding:"}));
  } else {
    d.fields.push_back("Transfer-Encoding: " +
                       c.one_of({"gzip, chunked", "chunked, chunked", "chunked, gzip", "chunked;q=1",
                                 "\vchunked", "chunked\\", "chunke", "chunkedd", ", chunked", "cow"}));
  }
}

void framing_in_trailers(Draft& d, Choices& c) {
  d.as_chunks();
  d.body.resize(d.body.size() - 2);
  d.body += c.one_of({"Content-Length: 5", "Transfer-Encoding: chunked", "Host: b", "content-length:0",
                      "Connection: x", "X-Name", ": x", "X-Name : y", " folded", "X\x01: y"}) +
            "\r\n\r\n";
}

void request_line(Draft& d, Choices& c) {
  d.length(d.body.size());
  const std::string target = "/" + d.prefix + "/first";
  const std::vector<std::string> lines{"POST  " + target + " HTTP/1.1",
                                       "POST " + target + "  HTTP/1.1",
                                       "POST\t" + target + "\tHTTP/1.1",
                                       " POST " + target + " HTTP/1.1",
                                       "POST " + target + " HTTP/1.1 ",
                                       "POST " + target + " http/1.1",
                                       "POST " + target + " HTTP/1.2",
                                       "POST " + target + " HTTP/2.0",
                                       "POST " + target,
                                       "PO ST " + target + " HTTP/1.1",
                                       "POST " + target + " x HTTP/1.1",
                                       "POST " + target + " HTTP/01.1",
                                       "POST " + target + " HTTP/1.1\x01",
                                       "P\xd6ST " + target + " HTTP/1.1",
                                       "CONNECT " + target + " HTTP/1.1"};
  d.line = c.one_of(lines);
}

void nominated(Draft& d, Choices& c) {
  d.length(d.body.size());
  d.fields.push_back("Connection: " +
                     c.one_of({"Content-Length", "close, content-length", "Host", "Transfer-Encoding",
                               "keep-alive,host", "authorization", " Content-Type "}));
}

// Unusual and sound: what must not be refused, nor changed.
void unusual(Draft& d, Choices& c) {
  d.expected = Expected::accepted;
  const size_t kind = c.below(4);
  if (kind == 0) {
    d.as_chunks();
    d.body.insert(d.body.find('\r'), c.one_of({";name=value", ";", ";a=\"b\"", "; a"}));
  } else if (kind == 1) {
    d.as_chunks();
    d.body.insert(0, "000");
  } else {
    d.length(d.body.size());
    d.fields.push_back(
        c.one_of({"X-Name:", "X-Name:value", "X-Name: \t value \t", "X-Name: caf\xe9",
                  "Connection: keep-alive, X-Hop", "TE: trailers", "Keep-Alive: timeout=5", "Upgrade: h2c"}));
    if (kind == 3) d.line = "\r\n" + d.line;
  }
}

using Mutate = void (*)(Draft&, Choices&);
struct Mutator {
  const char* name;
  Mutate mutate;
};
constexpr Mutator mutators[] = {{"length_and_chunked", length_and_chunked},
                                {"several_lengths", several_lengths},
                                {"bad_chunk", bad_chunk},
                                {"odd_line_end", odd_line_end},
                                {"control", control},
                                {"fold", fold},
                                {"blank_before_colon", blank_before_colon},
                                {"no_name", no_name},
                                {"other_host", other_host},
                                {"codings", codings},
                                {"framing_in_trailers", framing_in_trailers},
                                {"request_line", request_line},
                                {"nominated", nominated},
                                {"unusual", unusual}};

}  // namespace

size_t http1_mutators() {
  return std::size(mutators);
}

Case http1_case(size_t mutator, const std::string& prefix, Choices& choices) {
  Draft d;
  d.prefix = prefix;
  d.line = "POST /" + prefix + "/first HTTP/1.1";
  d.fields = {"Host: a", "Content-Type: application/json"};
  d.body = "{\"text\":\"\r\n" + d.smuggled() + "\"}";
  mutators[mutator].mutate(d, choices);
  std::string bytes;
  size_t line = 0;
  const auto end = [&] { return line++ == d.odd ? d.end_of_line : std::string("\r\n"); };
  bytes += d.line;
  bytes += end();
  for (const auto& field : d.fields) {
    bytes += field;
    bytes += end();
  }
  bytes += end();
  bytes += d.body;
  bytes += "GET /" + prefix + "/next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  return {mutators[mutator].name, d.expected, std::move(bytes), {}};
}

}  // namespace vmproxy::smuggling
