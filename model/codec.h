// Compact binary form of the vocabulary, for the journal and the migration's state. Not for any wire.
// Every encoding begins with a format byte; decode refuses what it does not know. Little-endian, LEB128 lengths.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/record.h"
#include "model/schema.h"

namespace vmproxy::model {

// Appends to a buffer. Building block for rooms that persist their own structures.
class Writer {
 public:
  void u8(uint8_t v) { out_ += static_cast<char>(v); }
  void u32(uint32_t v) { fixed(v, 4); }
  void u64(uint64_t v) { fixed(v, 8); }
  void varint(uint64_t v);
  void f32(float v);
  void f64(double v);
  void bytes(std::string_view v);  // length, then bytes
  void value(const Value& v);
  void key(const Key& k);
  void vectors(const Vectors& v);
  void record(const Record& r);
  void schema(const Schema& s);
  std::string take() { return std::move(out_); }
  const std::string& view() const { return out_; }

 private:
  void fixed(uint64_t v, int bytes);
  std::string out_;
};

// Reads what Writer wrote. After the first failure ok() is false and everything reads as zero: check once at the end.
// Holds a view: the bytes must outlive it.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  uint8_t u8();
  uint32_t u32() { return static_cast<uint32_t>(fixed(4)); }
  uint64_t u64() { return fixed(8); }
  uint64_t varint();
  float f32();
  double f64();
  std::string bytes() { return std::string(view()); }
  std::string_view view();
  Value value(int depth = 0);
  Key key();
  Vectors vectors();
  Record record();
  Schema schema();
  bool ok() const { return ok_; }
  bool done() const { return ok_ && rest_.empty(); }

 private:
  uint64_t fixed(int bytes);
  void fail() {
    ok_ = false;
    rest_ = {};
  }
  std::string_view rest_;
  bool ok_ = true;
};

std::string encode_record(const Record& record);
Result<Record> decode_record(std::string_view bytes);
std::string encode_schema(const Schema& schema);
Result<Schema> decode_schema(std::string_view bytes);

}  // namespace vmproxy::model
