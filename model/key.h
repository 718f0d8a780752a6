// Identity of a record: its id, and the partition (namespace, tenant) where ids are unique per partition.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace vmproxy::model {

struct Uuid {
  std::array<uint8_t, 16> bytes{};
  auto operator<=>(const Uuid&) const = default;
};
// Lower-case 8-4-4-4-12.
std::string to_string(const Uuid& uuid);
// Accepts the canonical form, upper case, braces, urn:uuid: and 32 digits.
std::optional<Uuid> parse_uuid(std::string_view text);

enum class IdKind : uint8_t { u64, i64, uuid, string };

struct Id {
  std::variant<uint64_t, int64_t, Uuid, std::string> value;

  IdKind kind() const { return static_cast<IdKind>(value.index()); }
  auto operator<=>(const Id&) const = default;
};
// For people: the digits, the canonical UUID, or the text itself.
std::string to_string(const Id& id);

struct Key {
  std::string partition;  // empty where the system has none
  Id id;
  auto operator<=>(const Key&) const = default;
};

// Canonical bytes of a key: equal keys give equal bytes, and byte order is (partition, kind, id) order.
std::string encode(const Key& key);
// Nothing when the bytes are not of encode().
std::optional<Key> decode_key(std::string_view bytes);

// Name of a collection: `space` is the path above it in systems that have one (tenant/database), else empty.
struct CollectionName {
  std::string space;
  std::string name;
  auto operator<=>(const CollectionName&) const = default;
};
std::string to_string(const CollectionName& name);  // "space/name", or "name"

}  // namespace vmproxy::model
