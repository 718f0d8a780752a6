// Protocol Buffers by field numbers, without generated code: a reader that walks the fields of one message
// and a writer that appends them. https://protobuf.dev/programming-guides/encoding/
//
//   message := (tag value)*      tag := varint (field << 3 | type)
//   type 0: varint   1: 8 bytes little-endian   2: varint length, bytes   5: 4 bytes little-endian
//   types 3 and 4 (groups) are skipped with what they hold, never read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vmproxy::protocols::wire {

// Walks one message: while (reader.next()) switch (reader.field()) {...}; then check ok(). What is not asked
// for is skipped. A value asked for in another form than it has fails the reader, as does anything malformed:
// ok() is false from then on and everything reads as zero. Holds a view: the bytes must outlive it and all
// views.
class ProtoReader {
 public:
  enum class Type : uint8_t { varint = 0, fixed64 = 1, bytes = 2, group = 3, fixed32 = 5 };

  explicit ProtoReader(std::string_view message) : rest_(message) {}

  bool next();
  uint32_t field() const { return field_; }
  Type type() const { return type_; }
  bool ok() const { return ok_; }
  // The whole field as it stands in the message, tag included: append it elsewhere to forward it unread.
  std::string_view raw() const { return raw_; }

  uint64_t u64();
  int64_t i64() { return static_cast<int64_t>(u64()); }
  // As generated code does: the low 32 bits.
  int32_t i32() { return static_cast<int32_t>(u64()); }
  uint32_t u32() { return static_cast<uint32_t>(u64()); }
  bool boolean() { return u64() != 0; }
  float f32();
  double f64();
  std::string_view bytes();
  std::string
  text();  // of a field of type string: broken where it is not UTF-8, as every server of proto3 has it

  // Repeated scalars: one element, or a packed run of them; both forms may be mixed in a message.
  void append(std::vector<int64_t>& values);
  void append(std::vector<int32_t>& values);
  void append(std::vector<uint32_t>& values);
  void append(std::vector<uint64_t>& values);
  void append(std::vector<uint8_t>& booleans);
  void append(std::vector<float>& values);
  void append(std::vector<double>& values);

  // For those who find that the content makes no sense.
  void fail() {
    ok_ = false;
    rest_ = {};
  }

 private:
  template <class T, class Convert>
  void append_varints(std::vector<T>& values, Convert convert);
  template <class T>
  void append_fixed(std::vector<T>& values, Type single);
  bool expect(Type type);
  bool skip_group(uint32_t field);

  std::string_view rest_;
  std::string_view value_;  // of bytes and fixed
  std::string_view raw_;
  uint64_t number_ = 0;  // of a varint
  uint32_t field_ = 0;
  Type type_ = Type::varint;
  bool ok_ = true;
};

// Appends fields. The plain forms leave zero and empty values out, as proto3 does; the ones named always_
// write them (members of a oneof, elements of a repeated field).
class ProtoWriter {
 public:
  void u64(uint32_t field, uint64_t value) {
    if (value != 0) always_u64(field, value);
  }
  void i64(uint32_t field, int64_t value) { u64(field, static_cast<uint64_t>(value)); }
  void i32(uint32_t field, int32_t value) { i64(field, value); }
  void boolean(uint32_t field, bool value) { u64(field, value ? 1 : 0); }
  void bytes(uint32_t field, std::string_view value) {
    if (!value.empty()) always_bytes(field, value);
  }
  void f32(uint32_t field, float value);
  void f64(uint32_t field, double value);

  void always_u64(uint32_t field, uint64_t value);
  void always_i64(uint32_t field, int64_t value) { always_u64(field, static_cast<uint64_t>(value)); }
  void always_bytes(uint32_t field, std::string_view value);
  void always_f32(uint32_t field, float value);
  void always_f64(uint32_t field, double value);

  void packed(uint32_t field, const std::vector<int64_t>& values);
  void packed(uint32_t field, const std::vector<int32_t>& values);
  void packed(uint32_t field, const std::vector<uint32_t>& values);
  void packed(uint32_t field, const std::vector<uint64_t>& values);
  void packed_booleans(uint32_t field, const std::vector<uint8_t>& values);
  void packed(uint32_t field, const std::vector<float>& values);
  void packed(uint32_t field, const std::vector<double>& values);

  // Fields as they stood in another message (ProtoReader::raw).
  void raw(std::string_view fields) { out_ += fields; }

  const std::string& view() const { return out_; }
  std::string take() { return std::move(out_); }

 private:
  template <class T>
  void packed_varints(uint32_t field, const std::vector<T>& values);
  template <class T>
  void packed_fixed(uint32_t field, const std::vector<T>& values);
  void tag(uint32_t field, ProtoReader::Type type);
  void varint(uint64_t value);

  std::string out_;
};

}  // namespace vmproxy::protocols::wire
