// Freshness: which writes the replica still lacks, per collection, so that a read may be sent there only when it will see
// everything acknowledged before it arrived (correctness.md 7), and everything that a read of the primary has shown: whoever saw
// a write that was under way does not see the record as it was before. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"

namespace vmproxy::proxy {

class Freshness {
 public:
  // An acknowledged write at this lane position is owed to the replica / has arrived there.
  void owed(const std::string& collection, uint64_t position);
  void arrived(const std::string& collection, uint64_t position);
  // A write that the primary may execute now, before it is sent. Numbers grow. It ends once what it left is owed.
  void began(const std::string& collection, uint64_t write);
  void ended(const std::string& collection, uint64_t write);
  // An uncertain one, which may still be executed after its end: from before that, until the replica is owed another look.
  // Write 0: of a former life of this process, whose reads nobody knows. Nests.
  void doubt(const std::string& collection, uint64_t write);
  void settled(const std::string& collection);
  // The primary has answered a read, and nobody has the answer yet: it may show all writes that have begun. Without a lock.
  void shown();
  // While blocked no read of the collection is fresh (recovery, DDL, entries kept on disk only). Nests.
  void block(const std::string& collection);
  void unblock(const std::string& collection);

  enum class Needs {
    acknowledged,  // everything owed now
    shown,  // also what a read of the primary may have shown. While one of those is in doubt: done(false)
  };
  // Calls done(true) as soon as the replica has what is needed: at once, or from arrived() on another thread. When `may_wait` is
  // false, or on give_up(), done(false). Exactly once.
  using Waiter = uint64_t;
  Waiter when_fresh(const std::string& collection, Needs needs, bool may_wait,
                    std::function<void(bool)> done);
  void give_up(const std::string& collection, Waiter waiter);
  bool fresh(const std::string& collection) const;
  uint64_t owed_count() const;
  // Position of the oldest write that is owed, of all collections; 0: none.
  uint64_t oldest_owed() const;

 private:
  struct Waiting {
    uint64_t upto;         // position
    uint64_t shown_below;  // the first write that nobody was shown
    std::function<void(bool)> done;
  };
  struct Collection {
    std::multiset<uint64_t> owed;
    std::set<uint64_t> under_way;
    int blocked = 0;
    int doubts = 0;
    uint64_t doubted = 0;  // the first write of those in doubt
    std::map<Waiter, Waiting> waiting;
    bool covers(uint64_t position, uint64_t shown_below) const {
      return blocked == 0 && (owed.empty() || *owed.begin() > position) &&
             (under_way.empty() || *under_way.begin() >= shown_below);
    }
    bool in_doubt(uint64_t shown_below) const { return doubts > 0 && doubted < shown_below; }
  };
  struct Ready {
    std::function<void(bool)> done;
    bool fresh;
  };
  static std::vector<Ready> take_ready(Collection& c);

  mutable std::mutex mutex_;
  std::unordered_map<std::string, Collection> collections_;
  uint64_t last_position_ = 0;
  std::atomic<uint64_t> next_write_ = 1;
  std::atomic<uint64_t> shown_below_ = 1;  // write 0 may always have been shown
  uint64_t owed_ = 0;
  Waiter next_waiter_ = 1;
};

}  // namespace vmproxy::proxy
