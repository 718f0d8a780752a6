// WriteMarks: has the mirror got something to write of these records since? Fixed tables of counters that keys share by
// their hash: a neighbour's write only costs a second look. Thread-safe, without locks.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/key.h"

namespace vmproxy::proxy {

class WriteMarks {
 public:
  // Held while lanes get entries of these encoded keys: from before the write has left the in-flight table, and before an
  // entry can be applied, until everybody can see them there.
  class Coming {
   public:
    Coming(WriteMarks& marks, const std::string& collection, const std::string& key)
        : Coming(marks, collection, std::span<const std::string>(&key, 1)) {}
    Coming(WriteMarks& marks, const std::string& collection, std::span<const std::string> keys)
        : marks_(marks) {
      if (keys.empty()) return;
      slots_.reserve(keys.size() + 1);
      slots_.push_back(slot(collection));
      for (const auto& key : keys) slots_.push_back(slot(collection, key));
      begin();
    }
    // Which keys of the collection is only found out under way: any may be one.
    Coming(WriteMarks& marks, const std::string& collection)
        : marks_(marks), slots_{slot(collection), slot_of_any(collection)} {
      begin();
    }
    Coming(const Coming&) = delete;
    ~Coming() {
      for (const size_t at : slots_) ++marks_.came_[at];
    }

   private:
    void begin() {
      for (const size_t at : slots_) ++marks_.coming_[at];
    }

    WriteMarks& marks_;
    std::vector<size_t> slots_;
  };
  // Right now, of this encoded key.
  bool coming(const std::string& collection, const std::string& key) const {
    const size_t one = slot(collection, key), any = slot_of_any(collection);
    const uint64_t came = came_[one] + came_[any];
    return came != coming_[one] + coming_[any];
  }
  // Another number when a lane got an entry of one of these keys in between; without keys: of the collection. Nothing: it
  // is getting one right now.
  std::optional<uint64_t> of(const model::CollectionName& name, std::span<const model::Key> keys) const {
    const std::string collection = model::to_string(name);
    const auto sum = [&](const Counts& counts) -> uint64_t {
      if (keys.empty()) return counts[slot(collection)];
      uint64_t all = counts[slot_of_any(collection)];
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
  // No key is encoded so.
  static size_t slot_of_any(const std::string& collection) { return slot(collection, "*"); }

  static constexpr size_t slots = 4096;
  using Counts = std::array<std::atomic<uint64_t>, slots>;
  Counts coming_{}, came_{};
};

}  // namespace vmproxy::proxy
