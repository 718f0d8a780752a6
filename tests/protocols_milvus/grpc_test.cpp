#include "protocols/wire/grpc.h"

#include <rapidcheck/catch.h>
#include <zlib.h>

#include <catch2/catch.hpp>

using namespace vmproxy;
using namespace vmproxy::protocols::wire;

namespace {

std::string gzip(std::string_view text) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, text.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string compressed_frame(std::string_view message) {
  std::string frame = grpc_frame(gzip(message));
  frame[0] = 1;
  return frame;
}

}  // namespace

TEST_CASE("framed messages come out as they went in, compressed or not") {
  rc::prop("frames", [](const std::vector<std::string>& messages, bool compress) {
    std::string body;
    for (const auto& m : messages) body += compress ? compressed_frame(m) : grpc_frame(m);
    const auto read = grpc_messages(body, compress ? "gzip" : "", 1 << 20);
    RC_ASSERT(read.has_value());
    RC_ASSERT((*read == messages));
  });
}

TEST_CASE("a body cut at any byte is refused") {
  const std::string body = grpc_frame("first") + compressed_frame("second");
  for (size_t cut = 0; cut < body.size(); ++cut) {
    const auto read = grpc_messages(std::string_view(body).substr(0, cut), "gzip", 1000);
    INFO(cut);
    if (cut == 0 || cut == 10) {
      CHECK(read.has_value());
    } else {
      REQUIRE_FALSE(read.has_value());
      CHECK(read.error().code == Code::invalid);
    }
  }
}

TEST_CASE("a unary call holds exactly one message") {
  CHECK(*grpc_message(grpc_frame("x"), "", 10) == "x");
  CHECK(*grpc_message(grpc_frame(""), "", 10) == "");
  CHECK_FALSE(grpc_message("", "", 10).has_value());
  CHECK_FALSE(grpc_message(grpc_frame("x") + grpc_frame("y"), "", 10).has_value());
}

TEST_CASE("messages above the bound are refused before and after inflating") {
  const auto announced = grpc_messages(grpc_frame(std::string(100, 'x')), "", 99);
  REQUIRE_FALSE(announced.has_value());
  CHECK(announced.error().code == Code::too_large);
  CHECK(announced.error().message == "grpc: received message larger than max (100 vs. 99)");
  const std::string bomb = compressed_frame(std::string(50'000'000, '\0'));
  REQUIRE(bomb.size() < 60'000);
  const auto inflated = grpc_messages(bomb, "gzip", 1'000'000);
  REQUIRE_FALSE(inflated.has_value());
  CHECK(inflated.error().code == Code::too_large);
  CHECK(grpc_message(compressed_frame(std::string(1000, 'x')), "gzip", 1000).has_value());
}

TEST_CASE("unknown flags, unknown encodings and broken gzip are refused") {
  std::string flag = grpc_frame("x");
  flag[0] = 2;
  CHECK_FALSE(grpc_messages(flag, "gzip", 10).has_value());
  CHECK(grpc_messages(compressed_frame("x"), "snappy", 100).error().code == Code::unsupported);
  CHECK_FALSE(grpc_messages(compressed_frame("x"), "identity", 100).has_value());
  std::string broken = compressed_frame("some text");
  broken[20] ^= 0x55;
  CHECK_FALSE(grpc_messages(broken, "gzip", 100).has_value());
  CHECK_FALSE(gunzip("", 100).has_value());
  CHECK_FALSE(gunzip(gzip("a") + "trailing", 100).has_value());
}

TEST_CASE("error texts survive the trailer, whatever bytes they hold") {
  rc::prop("text", [](const std::string& text) {
    const std::string encoded = grpc_encode_text(text);
    for (const char c : encoded) RC_ASSERT(c >= 0x20 && c <= 0x7e);
    RC_ASSERT((grpc_decode_text(encoded) == text));
  });
  CHECK(grpc_encode_text("100% é\n") == "100%25 %C3%A9%0A");
  CHECK(grpc_decode_text("50% %zz %4") == "50% %zz %4");
}

TEST_CASE("status codes are numbers up to 16, anything else is unknown") {
  CHECK(grpc_code("0") == GrpcCode::ok);
  CHECK(grpc_code("14") == GrpcCode::unavailable);
  CHECK(grpc_code("17") == GrpcCode::unknown);
  CHECK(grpc_code("-1") == GrpcCode::unknown);
  CHECK(grpc_code("") == GrpcCode::unknown);
  CHECK(grpc_code("0x") == GrpcCode::unknown);
}
