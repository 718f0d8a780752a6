// Quarantine: changes that the replica refused for good, copied out with payload and reason so that the lanes can go on
// (correctness.md 3, H22), and keys whose record the primary does not let be read until somebody changes something. A retry
// is a READ of the primary, never the stored image. Thread-safe; calls block on disk.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "journal/journal.h"

namespace vmproxy::proxy {

struct Quarantined {
  uint64_t number = 0;
  std::string collection;
  std::string key;  // encoded
  std::string reason;
  int64_t since_unix_ms = 0;
  std::optional<model::Record> record;  // as it was refused; nothing: a delete, or unread
  bool unread = false;                  // could not be read: what the primary has there is not known
  journal::Side primary = journal::Side::source;  // of the refused change: the side that has the record
};

class Quarantine {
 public:
  Quarantine(journal::Journal& journal, Clock& clock) : journal_(journal), clock_(clock) {}

  // Counts what is there. A row that this version cannot read is an error: nothing would protect its key.
  Result<void> restore();
  // Replaces what the same primary's earlier refusal of this key left; false then.
  bool add(std::string collection, std::string key, std::string reason, std::optional<model::Record> record,
           journal::Side primary);
  bool add_unread(std::string collection, std::string key, std::string reason, journal::Side primary);
  // H46: from now on `primary` is the primary. Keys that were refused while the other side was are at risk: that side may
  // have their last copy, so they are never read from this one.
  // Known without the disk, which may fail just then.
  void freeze_others_than(journal::Side primary);
  bool at_risk(const std::string& collection, const std::string& key) const;
  uint64_t at_risk_count() const;
  void remove(const std::vector<uint64_t>& numbers);
  // One at a time: all of them together, each with its record, may be more than there is memory. Ends when `visit` says false.
  Result<void> each(const std::function<bool(Quarantined&)>& visit) const;
  Result<std::vector<Quarantined>> list(size_t max) const;  // without their records
  Result<std::optional<Quarantined>> find(uint64_t number);
  void remove_collection(const std::string& collection);
  uint64_t count() const { return count_; }
  // The replica lacks something of this collection, acknowledged though it is: no read of it is fresh there.
  bool holds(const std::string& collection) const;
  bool holds(const std::string& collection, const std::string& key) const;
  // Of what this primary's refusal left of the key; nothing: none is there.
  std::optional<uint64_t> number_of(const std::string& collection, const std::string& key,
                                    journal::Side primary) const;

 private:
  struct Known {
    std::string collection, name;  // name: collection NUL key
    size_t primary = 0;
  };
  bool put(const Quarantined& item);  // number and time are given here
  bool at_risk(const Known& known) const { return frozen_ && known.primary == *frozen_; }
  void take_in(uint64_t number, Known known);

  journal::Journal& journal_;
  Clock& clock_;
  mutable std::mutex mutex_;
  std::map<uint64_t, Known> known_;  // each row that there is
  std::optional<size_t> frozen_;     // those of this primary are at risk
  std::map<std::string, uint64_t> by_collection_;
  std::map<std::string, uint64_t> by_key_[2];  // of each primary: collection NUL key -> number, one row a key
  uint64_t next_ = 1;
  std::atomic<uint64_t> count_{0};
};

}  // namespace vmproxy::proxy
