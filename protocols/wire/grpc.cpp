#include "protocols/wire/grpc.h"

#include <zlib.h>

#include <algorithm>
#include <charconv>

namespace vmproxy::protocols::wire {
namespace {

constexpr size_t prefix_bytes = 5;
constexpr char digits[] = "0123456789ABCDEF";

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

Error too_large(uint64_t bytes_max) {
  return {Code::too_large,
          "a gRPC message is larger than the " + std::to_string(bytes_max) + " bytes that are taken"};
}

}  // namespace

std::string grpc_frame(std::string_view message) {
  std::string out;
  out.reserve(prefix_bytes + message.size());
  out += '\0';
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(message.size() >> shift);
  out += message;
  return out;
}

Result<std::vector<std::string>> grpc_messages(std::string_view body, std::string_view encoding,
                                               uint64_t message_bytes_max) {
  std::vector<std::string> messages;
  while (!body.empty()) {
    if (body.size() < prefix_bytes)
      return Error(Code::invalid, "the body ends inside the prefix of a gRPC message");
    const auto flag = static_cast<uint8_t>(body[0]);
    uint64_t length = 0;
    for (size_t i = 1; i < prefix_bytes; ++i) length = length << 8 | static_cast<uint8_t>(body[i]);
    body.remove_prefix(prefix_bytes);
    if (flag > 1) return Error(Code::invalid, "a gRPC message has the unknown flag " + std::to_string(flag));
    if (length > message_bytes_max) {  // in gRPC's own words, which reach applications
      return Error(Code::too_large, "grpc: received message larger than max (" + std::to_string(length) +
                                        " vs. " + std::to_string(message_bytes_max) + ")");
    }
    if (length > body.size()) {
      return Error(Code::invalid, "a gRPC message announces " + std::to_string(length) + " bytes, " +
                                      std::to_string(body.size()) + " came");
    }
    const auto message = body.substr(0, length);
    body.remove_prefix(length);
    if (flag == 0) {
      messages.emplace_back(message);
      continue;
    }
    if (encoding != "gzip") {
      return Error(Code::unsupported, "grpc.encoding: a message is compressed by '" + std::string(encoding) +
                                          "', only gzip is known");
    }
    auto inflated = gunzip(message, message_bytes_max);
    if (!inflated) return inflated.error();
    messages.push_back(std::move(*inflated));
  }
  return messages;
}

Result<std::string> grpc_message(std::string_view body, std::string_view encoding,
                                 uint64_t message_bytes_max) {
  auto messages = grpc_messages(body, encoding, message_bytes_max);
  if (!messages) return messages.error();
  if (messages->size() != 1) {
    return Error(Code::invalid,
                 "a unary gRPC call holds one message, " + std::to_string(messages->size()) + " came");
  }
  return std::move(messages->front());
}

std::string grpc_encode_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte < 0x20 || byte > 0x7e || c == '%') {
      out += '%';
      out += digits[byte >> 4];
      out += digits[byte & 15];
    } else {
      out += c;
    }
  }
  return out;
}

// What is no escape stays as it is, as the specification asks.
std::string grpc_decode_text(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      const int high = hex_digit(text[i + 1]);
      const int low = hex_digit(text[i + 2]);
      if (high >= 0 && low >= 0) {
        out += static_cast<char>(high << 4 | low);
        i += 2;
        continue;
      }
    }
    out += text[i];
  }
  return out;
}

GrpcCode grpc_code(std::string_view text) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number > 16) return GrpcCode::unknown;
  return static_cast<GrpcCode>(number);
}

Result<std::string> gunzip(std::string_view bytes, uint64_t bytes_max) {
  z_stream stream{};
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) return Error(Code::internal, "zlib did not start");
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(std::min<size_t>(bytes.size(), UINT32_MAX));
  std::string out;
  int code = Z_OK;
  while (code == Z_OK) {
    const size_t before = out.size();
    const size_t room = std::min<uint64_t>(std::max<size_t>(before, 16 * 1024), bytes_max + 1 - before);
    if (room == 0) {
      inflateEnd(&stream);
      return too_large(bytes_max);
    }
    out.resize(before + room);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + before);
    stream.avail_out = static_cast<uInt>(room);
    code = inflate(&stream, Z_NO_FLUSH);
    out.resize(before + room - stream.avail_out);
  }
  const bool whole = code == Z_STREAM_END && stream.avail_in == 0;
  inflateEnd(&stream);
  if (!whole) return Error(Code::invalid, "a compressed gRPC message is broken");
  if (out.size() > bytes_max) return too_large(bytes_max);
  return out;
}

}  // namespace vmproxy::protocols::wire
