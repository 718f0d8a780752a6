// Sink: where copied rows and repairs enter the ordered lanes that write to the replica. Implemented by
// proxy/'s mirror; backfill and validation know only this, so that everything that writes to the replica is
// ordered per key in one place. Thread-safe.
#pragma once

#include <functional>
#include <vector>

#include "base/error.h"
#include "model/key.h"
#include "model/record.h"

namespace vmproxy::journal {

struct BackfillDone {
  uint64_t applied = 0;
  uint64_t dropped = 0;      // the key was touched by a live write in this generation: the mirror has it
  uint64_t quarantined = 0;  // the replica refused the row for good
};

class Sink {
 public:
  virtual ~Sink() = default;

  // Rows of the copy, in the source's form. Each enters its key's lane, where it is dropped when the key was
  // touched in this generation, else written insert-only. Blocks while the lanes' copy buffers are full
  // (back-pressure). `done` runs on a lane thread when the replica has acknowledged or the lane has dropped
  // all of them; an error means that the lanes were stopped (shutdown, incarnation changed:
  // Code::precondition) and the rows must be scanned again.
  virtual void backfill(const model::CollectionName& collection, uint64_t incarnation,
                        std::vector<model::Record> rows, std::function<void(Result<BackfillDone>)> done) = 0;

  // Some write, debt or unapplied entry is under way for the key: both sides may differ right now.
  virtual bool dirty(const model::CollectionName& collection, const model::Key& key) = 0;

  // The replica refused the key's record for good and that is known (it closes a gate of its own): a difference
  // there is no news, and a repair would only be refused again.
  virtual bool quarantined(const model::CollectionName&, const model::Key&) { return false; }

  // Erases from the target what it holds under keys, in its own form, that no key of the source becomes: no lane ever names them.
  // Only while the source is the primary, and only from what is ours.
  virtual Result<void> erase_strays(const model::CollectionName& collection,
                                    const std::vector<model::Key>& keys) = 0;

  // Owes each key a READ of the primary (a durable debt with a new position), and a comparison before the primary changes.
  virtual Result<void> repair(const model::CollectionName& collection,
                              const std::vector<model::Key>& keys) = 0;
};

}  // namespace vmproxy::journal
