// WriteMarks: has a write of these records begun since? A fixed table of counters that keys share by their hash: a
// neighbour's write only costs a second look. Thread-safe, without locks.
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
  // A write of these encoded keys begins; `broad`: of records that it does not name.
  void begin(const std::string& collection, std::span<const std::string> keys, bool broad) {
    ++total_;
    ++at(collection);
    if (broad) ++at(collection + "\\broad");
    for (const auto& key : keys) ++at(collection + '\0' + key);
  }

  uint64_t total() const { return total_; }  // writes that have begun
  // Of the writes that could change one of these records, or, without keys, the collection: another number when one has
  // begun in between.
  uint64_t of(const model::CollectionName& name, std::span<const model::Key> keys) const {
    const std::string collection = model::to_string(name);
    if (keys.empty()) return at(collection);
    uint64_t sum = at(collection + "\\broad");
    for (const auto& key : keys) sum += at(collection + '\0' + model::encode(key));
    return sum;
  }

 private:
  static size_t slot(const std::string& text) { return std::hash<std::string>()(text) % slots; }
  std::atomic<uint64_t>& at(const std::string& text) { return counts_[slot(text)]; }
  uint64_t at(const std::string& text) const { return counts_[slot(text)]; }

  static constexpr size_t slots = 4096;
  std::atomic<uint64_t> total_{0};
  std::array<std::atomic<uint64_t>, slots> counts_{};
};

}  // namespace vmproxy::proxy
