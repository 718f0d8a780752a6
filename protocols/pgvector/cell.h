// Values in PostgreSQL's binary format (send/recv functions of each type), as one cell: int32 length, then
// the bytes; length -1 is NULL. The same cell stands in a row of binary COPY and in a binary array.
// Everything is big-endian.
#pragma once

#include <boost/endian/conversion.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "model/record.h"

namespace vmproxy::protocols::pgvector {

namespace oid {
inline constexpr unsigned boolean = 16, int8 = 20, int2 = 21, int4 = 23, text = 25, float4 = 700,
                          float8 = 701, numeric = 1700, uuid = 2950, jsonb = 3802;
inline constexpr unsigned boolean_array = 1000, int2_array = 1005, int4_array = 1007, int8_array = 1016,
                          text_array = 1009, float4_array = 1021, float8_array = 1022, numeric_array = 1231,
                          uuid_array = 2951, jsonb_array = 3807;
}  // namespace oid

// Big-endian bytes of an integer.
template <class Int>
void put_int(std::string& out, Int value) {
  unsigned char bytes[sizeof(Int)];
  boost::endian::endian_store<Int, sizeof(Int), boost::endian::order::big>(bytes, value);
  out.append(reinterpret_cast<const char*>(bytes), sizeof(Int));
}
template <class Int>
Int get_int(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < sizeof(Int) && i < bytes.size(); ++i)
    value = (value << 8) | static_cast<uint8_t>(bytes[i]);
  return static_cast<Int>(value);
}
std::string bytes_of(int64_t value);
std::string bytes_of(float value);
std::string bytes_of(double value);
float get_float(std::string_view bytes);
double get_double(std::string_view bytes);

void put_null(std::string& out);
void put_cell(std::string& out, std::string_view bytes);

// A one-dimensional array of cells.
std::string array_of(unsigned element_type, size_t count, std::string_view cells);

// numeric(20,0), for u64.
std::string numeric_of(uint64_t value);
Result<uint64_t> u64_of_numeric(std::string_view bytes);

// vector: int16 dimension, int16 zero, float4 each. halfvec: the same with halves.
// sparsevec: int32 dimension, int32 count, int32 zero, int32 index each, float4 each.
// Errors name what the type cannot hold (a NaN, more than 16000 dimensions, a value above the range of half).
inline constexpr uint32_t dense_dimension_max = 16000;
inline constexpr uint32_t sparse_entries_max = 16000;
inline constexpr uint32_t sparse_dimension_max = 1'000'000'000;
Result<std::string> vector_bytes(const model::DenseVector& vector);
Result<std::string> halfvec_bytes(const model::DenseVector& vector);
Result<std::string> sparsevec_bytes(const model::SparseVector& vector, uint32_t dimension);
Result<model::DenseVector> vector_of(std::string_view bytes);
Result<model::DenseVector> halfvec_of(std::string_view bytes);
Result<model::SparseVector> sparsevec_of(std::string_view bytes);

// Nothing, or why PostgreSQL cannot hold this text: a NUL character, bytes that are not UTF-8.
std::optional<std::string> text_fault(std::string_view text);

}  // namespace vmproxy::protocols::pgvector
