#include "model/codec.h"

#include <bit>
#include <cstring>

namespace vmproxy::model {
namespace {

constexpr uint8_t record_format = 1;
constexpr uint8_t schema_format = 1;
constexpr int depth_max = 1024;  // no driver reads anything deeper

}  // namespace

void Writer::fixed(uint64_t v, int count) {
  for (int i = 0; i < count; ++i) out_ += static_cast<char>(v >> (8 * i));
}

void Writer::varint(uint64_t v) {
  while (v >= 0x80) {
    u8(static_cast<uint8_t>(v | 0x80));
    v >>= 7;
  }
  u8(static_cast<uint8_t>(v));
}

void Writer::f32(float v) {
  u32(std::bit_cast<uint32_t>(v));
}
void Writer::f64(double v) {
  u64(std::bit_cast<uint64_t>(v));
}

void Writer::bytes(std::string_view v) {
  varint(v.size());
  out_ += v;
}

void Writer::value(const Value& v) {
  u8(static_cast<uint8_t>(v.data.index()));
  if (const auto* b = std::get_if<bool>(&v.data)) u8(*b ? 1 : 0);
  if (const auto* i = std::get_if<int64_t>(&v.data)) u64(static_cast<uint64_t>(*i));
  if (const auto* u = std::get_if<uint64_t>(&v.data)) u64(*u);
  if (const auto* d = std::get_if<double>(&v.data)) f64(*d);
  if (v.is_string()) bytes(v.string());
  if (v.is_array()) {
    varint(v.array().size());
    for (const Value& element : v.array()) value(element);
  }
  if (v.is_object()) {
    varint(v.object().size());
    for (const auto& [name, member] : v.object()) {
      bytes(name);
      value(member);
    }
  }
}

void Writer::key(const Key& k) {
  bytes(encode(k));
}

void Writer::vectors(const Vectors& all) {
  varint(all.size());
  for (const auto& [name, vector] : all) {
    bytes(name);
    u8(static_cast<uint8_t>(vector.index()));
    if (const auto* dense = std::get_if<DenseVector>(&vector)) {
      static_assert(std::endian::native == std::endian::little);
      bytes({reinterpret_cast<const char*>(dense->data()), dense->size() * sizeof(float)});
    } else {
      const auto& sparse = std::get<SparseVector>(vector);
      varint(sparse.indices.size());
      for (size_t i = 0; i < sparse.indices.size(); ++i) {
        u32(sparse.indices[i]);
        f32(sparse.values[i]);
      }
    }
  }
}

void Writer::record(const Record& r) {
  key(r.key);
  vectors(r.vectors);
  u8(static_cast<uint8_t>((r.document ? 1 : 0) | (r.metadata ? 2 : 0)));
  if (r.document) bytes(*r.document);
  if (r.metadata) value(Value(*r.metadata));
}

void Writer::schema(const Schema& s) {
  bytes(s.name.space);
  bytes(s.name.name);
  bytes(s.native_id);
  u64(s.incarnation);
  bytes(s.id_name);
  u8(static_cast<uint8_t>(s.id_kind));
  u32(s.id_length_max);
  u8(static_cast<uint8_t>((s.generated_ids ? 1 : 0) | (s.dynamic ? 2 : 0) | (s.has_document ? 4 : 0)));
  varint(s.vectors.size());
  for (const VectorField& field : s.vectors) {
    bytes(field.name);
    u8(static_cast<uint8_t>(field.kind));
    u32(field.dimension);
    u8(static_cast<uint8_t>(field.metric));
    value(field.index);
  }
  varint(s.fields.size());
  for (const Field& field : s.fields) {
    bytes(field.name);
    u8(static_cast<uint8_t>(field.kind));
    u8(static_cast<uint8_t>(field.element));
    u32(field.length_max);
    u8(field.nullable ? 1 : 0);
  }
  varint(s.partitions.size());
  for (const auto& partition : s.partitions) bytes(partition);
  value(s.metadata);
  value(s.native);
}

uint64_t Reader::fixed(int count) {
  if (rest_.size() < static_cast<size_t>(count)) {
    fail();
    return 0;
  }
  uint64_t v = 0;
  for (int i = 0; i < count; ++i) v |= static_cast<uint64_t>(static_cast<uint8_t>(rest_[i])) << (8 * i);
  rest_.remove_prefix(static_cast<size_t>(count));
  return v;
}

uint8_t Reader::u8() {
  return static_cast<uint8_t>(fixed(1));
}

uint64_t Reader::varint() {
  uint64_t v = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const uint8_t byte = u8();
    v |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return v;
  }
  fail();
  return 0;
}

float Reader::f32() {
  return std::bit_cast<float>(u32());
}
double Reader::f64() {
  return std::bit_cast<double>(u64());
}

std::string_view Reader::view() {
  const uint64_t length = varint();
  if (length > rest_.size()) {
    fail();
    return {};
  }
  const auto taken = rest_.substr(0, length);
  rest_.remove_prefix(length);
  return taken;
}

Value Reader::value(int depth) {
  if (depth > depth_max) {
    fail();
    return {};
  }
  switch (u8()) {
    case 0: return nullptr;
    case 1: return u8() != 0;
    case 2: return static_cast<int64_t>(u64());
    case 3: return u64();
    case 4: return f64();
    case 5: return bytes();
    case 6: {
      Array array;
      for (uint64_t n = varint(); n > 0 && ok_; --n) array.push_back(value(depth + 1));
      return array;
    }
    case 7: {
      Object object;
      for (uint64_t n = varint(); n > 0 && ok_; --n) {
        std::string name = bytes();
        object[std::move(name)] = value(depth + 1);
      }
      return object;
    }
    default: fail(); return {};
  }
}

Key Reader::key() {
  auto decoded = decode_key(view());
  if (!decoded) {
    fail();
    return {};
  }
  return *decoded;
}

Vectors Reader::vectors() {
  Vectors all;
  for (uint64_t n = varint(); n > 0 && ok_; --n) {
    std::string name = bytes();
    if (u8() == 0) {
      const auto raw = view();
      if (raw.size() % sizeof(float) != 0) fail();
      DenseVector dense(raw.size() / sizeof(float));
      if (!dense.empty()) std::memcpy(dense.data(), raw.data(), dense.size() * sizeof(float));
      all[std::move(name)] = std::move(dense);
    } else {
      SparseVector sparse;
      for (uint64_t count = varint(); count > 0 && ok_; --count) {
        sparse.indices.push_back(u32());
        sparse.values.push_back(f32());
      }
      all[std::move(name)] = std::move(sparse);
    }
  }
  return all;
}

Record Reader::record() {
  Record r;
  r.key = key();
  r.vectors = vectors();
  const uint8_t flags = u8();
  if ((flags & 1) != 0) r.document = bytes();
  if ((flags & 2) != 0) {
    Value metadata = value();
    if (metadata.is_object()) {
      r.metadata = std::move(metadata.object());
    } else {
      fail();
    }
  }
  return r;
}

Schema Reader::schema() {
  Schema s;
  s.name.space = bytes();
  s.name.name = bytes();
  s.native_id = bytes();
  s.incarnation = u64();
  s.id_name = bytes();
  s.id_kind = static_cast<IdKind>(u8());
  s.id_length_max = u32();
  const uint8_t flags = u8();
  s.generated_ids = (flags & 1) != 0;
  s.dynamic = (flags & 2) != 0;
  s.has_document = (flags & 4) != 0;
  for (uint64_t n = varint(); n > 0 && ok_; --n) {
    VectorField field;
    field.name = bytes();
    field.kind = static_cast<VectorKind>(u8());
    field.dimension = u32();
    field.metric = static_cast<Metric>(u8());
    field.index = value();
    s.vectors.push_back(std::move(field));
  }
  for (uint64_t n = varint(); n > 0 && ok_; --n) {
    Field field;
    field.name = bytes();
    field.kind = static_cast<FieldKind>(u8());
    field.element = static_cast<FieldKind>(u8());
    field.length_max = u32();
    field.nullable = u8() != 0;
    s.fields.push_back(std::move(field));
  }
  for (uint64_t n = varint(); n > 0 && ok_; --n) s.partitions.push_back(bytes());
  s.metadata = value();
  s.native = value();
  return s;
}

std::string encode_record(const Record& record) {
  Writer w;
  w.u8(record_format);
  w.record(record);
  return w.take();
}

Result<Record> decode_record(std::string_view bytes) {
  Reader r(bytes);
  const uint8_t format = r.u8();
  if (format != record_format)
    return Error(Code::corrupt, "record format " + std::to_string(format) + " is not known");
  Record record = r.record();
  if (!r.done()) return Error(Code::corrupt, "stored record is cut short or damaged");
  return record;
}

std::string encode_schema(const Schema& schema) {
  Writer w;
  w.u8(schema_format);
  w.schema(schema);
  return w.take();
}

Result<Schema> decode_schema(std::string_view bytes) {
  Reader r(bytes);
  const uint8_t format = r.u8();
  if (format != schema_format)
    return Error(Code::corrupt, "schema format " + std::to_string(format) + " is not known");
  Schema schema = r.schema();
  if (!r.done()) return Error(Code::corrupt, "stored schema is cut short or damaged");
  return schema;
}

}  // namespace vmproxy::model
