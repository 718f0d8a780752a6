// Values of the journal. The first byte of an input says of which kind, the rest is its payload: with a right checksum, as
// damage that a checksum does not find, and as the whole value, as damage that it does.
#include "journal/layout.h"
#include "tests/fuzz/target.h"

using namespace vmproxy;
using namespace vmproxy::journal;
using fuzz::must;

namespace {

constexpr Seq seq = 7;

// What is read of a value, written, is read as the same.
template <class Decode, class Encode>
void check(std::string_view key, std::string_view value, Decode decode, Encode encode) {
  const auto first = decode(key, value);
  if (!first) {
    must(first.error().code == Code::corrupt || first.error().code == Code::unsupported,
         "damage is called so");
    return;
  }
  const std::string written = encode(*first).finish(key);
  const auto second = decode(key, written);
  must(second.has_value(), "what was written is read");
  must(encode(*second).finish(key) == written, "as the same");
  must(!decode(std::string(key) + "x", written).has_value(), "and under its own key alone");
}

SealedValue encode_entry(const HeadOrHole& entry) {
  if (const auto* hole = std::get_if<Hole>(&entry)) return encode_hole(*hole);
  return encode_head(std::get<IntentHead>(entry));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto payload = fuzz::text_of(data, size).substr(1);
  const auto kind = static_cast<Kind>(data[0]);
  const std::string key = seq_key(kind, seq);
  (void)describe_key(fuzz::text_of(data, size));
  for (const std::string& value : {encode_bytes(payload).finish(key), std::string(payload)}) {
    switch (kind) {
      case Kind::intent: check(key, value, decode_head, encode_entry); break;
      case Kind::body: check(key, value, decode_body, encode_body); break;
      case Kind::outcome: check(key, value, decode_outcome, encode_outcome); break;
      default: (void)unseal(key, value);
    }
  }
  if (const auto mark = decode_boot(payload))
    must(decode_boot(encode_boot(*mark))->since_us == mark->since_us, "a mark");
  if (const auto number = decode_number(payload))
    must(decode_number(encode_number(*number)) == number, "a number");
  return 0;
}
