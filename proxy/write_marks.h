// WriteMarks: has the mirror got something to write of these records since? A fixed table of counters that keys share by
// their hash: a neighbour's write only costs a second look. Also how many writes have begun. Thread-safe, without locks.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <string>

#include "model/key.h"

namespace vmproxy::proxy {

class WriteMarks {
 public:
  void begin() { ++begun_; }  // a write
  uint64_t begun() const { return begun_; }

  // Before a lane gets an entry of this encoded key.
  void put(const std::string& collection, const std::string& key) {
    ++counts_[slot(collection)];
    ++counts_[slot(collection, key)];
  }
  // Another number when a lane got an entry of one of these keys in between; without keys: of the collection.
  uint64_t of(const model::CollectionName& name, std::span<const model::Key> keys) const {
    const std::string collection = model::to_string(name);
    if (keys.empty()) return counts_[slot(collection)];
    uint64_t sum = 0;
    for (const auto& key : keys) sum += counts_[slot(collection, model::encode(key))];
    return sum;
  }

 private:
  // An encoded key is never empty, so a collection has a slot of its own.
  static size_t slot(const std::string& collection, const std::string& key = {}) {
    return (std::hash<std::string>()(collection) * 31 + std::hash<std::string>()(key)) % slots;
  }

  static constexpr size_t slots = 4096;
  std::atomic<uint64_t> begun_{0};
  std::array<std::atomic<uint64_t>, slots> counts_{};
};

}  // namespace vmproxy::proxy
