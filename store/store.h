// Store: an ordered key-value store with atomic batches and sync. Everything durable in vmproxy goes through here.
// Calls block; keep them off io threads. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace vmproxy::store {

// Applied as a whole or not at all, in order.
class Batch {
 public:
  void put(std::string_view key, std::string_view value) { operations_.push_back({Kind::put, std::string(key), std::string(value)}); }
  void erase(std::string_view key) { operations_.push_back({Kind::erase, std::string(key), {}}); }
  // [from, to)
  void erase_range(std::string_view from, std::string_view to) { operations_.push_back({Kind::erase_range, std::string(from), std::string(to)}); }
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

 private:
  std::vector<Operation> operations_;
};

enum class Sync { no, yes };  // no: survives a crash of the process; yes: of the machine as well

class Store {
 public:
  virtual ~Store() = default;
  // Batches are durable in the order of their commits: a synced one makes all before it durable.
  virtual Result<void> commit(const Batch& batch, Sync sync) = 0;
  virtual Result<std::optional<std::string>> get(std::string_view key) = 0;
  // One result for each key.
  virtual Result<std::vector<std::optional<std::string>>> get_many(const std::vector<std::string>& keys) = 0;
  // Keys in [from, to) ascending, of one snapshot, until `visit` returns false. Views live for the call only.
  using Visit = std::function<bool(std::string_view key, std::string_view value)>;
  virtual Result<void> scan(std::string_view from, std::string_view to, const Visit& visit) = 0;
  virtual Result<uint64_t> bytes_on_disk() = 0;
};

}  // namespace vmproxy::store
