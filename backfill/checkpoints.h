// Checkpoints: what the journal remembers of a copy. Rows of the table `checkpoints`, every key begins with
// the migration's generation (8 bytes, big-endian), the collection and NUL:
//   "p"            the plan: mapping hash, incarnation, number of ranges, total; written last, so it vouches
//   for the ranges "b" index      the range as the source's driver planned it "r" index      how far it came:
//   cursor, done, counts; replaced as a whole after every acknowledged page "i"            the target's
//   indexes are built
// Thread-safe, as the journal is. Damage is Code::corrupt and says what to do.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backfill/counts.h"
#include "journal/journal.h"
#include "protocols/api/driver.h"

namespace vmproxy::backfill {

inline constexpr uint64_t total_unknown = ~0ull;

struct PlanRow {
  uint64_t mapping_hash = 0;
  uint64_t incarnation = 0;
  uint64_t total = total_unknown;
  uint32_t ranges = 0;
};

struct RangeRow {
  std::string cursor;
  bool done = false;
  Counts counts;
};

class Checkpoints {
 public:
  Checkpoints(journal::Journal& journal, uint64_t generation) : journal_(journal), generation_(generation) {}

  Result<std::optional<PlanRow>> plan(const model::CollectionName& name) const;
  // Durable when it returns.
  Result<void> commit_plan(const model::CollectionName& name, const PlanRow& plan,
                           const std::vector<protocols::ScanRange>& ranges) const;
  Result<protocols::ScanRange> range(const model::CollectionName& name, uint32_t index) const;
  Result<RangeRow> progress(const model::CollectionName& name, uint32_t index) const;
  // Ordered after every row that was put before; a crash may lose it, which costs scanning the page again.
  void put(const model::CollectionName& name, uint32_t index, const RangeRow& row) const;
  Result<void> commit(const model::CollectionName& name, uint32_t index, const RangeRow& row) const;
  Result<bool> indexed(const model::CollectionName& name) const;
  Result<void> commit_indexed(const model::CollectionName& name) const;
  Result<void> forget_indexed(const model::CollectionName& name) const;

  Result<void> forget() const;
  Result<void> forget(const model::CollectionName& name) const;

 private:
  std::string key(const model::CollectionName& name, std::string_view what) const;
  std::string key(const model::CollectionName& name, char what, uint32_t index) const;
  journal::Row progress_row(const model::CollectionName& name, uint32_t index, const RangeRow& row) const;

  journal::Journal& journal_;
  const uint64_t generation_;
};

}  // namespace vmproxy::backfill
