// WrittenKeys: the keys that were written since both sides were last seen to be equal there (correctness.md 6: the rolling
// comparison of PRE-DRAIN, and DELTA). Durable, so that a restart forgets none.
//
// Keys are noted in rounds. Whoever compares begins a new round first and looks at the older ones: a key that is written
// while it is compared stands in the new round as well, so that striking it out of the old one loses nothing.
// Thread-safe. note() never blocks on disk, the others do.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_set>
#include <vector>

#include "journal/journal.h"

namespace vmproxy::proxy {

struct WrittenKey {
  uint64_t round = 0;
  std::string collection;
  std::string key;  // encoded
};

class WrittenKeys {
 public:
  explicit WrittenKeys(journal::Journal& journal) : journal_(journal) {}

  Result<void> restore();
  // Durable before, or with, whatever is put into the journal after this call.
  void note(const std::string& collection, const std::vector<std::string>& keys);
  // Keys noted from now on belong to the round returned; all those of older rounds are on the disk when it returns.
  Result<uint64_t> begin_round();
  // Of rounds older than `round`, oldest first, at most `max`; after `*last` when it is given.
  Result<std::vector<WrittenKey>> before(uint64_t round, size_t max, const WrittenKey* last = nullptr);
  void strike(const std::vector<WrittenKey>& compared);
  // A clean full validation that began with this round vouches for all older ones.
  Result<void> strike_before(uint64_t round);
  // Whether any key of this collection was, before this call.
  Result<bool> any(const std::string& collection);
  uint64_t count() const;  // not yet compared; a key counts once in each round

 private:
  static std::string row_key(uint64_t round, const std::string& collection, const std::string& key);

  journal::Journal& journal_;
  mutable std::mutex mutex_;
  uint64_t round_ = 1;
  uint64_t count_ = 0;
  std::unordered_set<std::string> noted_;  // in this round; bounded by noted_max: above it a round begins
  static constexpr size_t noted_max = 100'000;
};

}  // namespace vmproxy::proxy
