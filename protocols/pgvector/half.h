// IEEE 754 half precision, as the type halfvec holds it: round to nearest, ties to even.
#pragma once

#include <cstdint>

namespace vmproxy::protocols::pgvector {

uint16_t to_half(float value);
float from_half(uint16_t half);

}  // namespace vmproxy::protocols::pgvector
