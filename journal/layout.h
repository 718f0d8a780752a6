// How the journal's keys and values look in the store. Pure functions; journal.h shows the table of keys.
//
// Value:   u8 format | payload | u32 CRC32C over format, payload and the key it stands under
// Format 1 (the only one so far), LEB128 lengths as in model/codec.h:
//   intent   u8 0 | epoch | u8 primary | u8 class | operation | space | name | n keys | enumerated_from
//   hole     u8 1 | last seq of the hole
//   body     method | target | n (name value) | body
//   outcome  u8 whole | n u8 items | n (key, u8 present, record)
//   row      the caller's bytes
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "journal/journal.h"

namespace vmproxy::journal {

inline constexpr uint8_t value_format = 1;     // of each value
inline constexpr uint32_t journal_format = 1;  // of the whole, in "m" "format"

enum class Kind : char { intent = 'i', body = 'b', outcome = 'o', row = 'r', meta = 'm' };

std::string seq_key(Kind kind, Seq seq);
std::optional<Seq> seq_of(std::string_view key);
std::string row_key(std::string_view table, std::string_view key);
std::string meta_key(std::string_view name);
// The first key behind all that begin with prefix.
std::string after_prefix(std::string prefix);

// A value whose payload's checksum is already computed, so that only the key's few bytes remain to be added
// once it is known. append() uses that to do the long part outside its lock.
class SealedValue {
 public:
  explicit SealedValue(std::string payload_with_format);
  size_t size() const { return bytes_.size() + 4; }
  std::string finish(std::string_view key) &&;

 private:
  std::string bytes_;
  uint32_t crc_;
};

// The payload behind the format byte. Code::corrupt or Code::unsupported, with the key in words.
Result<std::string_view> unseal(std::string_view key, std::string_view value);
// "intent 17", "row d of ...": for people.
std::string describe_key(std::string_view key);

struct Hole {
  Seq last = 0;
};
using HeadOrHole = std::variant<IntentHead, Hole>;

SealedValue encode_head(const IntentHead& head);
SealedValue encode_hole(Hole hole);
SealedValue encode_body(const IntentBody& body);
SealedValue encode_outcome(const OutcomeRecord& outcome);
SealedValue encode_bytes(std::string_view bytes);  // rows and metas
Result<HeadOrHole> decode_head(std::string_view key, std::string_view value);
Result<IntentBody> decode_body(std::string_view key, std::string_view value);
Result<OutcomeRecord> decode_outcome(std::string_view key, std::string_view value);

// Metas.
struct BootMark {
  std::string boot_id;
  bool clean = false;
  Durability durability = Durability::fsync;
  uint64_t since_us = 0;  // wall clock
};
std::string encode_boot(const BootMark& mark);
std::optional<BootMark> decode_boot(std::string_view payload);
std::string encode_number(uint64_t number);
std::optional<uint64_t> decode_number(std::string_view payload);

}  // namespace vmproxy::journal
