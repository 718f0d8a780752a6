// WriteMarks: has the mirror got something to write of these records since? Fixed tables of counters that keys share by
// their hash: a neighbour's write only costs a second look. Thread-safe, without locks.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "model/key.h"

namespace vmproxy::proxy {

class WriteMarks {
 public:
  // Held while a lane gets an entry of this encoded key: from before it can be applied until everybody can see it there.
  class Coming {
   public:
    Coming(WriteMarks& marks, const std::string& collection, const std::string& key)
        : marks_(marks), slots_{slot(collection), slot(collection, key)} {
      for (const size_t at : slots_) ++marks_.coming_[at];
    }
    Coming(const Coming&) = delete;
    ~Coming() {
      for (const size_t at : slots_) ++marks_.came_[at];
    }

   private:
    WriteMarks& marks_;
    const std::array<size_t, 2> slots_;
  };
  // Another number when a lane got an entry of one of these keys in between; without keys: of the collection. Nothing: it
  // is getting one right now.
  std::optional<uint64_t> of(const model::CollectionName& name, std::span<const model::Key> keys) const {
    const std::string collection = model::to_string(name);
    const auto sum = [&](const Counts& counts) -> uint64_t {
      if (keys.empty()) return counts[slot(collection)];
      uint64_t all = 0;
      for (const auto& key : keys) all += counts[slot(collection, model::encode(key))];
      return all;
    };
    // In this order: equal sums say that whatever had begun to come had come.
    const uint64_t came = sum(came_);
    const uint64_t coming = sum(coming_);
    if (came != coming) return std::nullopt;
    return coming;
  }

 private:
  // An encoded key is never empty, so a collection has a slot of its own.
  static size_t slot(const std::string& collection, const std::string& key = {}) {
    return (std::hash<std::string>()(collection) * 31 + std::hash<std::string>()(key)) % slots;
  }

  static constexpr size_t slots = 4096;
  using Counts = std::array<std::atomic<uint64_t>, slots>;
  Counts coming_{}, came_{};
};

}  // namespace vmproxy::proxy
