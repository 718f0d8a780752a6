// Values that a migration keeps: records, collections, catalogs, images, keys. The first byte of an input says which.
#include "model/codec.h"
#include "protocols/api/catalog.h"
#include "proxy/images.h"
#include "tests/fuzz/target.h"

using namespace vmproxy;
using fuzz::must;

namespace {

template <class Decode, class Encode>
void check(std::string_view bytes, Decode decode, Encode encode) {
  const auto first = decode(bytes);
  if (!first) {
    must(first.error().code == Code::corrupt && !first.error().message.empty(), "damage is called so");
    return;
  }
  const std::string written = encode(*first);
  const auto second = decode(written);
  must(second.has_value() && encode(*second) == written, "what is kept comes back");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto bytes = fuzz::text_of(data, size).substr(1);
  switch (data[0]) {
    case 'r': check(bytes, model::decode_record, model::encode_record); break;
    case 's': check(bytes, model::decode_schema, model::encode_schema); break;
    case 'c':
      check(bytes, protocols::decode_catalog, [](const auto& c) { return protocols::encode(c); });
      break;
    case 'i': check(bytes, proxy::decode_images, proxy::encode_images); break;
    default:
      // Keys are compared by their bytes: a key has one form.
      if (const auto key = model::decode_key(bytes)) must(model::encode(*key) == bytes, "a key has one form");
      if (const auto uuid = model::parse_uuid(bytes))
        must(model::parse_uuid(model::to_string(*uuid)) == uuid, "a UUID");
  }
  return 0;
}
