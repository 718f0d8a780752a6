#include "journal/layout.h"

#include "model/codec.h"
#include "store/crc32c.h"

namespace vmproxy::journal {
namespace {

Error damaged(std::string_view key, std::string_view how) {
  return {Code::corrupt,
          "journal: " + describe_key(key) + " is damaged (" + std::string(how) +
              "). Run 'vmproxy journal verify' to see all damage; what it lists may be missing on the "
              "replica until it is copied and validated again"};
}

std::string with_format() {
  return std::string(1, static_cast<char>(value_format));
}

model::Writer begin() {
  model::Writer out;
  out.u8(value_format);
  return out;
}

constexpr uint8_t makes_keys_bit = 0x80;  // in the byte of an intent's class

}  // namespace

std::string seq_key(Kind kind, Seq seq) {
  std::string key(9, static_cast<char>(kind));
  for (int i = 8; i >= 1; --i, seq >>= 8) key[static_cast<size_t>(i)] = static_cast<char>(seq & 0xff);
  return key;
}

std::optional<Seq> seq_of(std::string_view key) {
  if (key.size() != 9) return std::nullopt;
  Seq seq = 0;
  for (size_t i = 1; i < 9; ++i) seq = (seq << 8) | static_cast<uint8_t>(key[i]);
  return seq;
}

std::string row_key(std::string_view table, std::string_view key) {
  std::string out;
  out.reserve(2 + table.size() + key.size());
  out += static_cast<char>(Kind::row);
  out += table;
  out += '\0';
  out += key;
  return out;
}

std::string meta_key(std::string_view name) {
  return std::string(1, static_cast<char>(Kind::meta)).append(name);
}

std::string after_prefix(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
  if (!prefix.empty()) prefix.back() = static_cast<char>(static_cast<uint8_t>(prefix.back()) + 1);
  return prefix;
}

SealedValue::SealedValue(std::string payload_with_format)
    : bytes_(std::move(payload_with_format)), crc_(store::crc32c_extend(0, bytes_)) {}

std::string SealedValue::finish(std::string_view key) && {
  const uint32_t crc = store::crc32c_extend(crc_, key);
  for (int shift = 0; shift < 32; shift += 8) bytes_ += static_cast<char>((crc >> shift) & 0xff);
  return std::move(bytes_);
}

Result<std::string_view> unseal(std::string_view key, std::string_view value) {
  if (value.size() < 5) return damaged(key, "only " + std::to_string(value.size()) + " bytes");
  const std::string_view covered = value.substr(0, value.size() - 4);
  uint32_t stored = 0;
  for (size_t i = 0; i < 4; ++i)
    stored |= static_cast<uint32_t>(static_cast<uint8_t>(value[covered.size() + i])) << (8 * i);
  if (stored != store::crc32c_extend(store::crc32c_extend(0, covered), key))
    return damaged(key, "wrong checksum");
  const auto format = static_cast<uint8_t>(value[0]);
  if (format != value_format) {
    return Error(Code::unsupported,
                 "journal: " + describe_key(key) + " has format " + std::to_string(format) +
                     "; this vmproxy knows format 1. Use the vmproxy that wrote it, or a newer one");
  }
  return covered.substr(1);
}

std::string describe_key(std::string_view key) {
  if (key.empty()) return "an entry without a key";
  const auto seq = seq_of(key);
  switch (static_cast<Kind>(key[0])) {
    case Kind::intent: return "intent " + (seq ? std::to_string(*seq) : "of no number");
    case Kind::body: return "the body of intent " + (seq ? std::to_string(*seq) : "of no number");
    case Kind::outcome: return "the outcome of intent " + (seq ? std::to_string(*seq) : "of no number");
    case Kind::meta: return "meta entry '" + std::string(key.substr(1)) + "'";
    case Kind::row: break;
  }
  const size_t end = key.find('\0');
  std::string text =
      "a row of table '" + std::string(key.substr(1, end == key.npos ? 0 : end - 1)) + "', key ";
  for (const char c : key.substr(end == key.npos ? 1 : end + 1).substr(0, 80))
    text += c >= ' ' && c < 127 ? c : '.';
  return text;
}

SealedValue encode_head(const IntentHead& head) {
  auto out = begin();
  out.u8(0);
  out.varint(head.epoch);
  out.u8(static_cast<uint8_t>(head.primary));
  out.u8(static_cast<uint8_t>(static_cast<uint8_t>(head.cls) | (head.makes_keys ? makes_keys_bit : 0)));
  out.bytes(head.operation);
  out.bytes(head.collection.space);
  out.bytes(head.collection.name);
  out.varint(head.keys.size());
  for (const auto& key : head.keys) out.key(key);
  out.varint(head.enumerated_from);
  return SealedValue(out.take());
}

SealedValue encode_hole(Hole hole) {
  auto out = begin();
  out.u8(1);
  out.varint(hole.last);
  return SealedValue(out.take());
}

SealedValue encode_body(const IntentBody& body) {
  auto out = begin();
  out.bytes(body.method);
  out.bytes(body.target);
  out.varint(body.headers.all().size());
  for (const auto& [name, value] : body.headers.all()) {
    out.bytes(name);
    out.bytes(value);
  }
  out.varint(body.body.size());
  std::string bytes = out.take();
  bytes.reserve(bytes.size() + body.body.size() + 4);
  bytes += body.body;
  return SealedValue(std::move(bytes));
}

SealedValue encode_outcome(const OutcomeRecord& outcome) {
  auto out = begin();
  out.u8(static_cast<uint8_t>(outcome.whole));
  out.varint(outcome.items.size());
  for (const auto item : outcome.items) out.u8(static_cast<uint8_t>(item));
  out.varint(outcome.images.size());
  for (const auto& image : outcome.images) {
    out.key(image.key);
    out.u8(image.record ? 1 : 0);
    if (image.record) out.bytes(model::encode_record(*image.record));
  }
  return SealedValue(out.take());
}

SealedValue encode_bytes(std::string_view bytes) {
  return SealedValue(with_format().append(bytes));
}

Result<HeadOrHole> decode_head(std::string_view key, std::string_view value) {
  auto payload = unseal(key, value);
  if (!payload) return payload.error();
  const auto seq = seq_of(key);
  if (!seq) return damaged(key, "a key of the wrong length");
  model::Reader in(*payload);
  const uint8_t what = in.u8();
  if (what == 1) {
    const Hole hole{in.varint()};
    if (!in.done() || hole.last < *seq) return damaged(key, "an impossible hole");
    return HeadOrHole(hole);
  }
  IntentHead head;
  head.seq = *seq;
  head.epoch = in.varint();
  const uint8_t primary = in.u8();
  const uint8_t cls_and_bit = in.u8();
  const auto cls = static_cast<uint8_t>(cls_and_bit & ~makes_keys_bit);
  head.operation = in.bytes();
  head.collection.space = in.bytes();
  head.collection.name = in.bytes();
  const uint64_t keys = in.varint();
  if (what != 0 || primary > 1 || cls > static_cast<uint8_t>(IntentClass::opaque) || keys > payload->size()) {
    return damaged(key, "impossible fields");
  }
  head.primary = static_cast<Side>(primary);
  head.cls = static_cast<IntentClass>(cls);
  head.makes_keys = (cls_and_bit & makes_keys_bit) != 0;
  head.keys.reserve(keys);
  for (uint64_t i = 0; i < keys && in.ok(); ++i) head.keys.push_back(in.key());
  head.enumerated_from = in.varint();
  if (!in.done()) return damaged(key, "fields that do not fill it");
  return HeadOrHole(std::move(head));
}

Result<IntentBody> decode_body(std::string_view key, std::string_view value) {
  auto payload = unseal(key, value);
  if (!payload) return payload.error();
  model::Reader in(*payload);
  IntentBody body;
  body.method = in.bytes();
  body.target = in.bytes();
  const uint64_t headers = in.varint();
  for (uint64_t i = 0; i < headers && in.ok(); ++i) {
    const std::string name = in.bytes();
    body.headers.add(name, in.view());
  }
  body.body = in.bytes();
  if (!in.done()) return damaged(key, "fields that do not fill it");
  return body;
}

Result<OutcomeRecord> decode_outcome(std::string_view key, std::string_view value) {
  auto payload = unseal(key, value);
  if (!payload) return payload.error();
  model::Reader in(*payload);
  OutcomeRecord outcome;
  const auto read_outcome = [&]() -> std::optional<model::Outcome> {
    const uint8_t byte = in.u8();
    if (byte > static_cast<uint8_t>(model::Outcome::uncertain)) return std::nullopt;
    return static_cast<model::Outcome>(byte);
  };
  const auto whole = read_outcome();
  if (!whole) return damaged(key, "impossible outcome");
  outcome.whole = *whole;
  const uint64_t items = in.varint();
  for (uint64_t i = 0; i < items && in.ok(); ++i) {
    const auto item = read_outcome();
    if (!item) return damaged(key, "impossible outcome");
    outcome.items.push_back(*item);
  }
  const uint64_t images = in.varint();
  for (uint64_t i = 0; i < images && in.ok(); ++i) {
    Image image;
    image.key = in.key();
    if (in.u8() != 0) {
      auto record = model::decode_record(in.view());
      if (!record) return record.error().within("journal: " + describe_key(key));
      image.record = std::move(*record);
    }
    outcome.images.push_back(std::move(image));
  }
  if (!in.done()) return damaged(key, "fields that do not fill it");
  return outcome;
}

std::string encode_boot(const BootMark& mark) {
  model::Writer out;
  out.bytes(mark.boot_id);
  out.u8(mark.clean ? 1 : 0);
  out.u8(static_cast<uint8_t>(mark.durability));
  out.u64(mark.since_us);
  return out.take();
}

std::optional<BootMark> decode_boot(std::string_view payload) {
  model::Reader in(payload);
  BootMark mark;
  mark.boot_id = in.bytes();
  mark.clean = in.u8() != 0;
  const uint8_t durability = in.u8();
  mark.since_us = in.u64();
  if (!in.done() || durability > 1) return std::nullopt;
  mark.durability = static_cast<Durability>(durability);
  return mark;
}

std::string encode_number(uint64_t number) {
  model::Writer out;
  out.u64(number);
  return out.take();
}

std::optional<uint64_t> decode_number(std::string_view payload) {
  model::Reader in(payload);
  const uint64_t number = in.u64();
  if (!in.done()) return std::nullopt;
  return number;
}

}  // namespace vmproxy::journal
