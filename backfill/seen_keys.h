// SeenKeys: notices that a scan shows a key twice (a source that keeps duplicates, a record that moved while
// it was scanned). Which of the rows the target then holds is chance, so such keys are owed a READ (H19).
//
// Exact for rows in flight; acknowledged ones are kept in a Bloom filter of at most 8 MiB, so of many
// millions a few that came once are read again for nothing, and two rows of a key that come more than some million rows
// apart are left to validation. Thread-safe.
#pragma once

#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "model/key.h"

namespace vmproxy::backfill {

class SeenKeys {
 public:
  // `expected` records; 0: not known.
  explicit SeenKeys(uint64_t expected);

  static uint64_t hash_of(const model::Key& key);
  // Keys of a page about to be handed over; how many of them were seen before.
  size_t enter(const std::vector<uint64_t>& hashes);
  // True for each key that came twice so far.
  std::vector<bool> twice(const std::vector<uint64_t>& hashes) const;
  // The page was acknowledged, or given up: then it will come again.
  void leave(const std::vector<uint64_t>& hashes, bool acknowledged);

 private:
  struct InFlight {
    uint32_t rows = 0;
    bool twice = false;
  };
  bool known(uint64_t hash) const;
  void add(uint64_t hash);

  mutable std::mutex mutex_;
  std::unordered_map<uint64_t, InFlight> in_flight_;
  std::vector<uint64_t> bits_;
  uint64_t added_ = 0;
};

}  // namespace vmproxy::backfill
