// A Store in memory for tests: remembers which batches were synced, can lose the rest, can fail on purpose.
#pragma once

#include "store/store.h"

namespace vmproxy::store {

class MemoryStore : public Store {
 public:
  virtual void lose_unsynced() = 0;                     // what a power cut does
  virtual void fail_next_commits(int count) = 0;        // Code::io, nothing applied
};
std::unique_ptr<MemoryStore> make_memory_store();

}  // namespace vmproxy::store
