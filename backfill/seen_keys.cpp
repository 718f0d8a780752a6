#include "backfill/seen_keys.h"

#include <algorithm>
#include <bit>
#include <functional>

namespace vmproxy::backfill {
namespace {

constexpr uint64_t bits_max = 64ull << 20;  // 8 MiB
constexpr uint64_t bits_min = 1ull << 16;
// Of a million keys none is then called known wrongly. Each that is costs a READ, for which some databases take a fifth
// of a second (docs/decisions/0023-what-a-copy-waits-for.md).
constexpr uint64_t bits_per_key = 64;
constexpr uint64_t bits_per_key_min = 12;  // about 1 key in 300, at the end of a filter's time
constexpr int probes = 8;

}  // namespace

SeenKeys::SeenKeys(uint64_t expected) {
  const uint64_t wanted =
      expected == 0 || expected > bits_max / bits_per_key ? bits_max : expected * bits_per_key;
  bits_.resize(std::bit_ceil(std::clamp(wanted, bits_min, bits_max)) / 64);
}

uint64_t SeenKeys::hash_of(const model::Key& key) {
  return std::hash<std::string>{}(model::encode(key));
}

bool SeenKeys::known(uint64_t hash) const {
  const uint64_t mask = bits_.size() * 64 - 1;
  uint64_t at = hash;
  const uint64_t step = (hash >> 32) | 1;
  for (int i = 0; i < probes; ++i, at += step) {
    if ((bits_[(at & mask) / 64] >> (at % 64) & 1) == 0) return false;
  }
  return true;
}

void SeenKeys::add(uint64_t hash) {
  // Fuller than this it would call too many keys known: begin anew, and forget what lies that far back.
  if (++added_ > bits_.size() * 64 / bits_per_key_min) {
    std::fill(bits_.begin(), bits_.end(), 0);
    added_ = 1;
  }
  const uint64_t mask = bits_.size() * 64 - 1;
  uint64_t at = hash;
  const uint64_t step = (hash >> 32) | 1;
  for (int i = 0; i < probes; ++i, at += step) bits_[(at & mask) / 64] |= 1ull << (at % 64);
}

size_t SeenKeys::enter(const std::vector<uint64_t>& hashes) {
  std::lock_guard hold(mutex_);
  size_t count = 0;
  for (const uint64_t hash : hashes) {
    auto& entry = in_flight_[hash];
    if (entry.rows > 0 || known(hash)) {
      entry.twice = true;
      ++count;
    }
    ++entry.rows;
  }
  return count;
}

std::vector<bool> SeenKeys::twice(const std::vector<uint64_t>& hashes) const {
  std::lock_guard hold(mutex_);
  std::vector<bool> result(hashes.size());
  for (size_t i = 0; i < hashes.size(); ++i) {
    const auto entry = in_flight_.find(hashes[i]);
    result[i] = entry != in_flight_.end() && entry->second.twice;
  }
  return result;
}

void SeenKeys::leave(const std::vector<uint64_t>& hashes, bool acknowledged) {
  std::lock_guard hold(mutex_);
  for (const uint64_t hash : hashes) {
    const auto entry = in_flight_.find(hash);
    if (entry == in_flight_.end()) continue;
    if (--entry->second.rows == 0) in_flight_.erase(entry);
    if (acknowledged) add(hash);
  }
}

}  // namespace vmproxy::backfill
