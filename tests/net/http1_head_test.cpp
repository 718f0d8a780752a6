// Strict framing: every ambiguous head or chunk is refused.
#include "net/http1_head.h"

#include <catch2/catch.hpp>

#include "net/body_framer.h"

using namespace vmproxy::net;

namespace {

bool accepted(const std::string& head) {
  size_t scanned = 0;
  if (scan_head(head, scanned) != HeadScan::complete || scanned != head.size()) return false;
  Http1Head parsed;
  return parse_request_head(head, parsed);
}

std::string with(const std::string& fields) {
  return "POST /x HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
}

ChunkScanner::Status scan(const std::string& bytes, std::string* decoded = nullptr) {
  return ChunkScanner().scan(bytes, decoded).status;
}

}  // namespace

TEST_CASE("a plain request is accepted and taken apart") {
  const std::string text =
      "PUT /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\nX-Empty:\r\nX-Blank: \t y \t\r\n\r\n";
  Http1Head head;
  REQUIRE(parse_request_head(text, head));
  CHECK(head.method == "PUT");
  CHECK(head.target == "/a?b=c");
  CHECK(head.body == BodyKind::length);
  CHECK(head.length == 12);
  CHECK(head.as_it_came);
  CHECK(headers_of(head).find("x-blank") == "y");
  CHECK(headers_of(head).find("x-empty") == "");
}

TEST_CASE("ambiguous framings are refused") {
  const std::string zero("\0", 1);
  const std::vector<std::string> wrong = {
      with("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
      with("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n"),
      with("Content-Length: 1\r\nContent-Length: 1\r\n"),
      with("Content-Length: 1\r\nContent-Length: 2\r\n"),
      with("Content-Length: 1, 1\r\n"),
      with("Content-Length: +1\r\n"),
      with("Content-Length: -1\r\n"),
      with("Content-Length: 0x1\r\n"),
      with("Content-Length: 1 1\r\n"),
      with("Content-Length:\r\n"),
      with("Content-Length: 99999999999999999999\r\n"),
      with("Content-Length : 1\r\n"),
      with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
      with("Transfer-Encoding: gzip, chunked\r\n"),
      with("Transfer-Encoding: chunked, identity\r\n"),
      with("Transfer-Encoding: xchunked\r\n"),
      with("Transfer-Encoding: \"chunked\"\r\n"),
      with("Transfer-Encoding: chunked" + zero + "\r\n"),
      with("Transfer-Encoding\t: chunked\r\n"),
      with("Transfer-Encoding: \vchunked\r\n"),
      with("X: a\r\n b\r\n"),
      with(" X: folded\r\n"),
      with("X: a\rb\r\n"),
      with("X: a" + zero + "b\r\n"),
      with("X\x7f: a\r\n"),
      with(": empty name\r\n"),
      with("no colon\r\n"),
      with("X: a\nY: b\r\n"),
      with("Host: b\r\n"),
      with("Connection: content-length\r\n"),
      with("Connection: close, transfer-encoding\r\n"),
      with("Expect: something\r\n"),
      "POST /x HTTP/1.1\r\nContent-Length: 1\r\n\r\n",
      "POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
      "POST /x HTTP/1.1\nHost: a\n\n",
      "POST /x y HTTP/1.1\r\nHost: a\r\n\r\n",
      "POST /x\t HTTP/1.1\r\nHost: a\r\n\r\n",
      "POST /x HTTP/2.0\r\nHost: a\r\n\r\n",
      "POST /x HTTP/1.1 \r\nHost: a\r\n\r\n",
      "POST  HTTP/1.1\r\nHost: a\r\n\r\n",
      "POST /x\r\nHost: a\r\n\r\n",
      "P(ST /x HTTP/1.1\r\nHost: a\r\n\r\n",
      "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
      "\r\n\r\n",
  };
  for (const auto& text : wrong) {
    INFO(text);
    CHECK_FALSE(accepted(text));
  }
  CHECK(accepted(with("Content-Length: 1\r\n")));
  CHECK(accepted(with("transfer-encoding: Chunked\r\n")));
}

TEST_CASE("fields of one hop do not go on, the others keep spelling and order") {
  Http1Head head;
  const auto text = with(
      "Connection: close, X-Hop\r\nx-hop: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nUpgrade: "
      "h2c\r\nX-LAST:  Kept \r\n");
  REQUIRE(parse_request_head(text, head));
  CHECK_FALSE(head.as_it_came);
  CHECK_FALSE(head.keep_alive);
  CHECK(forwarded_head(head) == "POST /x HTTP/1.1\r\nHost: a\r\nX-LAST:  Kept \r\n\r\n");
}

TEST_CASE("an answer's body ends where its head says") {
  Http1Head head;
  REQUIRE(parse_response_head("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "GET", head));
  CHECK(head.body == BodyKind::length);
  REQUIRE(parse_response_head("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", head));
  CHECK(head.body == BodyKind::none);
  REQUIRE(parse_response_head("HTTP/1.1 204 No Content\r\n\r\n", "GET", head));
  CHECK(head.body == BodyKind::none);
  REQUIRE(parse_response_head("HTTP/1.1 200\r\n\r\n", "GET", head));
  CHECK(head.body == BodyKind::until_close);
  CHECK_FALSE(head.keep_alive);
  REQUIRE(
      parse_response_head("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=7, "
                          "max=3\r\nContent-Length: 0\r\n\r\n",
                          "GET", head));
  CHECK(head.keep_alive_timeout == std::chrono::seconds(7));
  CHECK(head.as_it_came);
  CHECK_FALSE(parse_response_head("HTTP/1.1 2000 OK\r\n\r\n", "GET", head));
  CHECK_FALSE(
      parse_response_head("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "GET", head));
  CHECK_FALSE(parse_response_head(
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", head));
  CHECK_FALSE(parse_response_head("HELLO\r\n\r\n", "GET", head));
}

TEST_CASE("chunks are found whatever way the bytes are cut") {
  const std::string bytes = "5;name=\"v\"\r\nhello\r\nA\r\n0123456789\r\n0\r\nX-Sum: 7\r\n\r\nNEXT";
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    ChunkScanner scanner;
    std::string decoded;
    auto step = scanner.scan(std::string_view(bytes).substr(0, cut), &decoded);
    size_t consumed = step.consumed;
    if (step.status == ChunkScanner::Status::need_more) {
      step = scanner.scan(std::string_view(bytes).substr(consumed), &decoded);
      consumed += step.consumed;
    }
    CHECK(step.status == ChunkScanner::Status::complete);
    CHECK(bytes.substr(consumed) == "NEXT");
    CHECK(decoded == "hello0123456789");
  }
}

TEST_CASE("malformed chunks are refused before their first wrong byte goes on") {
  using S = ChunkScanner::Status;
  for (const std::string wrong : {"x\r\n",
                                  "\r\n",
                                  " 5\r\nhello\r\n",
                                  "5 \r\nhello\r\n",
                                  "0x5\r\nhello\r\n",
                                  "+5\r\n",
                                  "-5\r\n",
                                  "5\nhello\r\n",
                                  "5\r\nhelloX",
                                  "5\r\nhello\n",
                                  "5\r\nhello\rX",
                                  "1234567890abcdef0\r\n",
                                  "5;a\nb\r\n",
                                  "5;\x01\r\n",
                                  "0\r\nContent-Length: 3\r\n\r\n",
                                  "0\r\nTransfer-Encoding: chunked\r\n\r\n",
                                  "0\r\n folded\r\n\r\n",
                                  "0\r\nX: a\nY: b\r\n\r\n",
                                  "0\r\n\n",
                                  "0\r\n\rX",
                                  "5\rXhello"}) {
    INFO(wrong);
    CHECK(scan(wrong) == S::bad);
  }
  CHECK(ChunkScanner().scan("5\r\nhelloX").consumed == 8);
}
