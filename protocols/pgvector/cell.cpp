#include "protocols/pgvector/cell.h"

#include <bit>
#include <cmath>

#include "protocols/pgvector/half.h"

namespace vmproxy::protocols::pgvector {
namespace {

void put_float(std::string& out, float value) {
  put_int(out, std::bit_cast<uint32_t>(value));
}

Error corrupt(std::string_view what) {
  return {Code::corrupt, "the server sent a malformed " + std::string(what)};
}

Result<void> check_dense(const model::DenseVector& vector) {
  if (vector.empty()) return Error{Code::invalid, "has no elements; the database needs at least one"};
  if (vector.size() > dense_dimension_max) {
    return Error{Code::invalid, "has " + std::to_string(vector.size()) +
                                    " dimensions; the database holds at most " +
                                    std::to_string(dense_dimension_max)};
  }
  for (const float x : vector) {
    if (!std::isfinite(x))
      return Error{Code::invalid, "has an element that is not a finite number; the database holds none"};
  }
  return {};
}

void put_dense_head(std::string& out, size_t dimension) {
  put_int(out, static_cast<uint16_t>(dimension));
  put_int(out, uint16_t{0});
}

}  // namespace

std::string bytes_of(int64_t value) {
  std::string out;
  put_int(out, value);
  return out;
}
std::string bytes_of(float value) {
  std::string out;
  put_float(out, value);
  return out;
}
std::string bytes_of(double value) {
  std::string out;
  put_int(out, std::bit_cast<uint64_t>(value));
  return out;
}
float get_float(std::string_view bytes) {
  return std::bit_cast<float>(get_int<uint32_t>(bytes));
}
double get_double(std::string_view bytes) {
  return std::bit_cast<double>(get_int<uint64_t>(bytes));
}

void put_null(std::string& out) {
  put_int(out, int32_t{-1});
}

void put_cell(std::string& out, std::string_view bytes) {
  put_int(out, static_cast<int32_t>(bytes.size()));
  out += bytes;
}

std::string array_of(unsigned element_type, size_t count, std::string_view cells) {
  std::string out;
  put_int(out, int32_t{count == 0 ? 0 : 1});
  put_int(out, int32_t{1});  // may hold NULLs
  put_int(out, element_type);
  if (count == 0) return out;
  put_int(out, static_cast<int32_t>(count));
  put_int(out, int32_t{1});
  out += cells;
  return out;
}

std::string numeric_of(uint64_t value) {
  // int16: digits, weight of the first, sign, digits after the point; then digits to base 10000, most
  // significant first.
  uint16_t digits[5];
  uint16_t count = 0;
  for (; value > 0; value /= 10000) digits[count++] = static_cast<uint16_t>(value % 10000);
  std::string out;
  put_int(out, count);
  put_int(out, static_cast<int16_t>(count - 1));
  put_int(out, uint16_t{0});
  put_int(out, uint16_t{0});
  while (count > 0) put_int(out, digits[--count]);
  return out;
}

Result<uint64_t> u64_of_numeric(std::string_view bytes) {
  if (bytes.size() < 8) return corrupt("numeric");
  const auto count = get_int<uint16_t>(bytes);
  const auto weight = get_int<int16_t>(bytes.substr(2));
  if (get_int<uint16_t>(bytes.substr(4)) != 0 || bytes.size() < 8 + 2ULL * count || weight > 4 ||
      count > weight + 1) {
    return Error{Code::invalid, "an id in the table is not a whole number from 0 to 18446744073709551615"};
  }
  uint64_t value = 0;
  for (int i = 0; i <= weight; ++i) {
    const uint64_t digit = i < count ? get_int<uint16_t>(bytes.substr(8 + 2ULL * static_cast<size_t>(i))) : 0;
    if (__builtin_mul_overflow(value, 10000ULL, &value) || __builtin_add_overflow(value, digit, &value)) {
      return Error{Code::invalid, "an id in the table is above 18446744073709551615"};
    }
  }
  return value;
}

Result<std::string> vector_bytes(const model::DenseVector& vector) {
  if (auto fine = check_dense(vector); !fine) return fine.error();
  std::string out;
  out.reserve(4 + 4 * vector.size());
  put_dense_head(out, vector.size());
  out.resize(4 + 4 * vector.size());
  auto* at = reinterpret_cast<unsigned char*>(out.data() + 4);
  for (const float x : vector) {  // a fifth of a copy's work: without a look at the string's end for each
    boost::endian::store_big_u32(at, std::bit_cast<uint32_t>(x));
    at += 4;
  }
  return out;
}

Result<std::string> halfvec_bytes(const model::DenseVector& vector) {
  if (auto fine = check_dense(vector); !fine) return fine.error();
  std::string out;
  out.reserve(4 + 2 * vector.size());
  put_dense_head(out, vector.size());
  for (const float x : vector) {
    const uint16_t half = to_half(x);
    if ((half & 0x7c00) == 0x7c00)
      return Error{Code::invalid,
                   "has the element " + std::to_string(x) + ", above the range of half precision (65504)"};
    put_int(out, half);
  }
  return out;
}

Result<std::string> sparsevec_bytes(const model::SparseVector& vector, uint32_t dimension) {
  if (dimension == 0) dimension = sparse_dimension_max;
  if (vector.indices.size() != vector.values.size())
    return Error{Code::invalid, "has not one value for each index"};
  std::string indices;
  std::string values;
  uint32_t count = 0;
  for (size_t i = 0; i < vector.indices.size(); ++i) {
    if (i > 0 && vector.indices[i] <= vector.indices[i - 1])
      return Error{Code::invalid, "has indices that do not ascend"};
    if (vector.indices[i] >= dimension) {
      return Error{Code::invalid, "has the index " + std::to_string(vector.indices[i]) +
                                      "; the column holds indices below " + std::to_string(dimension)};
    }
    if (!std::isfinite(vector.values[i]))
      return Error{Code::invalid, "has an element that is not a finite number; the database holds none"};
    if (vector.values[i] == 0)
      return Error{Code::invalid, "has an explicit zero at index " + std::to_string(vector.indices[i]) +
                                      ", which the database does not keep"};
    put_int(indices, vector.indices[i]);
    put_float(values, vector.values[i]);
    ++count;
  }
  if (count > sparse_entries_max) {
    return Error{Code::invalid, "has " + std::to_string(count) + " entries; the database holds at most " +
                                    std::to_string(sparse_entries_max)};
  }
  std::string out;
  put_int(out, dimension);
  put_int(out, count);
  put_int(out, uint32_t{0});
  return out + indices + values;
}

Result<model::DenseVector> vector_of(std::string_view bytes) {
  const size_t dimension = get_int<uint16_t>(bytes);
  if (bytes.size() != 4 + 4 * dimension) return corrupt("vector");
  model::DenseVector vector(dimension);
  for (size_t i = 0; i < dimension; ++i) {
    uint32_t bits = 0;
    __builtin_memcpy(&bits, bytes.data() + 4 + 4 * i, 4);
    if constexpr (std::endian::native == std::endian::little) bits = __builtin_bswap32(bits);
    vector[i] = std::bit_cast<float>(bits);
  }
  return vector;
}

Result<model::DenseVector> halfvec_of(std::string_view bytes) {
  const size_t dimension = get_int<uint16_t>(bytes);
  if (bytes.size() != 4 + 2 * dimension) return corrupt("halfvec");
  model::DenseVector vector(dimension);
  for (size_t i = 0; i < dimension; ++i) vector[i] = from_half(get_int<uint16_t>(bytes.substr(4 + 2 * i)));
  return vector;
}

Result<model::SparseVector> sparsevec_of(std::string_view bytes) {
  if (bytes.size() < 12) return corrupt("sparsevec");
  const size_t count = get_int<uint32_t>(bytes.substr(4));
  if (bytes.size() != 12 + 8 * count) return corrupt("sparsevec");
  const auto dimension = get_int<uint32_t>(bytes);
  model::SparseVector vector;
  for (size_t i = 0; i < count; ++i) {
    const auto index = get_int<uint32_t>(bytes.substr(12 + 4 * i));
    // What compares and prints sparse vectors goes through both lists once.
    if (index >= dimension || (i > 0 && index <= vector.indices.back())) return corrupt("sparsevec");
    vector.indices.push_back(index);
    vector.values.push_back(get_float(bytes.substr(12 + 4 * (count + i))));
  }
  return vector;
}

std::optional<std::string> text_fault(std::string_view text) {
  const auto* at = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = at + text.size();
  const auto tail = [&](int count) {
    for (int i = 1; i <= count; ++i) {
      if (at + i >= end || (at[i] & 0xc0) != 0x80) return false;
    }
    return true;
  };
  while (at < end) {
    int more = 0;
    bool valid = true;
    if (*at == 0) return "holds a NUL character, which PostgreSQL cannot store in text";
    if (*at < 0x80) {
      more = 0;
    } else if (*at >= 0xc2 && *at <= 0xdf) {
      valid = tail(more = 1);
    } else if (*at >= 0xe0 && *at <= 0xef) {
      valid = tail(more = 2) && !(*at == 0xe0 && at[1] < 0xa0) && !(*at == 0xed && at[1] > 0x9f);
    } else if (*at >= 0xf0 && *at <= 0xf4) {
      valid = tail(more = 3) && !(*at == 0xf0 && at[1] < 0x90) && !(*at == 0xf4 && at[1] > 0x8f);
    } else {
      valid = false;
    }
    if (!valid) return "is not valid UTF-8";
    at += more + 1;
  }
  return std::nullopt;
}

}  // namespace vmproxy::protocols::pgvector
