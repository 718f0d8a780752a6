// Run: one run() of the copy, in its phases: plan every collection, copy their ranges with several workers,
// build the target's indexes.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "backfill/checkpoints.h"
#include "backfill/collection_copy.h"
#include "backfill/parts.h"

namespace vmproxy::backfill {

class Run {
 public:
  Run(Parts& parts, std::vector<Job> jobs, uint64_t generation);
  Result<void> execute();

 private:
  struct Share {
    CollectionCopy* collection;
    uint32_t range;
  };
  void begin(const char* phase);
  void plan();
  void copy();
  void work(size_t worker);
  void index();
  // What the collections' errors come to; nothing when there are none.
  Result<void> outcome() const;

  Parts& parts_;
  const Checkpoints checkpoints_;
  const size_t parallel_;
  std::vector<std::unique_ptr<CollectionCopy>> collections_;
  std::mutex mutex_;
  std::vector<Share> shares_;  // not yet taken, last first
};

}  // namespace vmproxy::backfill
