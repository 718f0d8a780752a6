// CollectionCopy: one collection's copy: its plan, and what its ranges share while they are copied.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "backfill/checkpoints.h"
#include "backfill/id_map.h"
#include "backfill/parts.h"
#include "backfill/seen_keys.h"

namespace vmproxy::backfill {

class CollectionCopy {
 public:
  CollectionCopy(Parts& parts, const Checkpoints& checkpoints, Job job);

  // From the rows, or newly planned and made durable. Waits for a source that is away. Refuses what the rows
  // were not made for.
  Result<void> plan(size_t ranges_wanted_max);
  // Of all ranges, as the rows say.
  Result<Counts> counted() const;
  Result<void> build_indexes();

  const std::string& label() const { return label_; }
  const Job& job() const { return job_; }
  const PlanRow& planned() const { return plan_; }
  const model::Schema& schema() const { return job_.plan->source(); }
  const Checkpoints& checkpoints() const { return checkpoints_; }
  PageSize& page_size() { return page_size_; }
  // Made when the first range begins, freed when the last has ended.
  std::shared_ptr<SeenKeys> seen();
  void range_ended();
  IdMap* ids() { return ids_.get(); }  // nothing: not needed

  // The first error of any range; the others of this collection end too.
  void fail(Error error);
  std::optional<Error> error() const;

 private:
  Result<void> check(const PlanRow& row) const;
  Result<uint64_t> count();

  Parts& parts_;
  const Checkpoints& checkpoints_;
  const Job job_;
  const std::string label_;
  PlanRow plan_;
  PageSize page_size_;
  std::unique_ptr<IdMap> ids_;
  mutable std::mutex mutex_;
  std::shared_ptr<SeenKeys> seen_;
  uint32_t ranges_left_ = 0;
  std::optional<Error> error_;
};

}  // namespace vmproxy::backfill
