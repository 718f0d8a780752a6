#include "model/key.h"

namespace vmproxy::model {
namespace {

constexpr char hex_digits[] = "0123456789abcdef";

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void append_big_endian(std::string& out, uint64_t v) {
  for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(v >> shift);
}

uint64_t read_big_endian(std::string_view bytes) {
  uint64_t v = 0;
  for (int i = 0; i < 8; ++i) v = (v << 8) | static_cast<uint8_t>(bytes[i]);
  return v;
}

// 0x00 is written as 0x00 0xff and the end as 0x00 0x01, so that a prefix sorts before what it begins.
void append_terminated(std::string& out, std::string_view text) {
  for (const char c : text) {
    out += c;
    if (c == 0) out += '\xff';
  }
  out += '\0';
  out += '\x01';
}

bool read_terminated(std::string_view& bytes, std::string& out) {
  for (size_t i = 0; i + 1 < bytes.size(); ++i) {
    if (bytes[i] != 0) {
      out += bytes[i];
    } else if (bytes[i + 1] == '\xff') {
      out += '\0';
      ++i;
    } else if (bytes[i + 1] == '\x01') {
      bytes.remove_prefix(i + 2);
      return true;
    } else {
      return false;
    }
  }
  return false;
}

}  // namespace

std::string to_string(const Uuid& uuid) {
  std::string text;
  for (size_t i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += hex_digits[uuid.bytes[i] >> 4];
    text += hex_digits[uuid.bytes[i] & 15];
  }
  return text;
}

std::optional<Uuid> parse_uuid(std::string_view text) {
  if (text.starts_with("urn:uuid:")) text.remove_prefix(9);
  if (text.size() == 38 && text.front() == '{' && text.back() == '}') text = text.substr(1, 36);
  const bool dashed = text.size() == 36;
  if (!dashed && text.size() != 32) return std::nullopt;
  Uuid uuid;
  size_t digit = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (dashed && (i == 8 || i == 13 || i == 18 || i == 23)) {
      if (text[i] != '-') return std::nullopt;
      continue;
    }
    const int v = hex_value(text[i]);
    if (v < 0) return std::nullopt;
    auto& byte = uuid.bytes[digit / 2];
    byte = static_cast<uint8_t>(digit % 2 == 0 ? v << 4 : byte | v);
    ++digit;
  }
  return uuid;
}

std::string to_string(const Id& id) {
  switch (id.kind()) {
    case IdKind::u64: return std::to_string(std::get<uint64_t>(id.value));
    case IdKind::i64: return std::to_string(std::get<int64_t>(id.value));
    case IdKind::uuid: return to_string(std::get<Uuid>(id.value));
    case IdKind::string: return std::get<std::string>(id.value);
  }
  return {};
}

std::string encode(const Key& key) {
  std::string out;
  append_terminated(out, key.partition);
  out += static_cast<char>(key.id.kind());
  switch (key.id.kind()) {
    case IdKind::u64: append_big_endian(out, std::get<uint64_t>(key.id.value)); break;
    case IdKind::i64:
      append_big_endian(out, static_cast<uint64_t>(std::get<int64_t>(key.id.value)) ^ (1ULL << 63));
      break;
    case IdKind::uuid:
      for (const auto byte : std::get<Uuid>(key.id.value).bytes) out += static_cast<char>(byte);
      break;
    case IdKind::string: out += std::get<std::string>(key.id.value); break;
  }
  return out;
}

std::optional<Key> decode_key(std::string_view bytes) {
  Key key;
  if (!read_terminated(bytes, key.partition) || bytes.empty()) return std::nullopt;
  const auto kind = static_cast<uint8_t>(bytes[0]);
  bytes.remove_prefix(1);
  switch (kind) {
    case 0:
      if (bytes.size() != 8) return std::nullopt;
      key.id.value = read_big_endian(bytes);
      return key;
    case 1:
      if (bytes.size() != 8) return std::nullopt;
      key.id.value = static_cast<int64_t>(read_big_endian(bytes) ^ (1ULL << 63));
      return key;
    case 2: {
      if (bytes.size() != 16) return std::nullopt;
      Uuid uuid;
      for (size_t i = 0; i < 16; ++i) uuid.bytes[i] = static_cast<uint8_t>(bytes[i]);
      key.id.value = uuid;
      return key;
    }
    case 3: key.id.value = std::string(bytes); return key;
    default: return std::nullopt;
  }
}

std::string to_string(const CollectionName& name) {
  return name.space.empty() ? name.name : name.space + "/" + name.name;
}

}  // namespace vmproxy::model
