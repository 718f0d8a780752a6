// The log reads requests out of bytes that come in any pieces.
#include <zlib.h>

#include <catch2/catch.hpp>
#include <functional>

#include "http2_requests.h"
#include "request_reader.h"

using namespace vmproxy::faultproxy;

namespace {

uint32_t crc(std::string_view bytes) {
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
}

std::vector<LoggedRequest> read_in_pieces(std::string_view bytes, size_t piece) {
  RequestLog log;
  RequestReader reader(RequestNotes(log, "a", 3, Stage::passed));
  for (size_t at = 0; at < bytes.size(); at += piece) reader.feed(bytes.substr(at, piece));
  std::vector<LoggedRequest> out;
  for (auto number = log.first(); number < log.end(); ++number) out.push_back(*log.find(number));
  return out;
}

// The same whatever the pieces are.
void check(std::string_view bytes, const std::function<void(const std::vector<LoggedRequest>&)>& look) {
  for (const size_t piece : {size_t{1}, size_t{2}, size_t{7}, size_t{64}, bytes.size()}) {
    INFO("pieces of " << piece);
    look(read_in_pieces(bytes, piece));
  }
}

const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

std::string frame(uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload) {
  std::string out;
  for (const int shift : {16, 8, 0}) out += static_cast<char>(payload.size() >> shift);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(stream >> shift);
  return out + payload;
}

class Deflater {
 public:
  Deflater() { REQUIRE(nghttp2_hd_deflate_new(&deflater_, 4096) == 0); }
  ~Deflater() { nghttp2_hd_deflate_del(deflater_); }
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;

  std::string block(const std::vector<std::pair<std::string, std::string>>& fields) {
    std::vector<nghttp2_nv> pairs;
    for (const auto& [name, value] : fields) {
      pairs.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                       reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
                       NGHTTP2_NV_FLAG_NONE});
    }
    std::string out(4096, '\0');
    const auto bytes = nghttp2_hd_deflate_hd(deflater_, reinterpret_cast<uint8_t*>(out.data()), out.size(),
                                             pairs.data(), pairs.size());
    REQUIRE(bytes > 0);
    out.resize(static_cast<size_t>(bytes));
    return out;
  }
  std::string call(const std::string& path) {
    return block(
        {{":method", "POST"}, {":scheme", "http"}, {":path", path}, {":authority", "a"}, {"x-id", path}});
  }

 private:
  nghttp2_hd_deflater* deflater_ = nullptr;
};

constexpr uint8_t data = 0, headers = 1, reset_stream = 3, settings = 4, continuation = 9;
constexpr uint8_t end_stream = 1, end_headers = 4, padded = 8, priority = 32;

}  // namespace

TEST_CASE("HTTP/1.1 requests are found one after the other, with their bodies unwrapped") {
  const std::string bytes =
      "GET /1?x=y HTTP/1.1\r\nHost: a\r\nX-Id: one\r\n\r\n"
      "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
      "\r\nPUT /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
      "POST /4 HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly this";
  check(bytes, [](const auto& seen) {
    REQUIRE(seen.size() == 4);
    CHECK(seen[0].method == "GET");
    CHECK(seen[0].target == "/1?x=y");
    CHECK(seen[0].protocol == "http1");
    CHECK(seen[0].link == "a");
    CHECK(seen[0].connection == 3);
    CHECK(seen[0].headers.back() == std::pair<std::string, std::string>("X-Id", "one"));
    CHECK(seen[0].complete);
    CHECK(seen[1].body_bytes == 5);
    CHECK(seen[1].body_crc32 == crc("hello"));
    CHECK(seen[1].complete);
    CHECK(seen[2].method == "PUT");
    CHECK(seen[2].body_crc32 == crc("abcde"));
    CHECK(seen[2].complete);
    CHECK(seen[3].target == "/4");
    CHECK(seen[3].body_bytes == 9);
    CHECK_FALSE(seen[3].complete);
    CHECK(seen[3].at >= seen[2].at);  // of its head
  });
}

TEST_CASE("HTTP/2 requests are found by stream, however their heads are cut up and padded") {
  Deflater deflater;
  const auto first = deflater.call("/s/A");
  const auto second = deflater.call("/s/B");
  const auto third = deflater.call("/s/C");
  const auto trailers = deflater.block({{"x-trailer", "t"}});
  const auto fourth = deflater.call("/s/D");  // after the trailers, which change the table too
  const std::string bytes =
      preface + frame(settings, 0, 0, "") + frame(headers, end_headers, 1, first) +
      frame(headers, end_headers | padded | priority, 3, std::string("\4\0\0\0\0\7", 6) + second + "pad!") +
      frame(data, 0, 1, "12345") + frame(data, padded | end_stream, 3, std::string("\2", 1) + "abc" + "pp") +
      frame(headers, 0, 5, third.substr(0, 3)) + frame(continuation, 0, 5, third.substr(3, 2)) +
      frame(continuation, end_headers, 5, third.substr(5)) + frame(data, 0, 1, "67890") +
      frame(headers, end_headers | end_stream, 1, trailers) + frame(data, 0, 5, "") +
      frame(reset_stream, 0, 5, std::string("\0\0\0\x8", 4)) +
      frame(headers, end_headers | end_stream, 7, fourth);
  check(bytes, [](const auto& seen) {
    REQUIRE(seen.size() == 4);
    CHECK(seen[0].protocol == "http2");
    CHECK(seen[0].stream == 1);
    CHECK(seen[0].method == "POST");
    CHECK(seen[0].target == "/s/A");
    CHECK(seen[0].headers.back() == std::pair<std::string, std::string>("x-id", "/s/A"));
    CHECK(seen[0].body_crc32 == crc("1234567890"));
    CHECK(seen[0].complete);
    CHECK(seen[1].target == "/s/B");
    CHECK(seen[1].body_bytes == 3);
    CHECK(seen[1].body_crc32 == crc("abc"));
    CHECK(seen[1].complete);
    CHECK(seen[2].target == "/s/C");
    CHECK(seen[2].reset);
    CHECK_FALSE(seen[2].complete);
    CHECK(seen[3].target == "/s/D");
    CHECK(seen[3].complete);
  });
}

TEST_CASE("bytes that are no HTTP are noted as such and counted") {
  for (const std::string& bytes :
       {std::string("\0\0\0\x8\x4\xd2\x16\x2f", 8), std::string("\x16\x3\x1 a handshake"),
        std::string("no request\r\n\r\n")}) {
    RequestLog log;
    RequestReader reader(RequestNotes(log, "a", 1, Stage::arrived));
    reader.feed(bytes);
    reader.feed("more");
    REQUIRE(log.end() == 1);
    CHECK(log.find(0)->protocol == "other");
    CHECK(log.find(0)->body_bytes == bytes.size() + 4);
  }
}

TEST_CASE("damaged HTTP/2 ends the reading, not the program") {
  for (const auto& damage :
       {frame(headers, end_headers, 1, std::string(20, '\xff')), frame(continuation, end_headers, 1, "x"),
        frame(data, padded, 1, ""), frame(data, padded, 1, "\x9 short"), frame(headers, padded, 1, ""),
        frame(headers, priority, 1, "abc")}) {
    const auto seen = read_in_pieces(preface + damage + frame(data, 0, 1, "x"), 1);
    REQUIRE(seen.size() == 1);
    CHECK(seen[0].protocol == "other");
  }
}

TEST_CASE("a full log counts what it does not keep, and goes on when it is emptied") {
  RequestLog log(2);
  RequestNotes notes(log, "a", 1, Stage::passed);
  const auto first = notes.begin({});
  notes.begin({});
  const auto third = notes.begin({});
  notes.body(third, "not kept");
  notes.complete(third);
  CHECK(log.dropped() == 1);
  CHECK(log.end() == 2);
  log.forget();
  notes.complete(first);
  CHECK(log.find(first) == nullptr);
  CHECK(notes.begin({}) == 2);
  CHECK(log.first() == 2);
  CHECK(log.end() == 3);
}
