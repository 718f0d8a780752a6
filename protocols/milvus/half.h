// 16-bit floating-point numbers as Milvus' Float16Vector and BFloat16Vector hold them.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace vmproxy::protocols::milvus {

inline float from_bfloat16(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

inline float from_float16(uint16_t bits) {
  const float sign = (bits & 0x8000) != 0 ? -1.0f : 1.0f;
  const int exponent = bits >> 10 & 0x1f;
  const int mantissa = bits & 0x3ff;
  if (exponent == 31) return mantissa == 0 ? sign * INFINITY : NAN;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(mantissa), -24);
  return sign * std::ldexp(static_cast<float>(mantissa | 0x400), exponent - 25);
}

// To the nearest, ties to even, as Milvus' SDKs do.
inline uint16_t to_bfloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline uint16_t to_float16(float value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double size = std::fabs(static_cast<double>(value));
  if (std::isnan(value)) return static_cast<uint16_t>(sign | 0x7e00);
  if (size >= 65520.0) return static_cast<uint16_t>(sign | 0x7c00);
  if (size == 0) return sign;
  int exponent = 0;
  (void)std::frexp(size, &exponent);
  exponent = exponent - 1 < -14 ? -14 : exponent - 1;  // below it numbers share the smallest exponent
  // In steps of the last place; a carry into the next exponent comes out right by itself.
  const auto steps = static_cast<int>(std::nearbyint(std::ldexp(size, 10 - exponent)));
  return static_cast<uint16_t>(sign | (steps + ((exponent + 14) << 10)));
}

}  // namespace vmproxy::protocols::milvus
