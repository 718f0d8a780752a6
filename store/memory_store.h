// A Store in memory for tests: remembers which batches were synced, can lose the rest, can fail on purpose.
#pragma once

#include "store/store.h"

namespace vmproxy::store {

class MemoryStore : public Store {
 public:
  virtual void lose_unsynced() = 0;               // what a power cut does; boot_id() changes
  virtual void fail_next_commits(int count) = 0;  // Code::io, nothing applied; then fails until reopen()
  // Code::io although the batch reached the disk: a sync whose answer was an error.
  virtual void fail_next_commit_after_applying() = 0;
  virtual void fail_slot(bool fails) = 0;
  // Code::io for reads of a key with this in it, or from such a key on; of each with ""; of none without.
  virtual void fail_reads(std::optional<std::string> part) = 0;
  // write_slot() waits until released; slot_waits() tells whether one does.
  virtual void hold_slot(bool hold) = 0;
  virtual bool slot_waits() = 0;
  virtual void set_doubt(std::string what) = 0;  // until write_slot()
  virtual void fail_reopen(bool fails) = 0;
  virtual void lose_when_reopened(bool loses) = 0;  // what was not synced
  // Commits wait until released; waiting_commits() tells how many do.
  virtual void hold_commits(bool hold) = 0;
  virtual int waiting_commits() = 0;
  virtual uint64_t commits() = 0;
  virtual uint64_t synced_commits() = 0;
  virtual uint64_t reads() = 0;  // calls of get() and scan()
  // Damage on purpose: the value is replaced beneath everybody, durably.
  virtual void overwrite(std::string key, std::string value) = 0;
  virtual std::vector<std::pair<std::string, std::string>> dump() = 0;
};
std::unique_ptr<MemoryStore> make_memory_store();

}  // namespace vmproxy::store
