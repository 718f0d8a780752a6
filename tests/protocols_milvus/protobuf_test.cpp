#include "protocols/wire/protobuf.h"

#include <rapidcheck/catch.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <random>

using vmproxy::protocols::wire::ProtoReader;
using vmproxy::protocols::wire::ProtoWriter;

namespace {

// Walks everything, as bytes, varints and nested messages alike: nothing may crash.
size_t walk(std::string_view bytes, int depth) {
  ProtoReader reader(bytes);
  size_t fields = 0;
  while (reader.next()) {
    ++fields;
    CHECK(reader.raw().size() <= bytes.size());
    if (reader.type() == ProtoReader::Type::bytes && depth > 0) fields += walk(reader.bytes(), depth - 1);
  }
  return fields;
}

}  // namespace

TEST_CASE("every number that is written reads back the same") {
  rc::prop("varints, fixed", [](uint64_t u, int64_t i, int32_t j, double d, float f, bool b) {
    ProtoWriter writer;
    writer.always_u64(1, u);
    writer.always_i64(2, i);
    writer.always_i64(3, j);
    writer.always_f64(4, d);
    writer.always_f32(5, f);
    writer.always_u64(536870911, b);
    ProtoReader reader(writer.view());
    RC_ASSERT(reader.next());
    RC_ASSERT(reader.u64() == u);
    RC_ASSERT(reader.next());
    RC_ASSERT(reader.i64() == i);
    RC_ASSERT(reader.next());
    RC_ASSERT(reader.i32() == j);
    RC_ASSERT(reader.next());
    RC_ASSERT(reader.f64() == d);
    RC_ASSERT(reader.next());
    RC_ASSERT(reader.f32() == f);
    RC_ASSERT(reader.next());
    RC_ASSERT(reader.field() == 536870911u);
    RC_ASSERT(reader.boolean() == b);
    RC_ASSERT(!reader.next());
    RC_ASSERT(reader.ok());
  });
}

TEST_CASE("packed runs read back, and so do the same values one by one") {
  rc::prop("packed", [](const std::vector<int64_t>& longs, const std::vector<int32_t>& ints,
                        const std::vector<double>& doubles, const std::vector<float>& floats) {
    ProtoWriter writer;
    writer.packed(1, longs);
    writer.packed(2, ints);
    writer.packed(3, doubles);
    writer.packed(4, floats);
    for (const auto v : longs) writer.always_i64(1, v);
    for (const auto v : floats) writer.always_f32(4, v);
    std::vector<int64_t> l;
    std::vector<int32_t> i;
    std::vector<double> d;
    std::vector<float> f;
    ProtoReader reader(writer.view());
    while (reader.next()) {
      switch (reader.field()) {
        case 1: reader.append(l); break;
        case 2: reader.append(i); break;
        case 3: reader.append(d); break;
        case 4: reader.append(f); break;
      }
    }
    RC_ASSERT(reader.ok());
    auto twice = longs;
    twice.insert(twice.end(), longs.begin(), longs.end());
    auto floats_twice = floats;
    floats_twice.insert(floats_twice.end(), floats.begin(), floats.end());
    RC_ASSERT(l == twice);
    RC_ASSERT(i == ints);
    RC_ASSERT(d == doubles);
    RC_ASSERT(f == floats_twice);
  });
}

TEST_CASE("a field that nobody reads can be forwarded byte for byte") {
  rc::prop("raw", [](const std::string& a, uint64_t b, const std::string& c) {
    ProtoWriter writer;
    writer.always_bytes(7, a);
    writer.always_u64(9, b);
    writer.always_bytes(1000, c);
    ProtoReader reader(writer.view());
    ProtoWriter copy;
    while (reader.next()) copy.raw(reader.raw());
    RC_ASSERT(reader.ok());
    RC_ASSERT(copy.view() == writer.view());
  });
}

TEST_CASE("zero and empty values are left out, minus zero is not") {
  ProtoWriter writer;
  writer.u64(1, 0);
  writer.bytes(2, "");
  writer.f32(3, 0.0f);
  CHECK(writer.view().empty());
  writer.f64(4, -0.0);
  CHECK(writer.view().size() == 9);
}

TEST_CASE("a message cut anywhere is refused or ends at a field") {
  ProtoWriter inner;
  inner.always_u64(1, 300);
  inner.always_bytes(2, "text");
  ProtoWriter writer;
  writer.always_bytes(5, inner.view());
  writer.always_u64(6, UINT64_MAX);
  writer.always_f64(7, 1.5);
  const std::string whole = writer.take();
  size_t refused = 0;
  for (size_t cut = 0; cut < whole.size(); ++cut) {
    ProtoReader reader(std::string_view(whole).substr(0, cut));
    while (reader.next()) {
    }
    refused += reader.ok() ? 0 : 1;
  }
  CHECK(refused == whole.size() - 3);  // 0, after field 5, after field 6
}

TEST_CASE("malformed protobuf of every kind is refused") {
  const std::pair<const char*, std::string> broken[] = {
      {"field number zero", std::string("\x00\x01", 2)},
      {"reserved type 6", "\x0e\x01"},
      {"reserved type 7", "\x0f\x01"},
      {"end of a group that never began", "\x0c"},
      {"group without an end", "\x0b\x08\x01"},
      {"group closed by another's end", "\x0b\x14"},
      {"varint of eleven bytes", "\x08" + std::string(10, '\xff') + "\x01"},
      {"varint above 64 bits", "\x08" + std::string(9, '\xff') + "\x02"},
      {"length behind the end",
       "\x0a\x05"
       "abc"},
      {"length of 2^63", "\x0a" + std::string(9, '\xff') + "\x01"},
      {"fixed64 cut",
       "\x09"
       "1234567"},
      {"fixed32 cut",
       "\x0d"
       "123"},
      {"tag cut", "\x80"},
      {"field number above 2^29", std::string("\x80\x80\x80\x80\x20\x01", 6)},
  };
  for (const auto& [name, bytes] : broken) {
    INFO(name);
    ProtoReader reader(bytes);
    while (reader.next()) {
    }
    CHECK_FALSE(reader.ok());
  }
}

TEST_CASE("a value asked for in another form than it has fails the reader for good") {
  ProtoWriter writer;
  writer.always_bytes(1, "text");
  writer.always_u64(2, 5);
  ProtoReader reader(writer.view());
  REQUIRE(reader.next());
  CHECK(reader.u64() == 0);
  CHECK_FALSE(reader.ok());
  CHECK_FALSE(reader.next());
}

TEST_CASE("packed floats of a broken length are refused") {
  ProtoWriter writer;
  writer.always_bytes(1, "12345");
  ProtoReader reader(writer.view());
  REQUIRE(reader.next());
  std::vector<float> values;
  reader.append(values);
  CHECK_FALSE(reader.ok());
  CHECK(values.empty());
}

TEST_CASE("groups are skipped, nested ones to a bound") {
  std::string nested = "\x08\x01";
  for (int i = 0; i < 60; ++i) nested = "\x0b" + nested + "\x0c";
  ProtoReader reader(nested);
  CHECK(reader.next());
  CHECK(reader.raw() == nested);
  CHECK_FALSE(reader.next());
  CHECK(reader.ok());
  for (int i = 0; i < 100; ++i) nested = "\x0b" + nested + "\x0c";
  ProtoReader deep(nested);
  CHECK_FALSE(deep.next());
  CHECK_FALSE(deep.ok());
}

TEST_CASE("random bytes and flipped bits never break the reader") {
  std::mt19937 random(7);
  ProtoWriter inner;
  for (uint32_t i = 1; i < 20; ++i) inner.always_bytes(i, std::string(i, 'x'));
  ProtoWriter writer;
  for (uint32_t i = 1; i < 10; ++i) writer.always_bytes(i, inner.view());
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = writer.view();
    for (int flips = 0; flips < 3; ++flips)
      bytes[random() % bytes.size()] ^= static_cast<char>(1 << (random() % 8));
    walk(bytes, 4);
    std::string noise(random() % 64, '\0');
    for (char& c : noise) c = static_cast<char>(random());
    walk(noise, 4);
  }
}
