#include "store/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace vmproxy::store {
namespace {

constexpr uint32_t polynomial = 0x82f63b78;  // reflected

// Eight tables: table[k][b] is the CRC of byte b followed by k zero bytes ("slicing by 8").
constexpr auto tables = [] {
  std::array<std::array<uint32_t, 256>, 8> result{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? polynomial : 0);
    result[0][byte] = crc;
  }
  for (uint32_t byte = 0; byte < 256; ++byte) {
    for (size_t k = 1; k < 8; ++k) {
      const uint32_t before = result[k - 1][byte];
      result[k][byte] = (before >> 8) ^ result[0][before & 0xff];
    }
  }
  return result;
}();

uint32_t by_table(uint32_t crc, const char* at, size_t left) {
  crc = ~crc;
  for (; left >= 8; left -= 8, at += 8) {
    uint32_t low, high;
    std::memcpy(&low, at, 4);
    std::memcpy(&high, at + 4, 4);
    low ^= crc;
    crc = tables[7][low & 0xff] ^ tables[6][(low >> 8) & 0xff] ^ tables[5][(low >> 16) & 0xff] ^
          tables[4][low >> 24] ^ tables[3][high & 0xff] ^ tables[2][(high >> 8) & 0xff] ^
          tables[1][(high >> 16) & 0xff] ^ tables[0][high >> 24];
  }
  for (; left > 0; --left, ++at) crc = (crc >> 8) ^ tables[0][(crc ^ static_cast<uint8_t>(*at)) & 0xff];
  return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t by_instruction(uint32_t start, const char* at, size_t left) {
  uint64_t crc = ~start;
  for (; left >= 8; left -= 8, at += 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    crc = _mm_crc32_u64(crc, word);
  }
  auto narrow = static_cast<uint32_t>(crc);
  for (; left > 0; --left, ++at) narrow = _mm_crc32_u8(narrow, static_cast<uint8_t>(*at));
  return ~narrow;
}
#endif

}  // namespace

uint32_t crc32c_extend_by_table(uint32_t crc, std::string_view bytes) {
  return by_table(crc, bytes.data(), bytes.size());
}

uint32_t crc32c_extend(uint32_t crc, std::string_view bytes) {
#if defined(__x86_64__)
  static const bool fast = __builtin_cpu_supports("sse4.2") != 0;
  if (fast) return by_instruction(crc, bytes.data(), bytes.size());
#endif
  return by_table(crc, bytes.data(), bytes.size());
}

}  // namespace vmproxy::store
