// The in-flight table (correctness.md 2, step 3): who else is writing the same key, and which uncertainty windows are
// open. It never makes a write wait; it only finds out which outcomes must be read back instead of trusted. Thread-safe.
//
// A window is the time in which an uncertain write may still execute on the primary. A key's window is opened with its
// debt and closed when the debt falls due; a collection's window is opened by an uncertain predicate or DDL, and by the
// copy's settle time. Every write REGISTERED in a window is overlapped, also when it ends after the window.
#pragma once

#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace vmproxy::proxy {

using OpId = uint64_t;

class InFlight {
 public:
  // A write of these keys (encoded, of one collection). The op is in flight until end(). Its intent will stand in the
  // journal at `from` or later.
  OpId begin_keyed(const std::string& collection, std::vector<std::string> keys, uint64_t from = 0);
  // Keys that a keyed op learned of only now (the primary made them up): as if it had begun with them just now.
  void add_keys(OpId op, const std::vector<std::string>& keys);
  // A predicate or DDL op: from before its enumeration until end_broad(). `from`, when given, is lowered to where the
  // intents of the writes begin that are in flight now: it may hit those too, and cannot list them.
  OpId begin_broad(const std::string& collection, uint64_t* from = nullptr);

  struct Keyed {
    std::vector<bool> overlapped;  // by key, in the order of begin_keyed
    std::vector<OpId> waits;       // broad ops it overlapped and that are still in flight
  };
  // Takes a keyed op out. What it says holds for outcomes decided now.
  Keyed end_keyed(OpId op);

  struct Broad {
    std::vector<std::string> keys;  // of every keyed write that overlapped it, or had a window open
    std::vector<OpId> waits;        // other broad ops on the collection still in flight
  };
  Broad end_broad(OpId op);
  // Of a broad op: no other write, of any collection, was under way or might still be executed when it began, and none
  // has begun since.
  bool alone(OpId op) const;
  // A write by the names that it finds from now on, until it has ended. It has no op yet, or never will because it goes past the
  // mirror. Only alone() and passing_before() ask about it.
  class Passing {
   public:
    explicit Passing(InFlight& table) : table_(&table), id_(table.enter()) {}
    Passing(Passing&& other) noexcept : table_(std::exchange(other.table_, nullptr)), id_(other.id_) {}
    Passing& operator=(Passing&&) = delete;
    ~Passing() {
      if (table_ != nullptr) table_->leave(id_);
    }
    OpId id() const { return id_; }

   private:
    InFlight* table_;
    OpId id_;
  };
  OpId next() const;  // whatever begins from now on has this id or a later one
  // One that began before has not ended.
  bool passing_before(OpId id) const;

  // A key's uncertainty window; windows nest.
  void open_window(const std::string& collection, const std::string& key);
  void close_window(const std::string& collection, const std::string& key);
  // A collection's window: collects the keys written while it is open, and those in `keys`.
  OpId open_collection_window(const std::string& collection, std::vector<std::string> keys);
  std::vector<std::string> close_collection_window(OpId window);
  // A write by filter has ended that hit these keys: every open window of the collection collects them as well.
  void collect(const std::string& collection, const std::vector<std::string>& keys);

  bool any_window() const;  // of a key or a collection, also one that is about no key so far
  // Collection and key of what open windows are about; more than `max`: only so many, those first whose own window is open.
  std::vector<std::pair<std::string, std::string>> in_windows(size_t max) const;

  bool broad_in_flight(OpId op) const;
  std::vector<OpId> broad_of(const std::string& collection) const;
  bool busy(const std::string& collection, const std::string& key) const;  // in flight or in a window
  size_t size() const;

 private:
  friend struct Peek;
  struct Op {
    std::string collection;
    bool broad = false;
    bool window = false;  // a collection's window: overlaps like an op, ends by close_collection_window
    bool alone = false;   // broad: when it began
    uint64_t from = 0;    // keyed
    std::vector<std::string> keys;
    std::vector<bool> overlapped;
    std::set<OpId> waits;
    std::unordered_set<std::string> reread;
  };
  struct Collection {
    std::unordered_map<std::string, std::vector<OpId>> keyed;
    std::unordered_map<std::string, int> windows;
    std::set<OpId> broad;
  };
  OpId begin_broad_locked(const std::string& collection, bool window);
  void enlist(OpId id, Op& op, const std::vector<std::string>& keys);  // lock held
  OpId enter();
  void leave(OpId id);

  mutable std::mutex mutex_;
  OpId next_ = 1;  // also grows with each Passing
  std::set<OpId> passing_;
  size_t key_windows_ = 0;  // of all collections
  std::unordered_map<OpId, Op> ops_;
  std::unordered_map<std::string, Collection> collections_;
};

}  // namespace vmproxy::proxy
