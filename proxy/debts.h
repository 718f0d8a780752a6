// Debts: durable promises that the replica will get a key's state read again after a given time (correctness.md 3).
// One write makes its own debts; a later one never replaces or clears them. A debt goes only when the replica has
// acknowledged a value that was read after the debt fell due. Thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "journal/journal.h"

namespace vmproxy::proxy {

enum class DebtReason : uint8_t {
  uncertain,  // the primary may still execute the write; closes the key's window when due
  zombie,     // an attempt on the replica whose answer was lost may still take effect
  crash,      // what was under way when the process died
  repair,     // validation found a difference
  retry,      // a quarantined key is tried again
  collapsed,  // the entry did not fit in memory
  carried,    // an open window or suspect taken over a change of the primary
};
std::string_view name_of(DebtReason reason);

using DebtId = uint64_t;

struct Debt {
  DebtId id = 0;
  std::string collection;
  std::string key;  // encoded
  DebtReason reason = DebtReason::repair;
  Duration window{};    // from now until it falls due; again in full after a restart
  bool closed = false;  // fell due before, and its window was closed then; it was put back. Not kept on disk
};

class Debts {
 public:
  // At most `waiting_max` of those that fall due are held in memory, and every open window; the others wait on disk.
  Debts(journal::Journal& journal, Clock& clock, size_t waiting_max);

  // Reads the rows of the last run: all of them are due again after their full window; `visit` sees each that is held in
  // memory. Blocking.
  Result<void> restore(const std::function<void(const Debt&)>& visit);
  // Durable with, or before, whatever is put into the journal after this call. Fills in the ids.
  void add(std::vector<Debt>& debts);
  // Those that fell due, at most `max`; each is handed out once. Blocking when rows must be read from disk.
  std::vector<Debt> due(size_t max);
  void paid(const std::vector<Debt>& debts);
  // Every one with another reason, due or not, from memory and disk; handed out as by due(). Blocking.
  std::vector<Debt> take_all_but(DebtReason reason);
  // Handed out but could not be queued: due again at once.
  void put_back(std::vector<Debt> debts);

  // An error: those on disk cannot be read.
  Result<bool> owed(const std::string& collection, const std::string& key);
  // How many of this key are held in memory.
  size_t held(const std::string& collection, const std::string& key) const;
  uint64_t count() const;
  uint64_t count(DebtReason reason) const;
  // With another reason and not handed out: the key of each for which an older write may stand, and how many others there are.
  // Those stand on the disk only, or are all that is left of a write.
  struct Waiting {
    std::vector<std::pair<std::string, std::string>> keys;  // collection, key
    uint64_t others = 0;
  };
  Waiting waiting_but(DebtReason reason) const;
  // By when all that are owed for this reason have fallen due, those on disk and handed out too; nothing when none is owed.
  std::optional<TimePoint> last_due(DebtReason reason) const;
  // When the next one falls due; nothing when none is waiting.
  std::optional<TimePoint> next_due() const;
  Duration oldest_age() const;  // since the oldest unpaid debt fell due; zero when none is overdue

 private:
  friend struct Peek;
  static std::string row_key(const Debt& debt);
  // Lock held: some stand on disk only.
  bool more_on_disk() const { return count_ > waiting_.size() + handed_out_.size(); }
  void refill();  // from the rows, when memory did not hold them all

  journal::Journal& journal_;
  Clock& clock_;
  const size_t waiting_max_;
  mutable std::mutex mutex_;
  DebtId next_id_ = 1;
  std::multimap<TimePoint, Debt> waiting_;     // bounded by waiting_max_, but for windows
  std::unordered_map<std::string, int> owed_;  // collection NUL key -> debts in memory
  std::map<DebtId, TimePoint> handed_out_;     // id -> when it fell due
  uint64_t count_ = 0;                         // rows, in memory or not
  std::array<uint64_t, 7> count_by_reason_{};
  std::array<TimePoint, 7> last_due_{};  // by reason, of all there ever were
};

}  // namespace vmproxy::proxy
