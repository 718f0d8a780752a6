#include "protocols/wire/protobuf.h"

#include <bit>
#include <cstring>

#include "protocols/wire/json.h"

namespace vmproxy::protocols::wire {
namespace {

static_assert(std::endian::native == std::endian::little);
constexpr int group_depth_max = 64;
constexpr uint32_t field_max = (1u << 29) - 1;

// Ten bytes at most; bits above 64 are refused.
bool take_varint(std::string_view& rest, uint64_t& value) {
  value = 0;
  for (size_t i = 0; i < 10; ++i) {
    if (i == rest.size()) return false;
    const auto byte = static_cast<uint8_t>(rest[i]);
    if (i == 9 && byte > 1) return false;
    value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if ((byte & 0x80) == 0) {
      rest.remove_prefix(i + 1);
      return true;
    }
  }
  return false;
}

bool take_tag(std::string_view& rest, uint32_t& field, uint8_t& type) {
  uint64_t tag = 0;
  if (!take_varint(rest, tag)) return false;
  type = tag & 7;
  if ((tag >> 3) == 0 || (tag >> 3) > field_max) return false;
  field = static_cast<uint32_t>(tag >> 3);
  return true;
}

bool take_bytes(std::string_view& rest, uint64_t length, std::string_view& value) {
  if (length > rest.size()) return false;
  value = rest.substr(0, length);
  rest.remove_prefix(length);
  return true;
}

template <class T>
T load(std::string_view bytes) {
  T value{};
  if (bytes.size() == sizeof(T)) std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

size_t varint_bytes(uint64_t value) {
  size_t bytes = 1;
  while (value >= 0x80) {
    value >>= 7;
    ++bytes;
  }
  return bytes;
}

template <class T>
uint64_t widened(T value) {
  // A negative int32 takes ten bytes, sign-extended.
  if constexpr (std::is_signed_v<T>) return static_cast<uint64_t>(static_cast<int64_t>(value));
  return static_cast<uint64_t>(value);
}

}  // namespace

bool ProtoReader::next() {
  if (!ok_ || rest_.empty()) return false;
  const char* begin = rest_.data();
  uint8_t type = 0;
  value_ = {};
  number_ = 0;
  bool read = take_tag(rest_, field_, type);
  if (read) {
    type_ = static_cast<Type>(type);
    switch (type) {
      case 0: read = take_varint(rest_, number_); break;
      case 1: read = take_bytes(rest_, 8, value_); break;
      case 2: {
        uint64_t length = 0;
        read = take_varint(rest_, length) && take_bytes(rest_, length, value_);
        break;
      }
      case 3: read = skip_group(field_); break;
      case 5: read = take_bytes(rest_, 4, value_); break;
      default: read = false;
    }
  }
  if (!read) {
    fail();
    return false;
  }
  raw_ = {begin, static_cast<size_t>(rest_.data() - begin)};
  return true;
}

// The group's start tag was read; everything to the matching end tag goes.
bool ProtoReader::skip_group(uint32_t field) {
  std::vector<uint32_t> open{field};
  while (!open.empty()) {
    uint32_t inner = 0;
    uint8_t type = 0;
    uint64_t number = 0;
    std::string_view value;
    if (!take_tag(rest_, inner, type)) return false;
    switch (type) {
      case 0:
        if (!take_varint(rest_, number)) return false;
        break;
      case 1:
        if (!take_bytes(rest_, 8, value)) return false;
        break;
      case 2:
        if (!take_varint(rest_, number) || !take_bytes(rest_, number, value)) return false;
        break;
      case 3:
        if (open.size() == group_depth_max) return false;
        open.push_back(inner);
        break;
      case 4:
        if (open.back() != inner) return false;
        open.pop_back();
        break;
      case 5:
        if (!take_bytes(rest_, 4, value)) return false;
        break;
      default: return false;
    }
  }
  return true;
}

bool ProtoReader::expect(Type type) {
  if (ok_ && type_ == type) return true;
  fail();
  return false;
}

uint64_t ProtoReader::u64() {
  return expect(Type::varint) ? number_ : 0;
}

float ProtoReader::f32() {
  return expect(Type::fixed32) ? load<float>(value_) : 0;
}

double ProtoReader::f64() {
  return expect(Type::fixed64) ? load<double>(value_) : 0;
}

std::string_view ProtoReader::bytes() {
  return expect(Type::bytes) ? value_ : std::string_view();
}

std::string ProtoReader::text() {
  const auto value = bytes();
  if (!valid_utf8(value)) {
    fail();
    return {};
  }
  return std::string(value);
}

template <class T, class Convert>
void ProtoReader::append_varints(std::vector<T>& values, Convert convert) {
  if (ok_ && type_ == Type::varint) {
    values.push_back(convert(number_));
    return;
  }
  if (!expect(Type::bytes)) return;
  std::string_view rest = value_;
  while (!rest.empty()) {
    uint64_t number = 0;
    if (!take_varint(rest, number)) return fail();
    values.push_back(convert(number));
  }
}

template <class T>
void ProtoReader::append_fixed(std::vector<T>& values, Type single) {
  if (ok_ && type_ == single) {
    values.push_back(load<T>(value_));
    return;
  }
  if (!expect(Type::bytes)) return;
  if (value_.size() % sizeof(T) != 0) return fail();
  const size_t before = values.size();
  values.resize(before + value_.size() / sizeof(T));
  if (!value_.empty()) std::memcpy(values.data() + before, value_.data(), value_.size());
}

void ProtoReader::append(std::vector<int64_t>& values) {
  append_varints(values, [](uint64_t n) { return static_cast<int64_t>(n); });
}
void ProtoReader::append(std::vector<int32_t>& values) {
  append_varints(values, [](uint64_t n) { return static_cast<int32_t>(n); });
}
void ProtoReader::append(std::vector<uint32_t>& values) {
  append_varints(values, [](uint64_t n) { return static_cast<uint32_t>(n); });
}
void ProtoReader::append(std::vector<uint64_t>& values) {
  append_varints(values, [](uint64_t n) { return n; });
}
void ProtoReader::append(std::vector<uint8_t>& booleans) {
  append_varints(booleans, [](uint64_t n) { return static_cast<uint8_t>(n != 0); });
}
void ProtoReader::append(std::vector<float>& values) {
  append_fixed(values, Type::fixed32);
}
void ProtoReader::append(std::vector<double>& values) {
  append_fixed(values, Type::fixed64);
}

void ProtoWriter::varint(uint64_t value) {
  while (value >= 0x80) {
    out_ += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out_ += static_cast<char>(value);
}

void ProtoWriter::tag(uint32_t field, ProtoReader::Type type) {
  varint(static_cast<uint64_t>(field) << 3 | static_cast<uint8_t>(type));
}

void ProtoWriter::always_u64(uint32_t field, uint64_t value) {
  tag(field, ProtoReader::Type::varint);
  varint(value);
}

void ProtoWriter::always_bytes(uint32_t field, std::string_view value) {
  tag(field, ProtoReader::Type::bytes);
  varint(value.size());
  out_ += value;
}

void ProtoWriter::always_f32(uint32_t field, float value) {
  tag(field, ProtoReader::Type::fixed32);
  out_.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void ProtoWriter::always_f64(uint32_t field, double value) {
  tag(field, ProtoReader::Type::fixed64);
  out_.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// Minus zero is not zero: it is written.
void ProtoWriter::f32(uint32_t field, float value) {
  if (std::bit_cast<uint32_t>(value) != 0) always_f32(field, value);
}

void ProtoWriter::f64(uint32_t field, double value) {
  if (std::bit_cast<uint64_t>(value) != 0) always_f64(field, value);
}

template <class T>
void ProtoWriter::packed_varints(uint32_t field, const std::vector<T>& values) {
  if (values.empty()) return;
  size_t length = 0;
  for (const T value : values) length += varint_bytes(widened(value));
  tag(field, ProtoReader::Type::bytes);
  varint(length);
  for (const T value : values) varint(widened(value));
}

template <class T>
void ProtoWriter::packed_fixed(uint32_t field, const std::vector<T>& values) {
  if (values.empty()) return;
  tag(field, ProtoReader::Type::bytes);
  varint(values.size() * sizeof(T));
  out_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

void ProtoWriter::packed(uint32_t field, const std::vector<int64_t>& values) {
  packed_varints(field, values);
}
void ProtoWriter::packed(uint32_t field, const std::vector<int32_t>& values) {
  packed_varints(field, values);
}
void ProtoWriter::packed(uint32_t field, const std::vector<uint32_t>& values) {
  packed_varints(field, values);
}
void ProtoWriter::packed(uint32_t field, const std::vector<uint64_t>& values) {
  packed_varints(field, values);
}
void ProtoWriter::packed_booleans(uint32_t field, const std::vector<uint8_t>& values) {
  packed_varints(field, values);
}
void ProtoWriter::packed(uint32_t field, const std::vector<float>& values) {
  packed_fixed(field, values);
}
void ProtoWriter::packed(uint32_t field, const std::vector<double>& values) {
  packed_fixed(field, values);
}

}  // namespace vmproxy::protocols::wire
