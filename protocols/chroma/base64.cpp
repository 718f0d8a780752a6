#include "protocols/chroma/base64.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "protocols/wire/json.h"

namespace vmproxy::protocols::chroma {
namespace {

static_assert(std::endian::native == std::endian::little, "floats are copied as they are");

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr uint8_t no_digit = 0xff;

constexpr std::array<uint8_t, 256> make_digits() {
  std::array<uint8_t, 256> digits{};
  digits.fill(no_digit);
  for (size_t i = 0; i < alphabet.size(); ++i)
    digits[static_cast<uint8_t>(alphabet[i])] = static_cast<uint8_t>(i);
  return digits;
}
constexpr auto digits = make_digits();

Error bad(const std::string& what) {
  return Error(Code::invalid, "Invalid base64 string: " + what);
}

Error bad_symbol(std::string_view text, size_t offset) {
  return bad("Invalid symbol " + std::to_string(static_cast<uint8_t>(text[offset])) + ", offset " +
             std::to_string(offset) + ".");
}

Result<std::string> decode(std::string_view text) {
  size_t length = text.size();
  while (length > 0 && text[length - 1] == '=' && text.size() - length < 2) --length;
  const size_t padding = text.size() - length;
  std::string bytes;
  bytes.reserve(length * 3 / 4 + 4);
  uint32_t buffer = 0;
  for (size_t i = 0; i < length; ++i) {
    const uint8_t digit = digits[static_cast<uint8_t>(text[i])];
    if (digit == no_digit) return bad_symbol(text, i);
    buffer = buffer << 6 | digit;
    if (i % 4 == 3) {
      bytes += static_cast<char>(buffer >> 16);
      bytes += static_cast<char>(buffer >> 8);
      bytes += static_cast<char>(buffer);
    }
  }
  const size_t rest = length % 4;
  if (rest == 1) return bad("Invalid input length: " + std::to_string(length));
  if ((rest == 0 ? 0 : 4 - rest) != padding) {
    if (rest == 0) return bad_symbol(text, length);
    return bad("Invalid padding");
  }
  if (rest != 0) {
    const uint32_t unused = rest == 2 ? 0xf : 0x3;
    if ((buffer & unused) != 0) {
      return bad("Invalid last symbol " + std::to_string(static_cast<uint8_t>(text[length - 1])) +
                 ", offset " + std::to_string(length - 1) + ".");
    }
    buffer >>= rest == 2 ? 4 : 2;
    if (rest == 3) bytes += static_cast<char>(buffer >> 8);
    bytes += static_cast<char>(buffer);
  }
  return bytes;
}

}  // namespace

Result<model::DenseVector> decode_base64_floats(std::string_view text) {
  const auto bytes = decode(text);
  if (!bytes) return bytes.error();
  if (bytes->size() % sizeof(float) != 0) {
    return Error(Code::invalid, "Invalid byte length: " + std::to_string(bytes->size()) +
                                    " bytes cannot be converted to f32 values (must be divisible by 4)");
  }
  model::DenseVector vector(bytes->size() / sizeof(float));
  if (!vector.empty()) std::memcpy(vector.data(), bytes->data(), bytes->size());
  for (size_t i = 0; i < vector.size(); ++i) {
    if (std::isfinite(vector[i])) continue;
    const std::string text_of = std::isnan(vector[i]) ? "NaN" : vector[i] > 0 ? "inf" : "-inf";
    return Error(Code::invalid,
                 "Non-finite float value at embedding index " + std::to_string(i) + ": " + text_of);
  }
  return vector;
}

void append_base64_floats(std::string& out, const model::DenseVector& vector) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(vector.data());
  const size_t length = vector.size() * sizeof(float);
  size_t i = 0;
  const size_t before = out.size();
  out.resize(before + length / 3 * 4);
  for (char* to = out.data() + before; i + 3 <= length; i += 3) {
    const uint32_t group =
        static_cast<uint32_t>(bytes[i]) << 16 | static_cast<uint32_t>(bytes[i + 1]) << 8 | bytes[i + 2];
    *to++ = alphabet[group >> 18];
    *to++ = alphabet[group >> 12 & 63];
    *to++ = alphabet[group >> 6 & 63];
    *to++ = alphabet[group & 63];
  }
  if (length - i == 1) {
    out += alphabet[bytes[i] >> 2];
    out += alphabet[bytes[i] << 4 & 63];
    out += "==";
  } else if (length - i == 2) {
    const uint32_t group = static_cast<uint32_t>(bytes[i]) << 8 | bytes[i + 1];
    out += alphabet[group >> 10];
    out += alphabet[group >> 4 & 63];
    out += alphabet[group << 2 & 63];
    out += '=';
  }
}

}  // namespace vmproxy::protocols::chroma
