// One message of Protocol Buffers: every field read in every form, and written again.
#include "protocols/wire/protobuf.h"
#include "tests/fuzz/target.h"

using namespace vmproxy::protocols::wire;
using vmproxy::fuzz::must;

namespace {

// Each form on a reader of its own: one that does not fit fails it.
template <class T>
void read_packed(std::string_view field) {
  ProtoReader reader(field);
  std::vector<T> values;
  if (!reader.next()) return;
  reader.append(values);
  must(values.size() <= field.size(), "no more values than bytes");
  must(reader.ok() || !reader.next(), "a reader that failed reads no more");
}

void read_scalars(std::string_view field) {
  ProtoReader a(field), b(field), c(field), d(field);
  for (auto* reader : {&a, &b, &c, &d}) must(reader->next(), "a field that was read is read again");
  (void)a.u64();
  (void)b.f32();
  (void)c.f64();
  must(d.bytes().size() <= field.size(), "bytes of the field");
  const int fit = a.ok() + b.ok() + c.ok() + d.ok();
  must(fit <= 1, "a value has one form");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = vmproxy::fuzz::text_of(data, size);
  ProtoReader reader(bytes);
  ProtoWriter raw, written;
  while (reader.next()) {
    must(reader.field() > 0 && reader.field() < 1u << 29, "a number of a field");
    raw.raw(reader.raw());
    read_scalars(reader.raw());
    read_packed<int64_t>(reader.raw());
    read_packed<int32_t>(reader.raw());
    read_packed<uint32_t>(reader.raw());
    read_packed<uint64_t>(reader.raw());
    read_packed<uint8_t>(reader.raw());
    read_packed<float>(reader.raw());
    read_packed<double>(reader.raw());
    switch (reader.type()) {
      case ProtoReader::Type::varint: written.always_u64(reader.field(), reader.u64()); break;
      case ProtoReader::Type::fixed64: written.always_f64(reader.field(), reader.f64()); break;
      case ProtoReader::Type::bytes: written.always_bytes(reader.field(), reader.bytes()); break;
      case ProtoReader::Type::fixed32: written.always_f32(reader.field(), reader.f32()); break;
      case ProtoReader::Type::group: written.raw(reader.raw()); break;
    }
  }
  if (!reader.ok()) return 0;
  must(raw.view() == bytes, "the raw fields are the message");
  ProtoReader first(bytes), second(written.view());
  while (first.next()) {
    must(second.next() && second.field() == first.field() && second.type() == first.type(),
         "written as it was read");
    if (first.type() == ProtoReader::Type::varint) must(first.u64() == second.u64(), "a number comes back");
    if (first.type() == ProtoReader::Type::bytes) must(first.bytes() == second.bytes(), "bytes come back");
  }
  must(!second.next() && second.ok(), "nothing more is written");
  return 0;
}
