// LaneQueue: what one lane owes the replica, newest entry per key, in order of position (correctness.md 3). A plain
// object with a lock: the thread that empties it lives in lanes.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "journal/journal.h"
#include "proxy/debts.h"
#include "proxy/in_flight.h"
#include "proxy/ledger.h"

namespace vmproxy::proxy {

// One key's next step on the replica: write the journaled image, or read the primary and write that.
struct Entry {
  std::string collection;
  std::string key;        // encoded
  uint64_t position = 0;  // newest wins; grows with time (nanoseconds, unique)
  std::vector<uint64_t>
      owed;            // positions it owes in Freshness: its own, or those of the entries it took over
  bool image = false;  // else READ
  // READ: seq and item say where the key's last write is journaled. Whether the primary did it is not known, nor was anybody told
  // that it did not: it may stand for the READ of a primary that is dead.
  bool journaled = false;
  bool unjournaled = false;           // of a write that the journal does not have: no older one stands for it
  uint32_t item = 0;                  // image, journaled: which key of that intent
  journal::Seq seq = 0;               // image, journaled: where it is
  std::vector<OpId> waits;            // broad ops that must end before this READ
  std::vector<Debt> debts;            // paid when the replica acknowledged
  std::vector<journal::Seq> seqs;     // intents that this entry finishes
  std::vector<uint64_t> quarantined;  // quarantine rows it clears
};

// The journal has what the replica should get, should the primary be dead.
bool is_known(const Entry& entry);

class LaneQueue {
 public:
  // Takes the place of an older entry of the same key; returns the intents that are thereby finished: the new entry's own
  // intent or debt, durable already, stands for them. `fresh` says whether the key had no entry before.
  std::vector<journal::Seq> put(Entry entry, bool* fresh);
  // The oldest entries for which ready() holds, at most `max`, now being applied.
  std::vector<Entry> take(size_t max, const std::function<bool(const Entry&)>& ready);
  // Ends what take() began: these were applied, or are no longer wanted. Where `keep` gives a hold, the key's last write goes on
  // standing in the journal for the READs that are owed of it, until the next of its entries is completed. All or nothing; `keep`
  // is asked without the lock.
  using Keep = std::function<std::optional<Ledger::Hold>(const Entry&)>;
  void complete(const std::vector<Entry>& entries, const Keep& keep = nullptr);
  // ... or were not: they are owed again, under a newer entry of the key when one came meanwhile. Those that are not being
  // applied any more are left out. Returns intents finished by that. When it throws (no memory), entries before the one that
  // failed are owed again, the others are still being applied: the call can be repeated with the same ones.
  std::vector<journal::Seq> give_back(std::vector<Entry> entries);
  bool is_applying(const Entry& entry) const;

  bool has(const std::string& collection, const std::string& key) const;
  // Queued and being applied. Takes no lock: who waits for empty lanes asks it under a lock that take()'s ready() needs.
  size_t size() const { return size_; }
  // Every entry becomes a READ: an image of an older epoch is never applied to the new primary.
  void demote_images();
  // ... of this collection.
  void demote_images(const std::string& collection);
  // Takes the entries for which it holds out; those being applied are not among them. No write stays for their keys.
  std::vector<Entry> remove(const std::function<bool(const Entry&)>& which);
  // Queued READs that are `journaled`, and wait for nothing, as collection and key; they become images.
  std::vector<std::pair<std::string, std::string>> journaled() const;
  void use_journaled(const std::vector<std::pair<std::string, std::string>>& keys);
  // A READ of this key that is put now would be `journaled`, or find an image that is.
  bool has_journaled(const std::string& collection, const std::string& key) const;
  // The newest entry of each key, queued or being applied. `known`: it is an image, or journaled.
  void visit(const std::function<void(const std::string& collection, const std::string& key, bool image,
                                      bool known)>& see) const;
  size_t images() const;   // keys whose image is queued or being applied, also when a READ has come behind it
  size_t reading() const;  // READs being applied

 private:
  friend struct Peek;
  // Where the journal has the last write of a key.
  struct Journaled {
    journal::Seq seq = 0;
    uint32_t item = 0;
  };
  struct Applying {
    int entries = 0;
    bool image = true;  // as they were taken
    std::optional<Journaled> last;
  };
  struct Kept {
    Journaled last;
    Ledger::Hold hold;
  };
  // A queued entry, found by its owner. That never changes while it is queued; all else may.
  struct Queued {
    mutable Entry entry;
  };
  struct Owner {
    std::string_view collection, key;
  };
  static Owner owner_of(const Entry& entry) { return {entry.collection, entry.key}; }
  struct ByOwner {
    using is_transparent = void;
    size_t operator()(const Owner& owner) const {
      const std::hash<std::string_view> hash;
      return hash(owner.collection) * 31 + hash(owner.key);
    }
    size_t operator()(const Queued& queued) const { return (*this)(owner_of(queued.entry)); }
    bool operator()(const Owner& a, const Owner& b) const {
      return a.key == b.key && a.collection == b.collection;
    }
    bool operator()(const Queued& a, const Queued& b) const {
      return (*this)(owner_of(a.entry), owner_of(b.entry));
    }
    bool operator()(const Queued& a, const Owner& b) const { return (*this)(owner_of(a.entry), b); }
    bool operator()(const Owner& a, const Queued& b) const { return (*this)(a, owner_of(b.entry)); }
  };
  static std::string name_of(const Entry& entry) { return entry.collection + '\0' + entry.key; }

  void demote(const std::string* collection);  // null: of all
  // Lock held.
  Entry* find(const Owner& owner) const;
  Entry* find(std::string_view name) const;
  void add(Entry&& entry);
  void end(const std::string& name);
  std::optional<Journaled> last_write(const std::string& name) const;
  void count() { size_ = entries_.size() + applying_.size(); }

  // Behind it come the ledger's (a Hold that goes) and what ready() of take() needs, Lanes' and the in-flight table's: nobody
  // who holds one of those calls the queue. Mirror's finish_mutex_ comes before it.
  mutable std::mutex mutex_;
  std::atomic<size_t> size_{0};
  // What waits for a slow replica is here: a key's entry is there once, and its names too.
  std::unordered_set<Queued, ByOwner, ByOwner> entries_;
  std::map<uint64_t, const Queued*> order_;  // of entries_
  std::unordered_map<std::string, Applying> applying_;
  std::unordered_map<std::string, Kept> kept_;  // for not more keys than have debts in memory
};

}  // namespace vmproxy::proxy
