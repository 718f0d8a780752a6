// Renames: after the promotion a collection of the target gets another name, as one durable step. What is intended is on the
// disk before the target is asked; its end, the catalog and the claim are one commit afterwards. Until then the collection is
// known under its old name, which the source has too. An intent that a crash or a lost answer left is settled by looking under
// which of its two names the target has the collection. Nothing is made anew meanwhile, and nothing owed is forgotten.
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

// One change at a time of each collection. No key of a record begins so.
std::string turn_of(const model::CollectionName& name);

class Renames {
 public:
  Renames(journal::Journal& journal, Collections& collections, Transfer& transfer, Mirror& mirror,
          KeyQueue& keys, Clock& clock);

  // What the last run left open. Before anything else.
  Result<void> load();
  // With the turns of both names held, inside the gate. Durable when it returns: what was on its way under the old name is not
  // carried over, which is a capture gap, and so is the note that a rollback shows. An error that surely_not_done(): nothing is
  // changed. After any other the rename is open().
  Result<void> rename(const Collection& before, const model::Schema& schema, const Routing& routing,
                      Deadline deadline);
  // A rename from or to this name has ended, and nobody knows how. From memory.
  bool open(const std::string& key) const;
  bool any_open() const { return unanswered_ > 0; }
  // The same of one that is looked for now: true for one caller every second.
  bool should_look(const std::string& key);
  // Looks what became of those of this name ("": of all), and makes it true of the catalog: what the target has renamed is
  // renamed, also when the attempt was cut short; what it has not, and cannot any more, is taken back. While the source is the
  // primary its name counts, and the target's is changed back. What cannot be told yet stays open. Nobody may change the
  // primary meanwhile: inside the gate, or by who has the turn of the migration. With no turn of a name held.
  void settle(const std::string& key, const Routing& routing, Deadline deadline);

 private:
  struct Intent {
    model::CollectionName from;
    model::Schema to;
    std::optional<TimePoint>
        lands_until;  // nothing: under way. Else it has ended so, and may be done until then
    TimePoint look_again{};

    bool open_as(const std::string& key) const {
      return lands_until && (key == model::to_string(from) || key == model::to_string(to.name));
    }
  };
  void settle_one(const std::string& key, const Routing& routing, Deadline deadline);
  Result<void> finish(const Collection& before, const Collection& after, const Routing& routing,
                      Deadline deadline);
  // It did not come about.
  void take_back(const std::string& key);
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
  std::map<std::string, Intent> intents_;  // by the old name
  std::atomic<size_t> unanswered_{0};      // how many of them have ended so
};

}  // namespace vmproxy::proxy
