// Store: an ordered key-value store with atomic batches and sync. Everything durable in vmproxy goes through
// here. Calls block; keep them off io threads. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace vmproxy::store {

// Applied as a whole or not at all, in order.
class Batch {
 public:
  void put(std::string key, std::string value) {
    operations_.push_back({Kind::put, std::move(key), std::move(value)});
  }
  void erase(std::string key) { operations_.push_back({Kind::erase, std::move(key), {}}); }
  // [from, to)
  void erase_range(std::string from, std::string to) {
    operations_.push_back({Kind::erase_range, std::move(from), std::move(to)});
  }
  bool empty() const { return operations_.empty(); }
  size_t size() const { return operations_.size(); }
  void append(Batch&& other) {
    for (auto& operation : other.operations_) operations_.push_back(std::move(operation));
    other.operations_.clear();
  }

  enum class Kind { put, erase, erase_range };
  struct Operation {
    Kind kind;
    std::string key;
    std::string value;  // or the end of the range
  };
  const std::vector<Operation>& operations() const { return operations_; }
  std::vector<Operation> take() { return std::exchange(operations_, {}); }
  void push(Operation operation) { operations_.push_back(std::move(operation)); }

 private:
  std::vector<Operation> operations_;
};

enum class Sync { no, yes };  // no: survives a crash of the process; yes: of the machine as well

class Store {
 public:
  virtual ~Store() = default;
  // Batches are durable in the order of their commits: a synced one makes all before it durable. After an
  // error it is not known what of the batch is on disk, and every commit fails until reopen(): a failed sync
  // is never retried.
  virtual Result<void> commit(const Batch& batch, Sync sync) = 0;
  virtual Result<std::optional<std::string>> get(std::string_view key) = 0;
  // One result for each key.
  virtual Result<std::vector<std::optional<std::string>>> get_many(const std::vector<std::string>& keys) = 0;
  // Keys in [from, to) ascending, of one snapshot, until `visit` returns false. Views live for the call only.
  using Visit = std::function<bool(std::string_view key, std::string_view value)>;
  virtual Result<void> scan(std::string_view from, std::string_view to, const Visit& visit) = 0;
  virtual Result<uint64_t> bytes_on_disk() = 0;

  // [from, to) was erased by earlier commits that are synced: give its space back, in the background where that takes long.
  // What is given back at once does not come again, also where a power cut takes the erasure away.
  virtual Result<void> reclaim(std::string_view from, std::string_view to) = 0;

  // After a failed commit: closes and opens what lies below. Everything synced is there again, the rest may
  // be. Nobody else may be inside a call that writes; readers wait. On error reads fail too until it
  // succeeds.
  virtual Result<void> reopen() = 0;

  // A small preallocated place outside the log that can still be written when commits fail (full disk).
  // Synced when it returns; replaces what was there, as a whole or not at all. Works without a successful
  // reopen().
  static constexpr size_t slot_bytes_max = 3500;
  virtual Result<void> write_slot(std::string_view bytes) = 0;
  virtual Result<std::string> read_slot() = 0;  // empty: nothing was written
  // What may have been lost beside the data, found when the store was opened: the slot's bytes, or what vouches for the end
  // of the log. In words for people. Stays, also over a restart, until a synced commit and then write_slot() succeed: make
  // it durable with the former. Nothing: all is whole.
  virtual std::optional<std::string> doubt() = 0;
  // Changes when commits with Sync::no may have been lost: the machine's boot. Empty: not known.
  virtual std::string boot_id() = 0;
};

}  // namespace vmproxy::store
