// Freshness: which acknowledged writes the replica still lacks, per collection, so that a read may be sent there only
// when it will see everything acknowledged before it arrived (correctness.md 7). Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>

#include "base/clock.h"

namespace vmproxy::proxy {

class Freshness {
 public:
  // An acknowledged write at this lane position is owed to the replica / has arrived there.
  void owed(const std::string& collection, uint64_t position);
  void arrived(const std::string& collection, uint64_t position);
  // While blocked no read of the collection is fresh (recovery, DDL, entries kept on disk only). Nests.
  void block(const std::string& collection);
  void unblock(const std::string& collection);

  // Calls done(true) as soon as everything owed now has arrived: at once, or from arrived() on another thread. When
  // `may_wait` is false, or on give_up(), done(false). Exactly once.
  using Waiter = uint64_t;
  Waiter when_fresh(const std::string& collection, bool may_wait, std::function<void(bool)> done);
  void give_up(const std::string& collection, Waiter waiter);
  bool fresh(const std::string& collection) const;
  uint64_t owed_count() const;
  // Position of the oldest write that is owed, of all collections; 0: none.
  uint64_t oldest_owed() const;

 private:
  struct Waiting {
    uint64_t upto;
    std::function<void(bool)> done;
  };
  struct Collection {
    std::multiset<uint64_t> owed;
    int blocked = 0;
    std::map<Waiter, Waiting> waiting;
    bool covers(uint64_t position) const {
      return blocked == 0 && (owed.empty() || *owed.begin() > position);
    }
  };
  static std::vector<std::function<void(bool)>> take_ready(Collection& c);

  mutable std::mutex mutex_;
  std::unordered_map<std::string, Collection> collections_;
  uint64_t last_position_ = 0;
  uint64_t owed_ = 0;
  Waiter next_waiter_ = 1;
};

}  // namespace vmproxy::proxy
