// Suspects: keys of which nobody knows whether the primary has shown its last state: a write of unknown outcome may still be
// executed where nothing bounds that, or a READ may have been stale (correctness.md 2 and 3). Durable, so that each
// validation and each change of the primary reads them again, also after a restart.
//
// That two reads show the same proves nothing (H48): a mark is struck only once a debt stands for it, see
// Mirror::carry_suspects(). Thread-safe. mark() and strike() never block on disk, the others do.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_set>
#include <vector>

#include "journal/journal.h"

namespace vmproxy::proxy {

struct SuspectKey {
  std::string collection;
  std::string key;  // encoded
};

class Suspects {
 public:
  explicit Suspects(journal::Journal& journal) : journal_(journal) {}

  Result<void> restore();
  // Durable before, or with, whatever is put into the journal after this call. A key that is marked already stays so.
  void mark(const std::string& collection, const std::vector<std::string>& keys);
  void strike(const std::vector<SuspectKey>& keys);
  // In the order of their rows, at most `max`, behind `*last` when it is given; also those marked a moment ago.
  Result<std::vector<SuspectKey>> after(const SuspectKey* last, size_t max);
  uint64_t count() const;

 private:
  static std::string row_of(const std::string& collection, const std::string& key) {
    return collection + '\0' + key;
  }

  journal::Journal& journal_;
  mutable std::mutex mutex_;
  uint64_t count_ = 0;
  // Hashes of the rows, only so that a key that is marked again counts once. Bounded by known_max; beyond it may count twice.
  std::unordered_set<size_t> known_;
  static constexpr size_t known_max = 1'000'000;
};

}  // namespace vmproxy::proxy
