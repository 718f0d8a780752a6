// IdMap: target id -> source id, kept where the mapping does not make it impossible by construction that two
// source ids meet on one target id. It proves injectivity as the copy goes: such a meeting is a COLLISION, a
// hard error that names both, because an insert-only write would hide it and lose one of the records (H11).
// Thread-safe.
#pragma once

#include <functional>
#include <mutex>
#include <span>

#include "journal/journal.h"
#include "mapping/plan.h"
#include "protocols/api/driver.h"

namespace vmproxy::backfill {

class IdMap {
 public:
  // How a source key looks on the target; of the plan, or a test's own.
  using ToTarget = std::function<Result<model::Key>(const model::Key&)>;

  IdMap(journal::Journal& journal, protocols::Driver& source, const model::Schema& schema, ToTarget to_target)
      : journal_(journal), source_(source), schema_(schema), to_target_(std::move(to_target)) {}

  // Enters the keys of a page, before it is handed over. Error precondition: a COLLISION. Errors of the
  // source: an id was taken by another key, and whether that record still exists could not be read.
  Result<void> enter(std::span<const model::Key> keys, Deadline deadline);

 private:
  Result<void> settle(const model::Key& there, const model::Key& newcomer, const model::Key& holder,
                      Deadline deadline);

  journal::Journal& journal_;
  protocols::Driver& source_;
  const model::Schema& schema_;
  const ToTarget to_target_;
  std::mutex mutex_;  // looking up and entering is one step
};

}  // namespace vmproxy::backfill
