// Drops: after the promotion a collection of the target is dropped, as one durable step. What is intended is on the disk before
// the target is asked, with the note that a rollback shows; its end, the catalog and the claim are one commit afterwards. Until
// then the collection is known. An intent that a crash or a lost answer left is settled by asking the target whether it still
// has the collection.
//
// Owned by the migration. Blocking; thread-safe. No two calls work on one name: they line up for turn_of() it.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "journal/journal.h"
#include "proxy/collections.h"
#include "proxy/key_queue.h"
#include "proxy/mirror.h"
#include "proxy/routing.h"
#include "proxy/transfer.h"

namespace vmproxy::proxy {

class Drops {
 public:
  Drops(journal::Journal& journal, Collections& collections, Transfer& transfer, Mirror& mirror,
        KeyQueue& keys, Clock& clock);

  // What the last run left open. Before anything else.
  Result<void> load();
  // With the turn of its name held, inside the gate. Also of one that is open(). Durable when it returns. An error that
  // surely_not_done(): nothing is changed. After any other the drop is open().
  Result<void> drop(const Collection& gone, const Routing& routing, Deadline deadline);
  // A drop of this name has ended, and nobody knows how. From memory.
  bool open(const std::string& key) const;
  bool any_open() const;
  // The same of one that is looked for now: true for one caller every second.
  bool should_look(const std::string& key);
  // Looks what became of that of this name ("": of all): what the target has no more is dropped; what it has, and can no more be
  // dropped so, is taken back, and so is all while the source is the primary, which has it. What cannot be told yet stays open.
  // Nobody may change the primary meanwhile: inside the gate, or by who has the turn of the migration. With no turn of a name
  // held.
  void settle(const std::string& key, const Routing& routing, Deadline deadline);

 private:
  struct Intent {
    model::CollectionName name;
    bool noted = false;  // the note of the rollback came with it, and goes with it when it is taken back
    std::optional<TimePoint>
        lands_until;  // nothing: under way. Else it has ended so, and may be done until then
    TimePoint look_again{};
  };
  void settle_one(const std::string& key, const Routing& routing, Deadline deadline);
  Result<void> finish(const Collection& gone);
  void take_back(const std::string& key);  // it did not come about
  void leave_open(const std::string& key, TimePoint lands_until);
  void end(const std::string& key);
  std::optional<Intent> find(const std::string& key) const;

  journal::Journal& journal_;
  Collections& collections_;
  Transfer& transfer_;
  Mirror& mirror_;
  KeyQueue& keys_;
  Clock& clock_;

  mutable std::mutex mutex_;
  std::map<std::string, Intent> intents_;  // by name
  std::atomic<size_t> known_{0};           // how many of them there are
};

}  // namespace vmproxy::proxy
