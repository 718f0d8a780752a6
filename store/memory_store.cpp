#include "store/memory_store.h"

#include <condition_variable>
#include <map>
#include <mutex>

namespace vmproxy::store {
namespace {

using Map = std::map<std::string, std::string, std::less<>>;

void apply(const Batch& batch, Map& to) {
  for (const auto& operation : batch.operations()) {
    switch (operation.kind) {
      case Batch::Kind::put: to[operation.key] = operation.value; break;
      case Batch::Kind::erase: to.erase(operation.key); break;
      case Batch::Kind::erase_range:
        if (operation.key < operation.value) {
          to.erase(to.lower_bound(operation.key), to.lower_bound(operation.value));
        }
        break;
    }
  }
}

class Memory final : public MemoryStore {
 public:
  Result<void> commit(const Batch& batch, Sync sync) override {
    std::unique_lock hold(mutex_);
    ++waiting_;
    released_.wait(hold, [&] { return !held_; });
    --waiting_;
    if (failed_) return failure();
    if (fail_commits_ > 0) {
      --fail_commits_;
      failed_ = true;
      return failure();
    }
    ++commits_;
    apply(batch, current_);
    unsynced_.push_back(batch);
    if (sync == Sync::yes) {
      for (const auto& earlier : unsynced_) apply(earlier, durable_);
      unsynced_.clear();
      ++synced_commits_;
    }
    if (fail_after_applying_) {
      fail_after_applying_ = false;
      failed_ = true;
      return failure();
    }
    return {};
  }

  Result<std::optional<std::string>> get(std::string_view key) override {
    std::lock_guard hold(mutex_);
    ++reads_;
    if (unread(key)) return failure_of_read();
    const auto found = current_.find(key);
    if (found == current_.end()) return std::optional<std::string>();
    return std::optional<std::string>(found->second);
  }

  Result<std::vector<std::optional<std::string>>> get_many(const std::vector<std::string>& keys) override {
    std::vector<std::optional<std::string>> values;
    values.reserve(keys.size());
    for (const auto& key : keys) {
      auto value = get(key);
      if (!value) return value.error();
      values.push_back(std::move(*value));
    }
    return values;
  }

  Result<void> scan(std::string_view from, std::string_view to, const Visit& visit) override {
    std::vector<std::pair<std::string, std::string>> snapshot;
    {
      std::lock_guard hold(mutex_);
      ++reads_;
      if (unread(from)) return failure_of_read();
      for (auto at = current_.lower_bound(from); at != current_.end() && at->first < to; ++at)
        snapshot.push_back(*at);
    }
    for (const auto& [key, value] : snapshot) {
      if (!visit(key, value)) break;
    }
    return {};
  }

  Result<uint64_t> bytes_on_disk() override {
    std::lock_guard hold(mutex_);
    uint64_t bytes = 0;
    for (const auto& [key, value] : current_) bytes += key.size() + value.size();
    return bytes;
  }

  Result<void> reclaim(std::string_view from, std::string_view to) override {
    std::lock_guard hold(mutex_);
    if (from < to) durable_.erase(durable_.lower_bound(from), durable_.lower_bound(to));
    return {};
  }

  Result<void> reopen() override {
    std::lock_guard hold(mutex_);
    if (fail_reopen_) return Error(Code::io, "the store in memory was told to fail its reopening");
    failed_ = false;
    if (lose_when_reopened_) {
      current_ = durable_;
      unsynced_.clear();
    }
    return {};
  }

  Result<void> write_slot(std::string_view bytes) override {
    std::unique_lock hold(mutex_);
    slot_waits_ = true;
    released_.wait(hold, [&] { return !slot_held_; });
    slot_waits_ = false;
    if (fail_slot_) return Error(Code::io, "the store in memory was told to fail its slot");
    if (bytes.size() > slot_bytes_max) return Error(Code::invalid, "the slot holds at most 3500 bytes");
    slot_ = bytes;
    doubt_.reset();
    return {};
  }
  Result<std::string> read_slot() override {
    std::lock_guard hold(mutex_);
    return slot_;
  }
  std::optional<std::string> doubt() override {
    std::lock_guard hold(mutex_);
    return doubt_;
  }
  std::string boot_id() override {
    std::lock_guard hold(mutex_);
    return "boot " + std::to_string(boot_);
  }

  void lose_unsynced() override {
    std::lock_guard hold(mutex_);
    current_ = durable_;
    unsynced_.clear();
    ++boot_;
  }
  void fail_next_commits(int count) override {
    std::lock_guard hold(mutex_);
    fail_commits_ = count;
  }
  void fail_next_commit_after_applying() override {
    std::lock_guard hold(mutex_);
    fail_after_applying_ = true;
  }
  void fail_slot(bool fails) override {
    std::lock_guard hold(mutex_);
    fail_slot_ = fails;
  }
  void fail_reads(std::optional<std::string> part) override {
    std::lock_guard hold(mutex_);
    unread_ = std::move(part);
  }
  void hold_slot(bool hold_it) override {
    {
      std::lock_guard hold(mutex_);
      slot_held_ = hold_it;
    }
    released_.notify_all();
  }
  bool slot_waits() override {
    std::lock_guard hold(mutex_);
    return slot_waits_;
  }
  void set_doubt(std::string what) override {
    std::lock_guard hold(mutex_);
    doubt_ = std::move(what);
  }
  void fail_reopen(bool fails) override {
    std::lock_guard hold(mutex_);
    fail_reopen_ = fails;
  }
  void lose_when_reopened(bool loses) override {
    std::lock_guard hold(mutex_);
    lose_when_reopened_ = loses;
  }
  void hold_commits(bool hold_them) override {
    {
      std::lock_guard hold(mutex_);
      held_ = hold_them;
    }
    released_.notify_all();
  }
  int waiting_commits() override {
    std::lock_guard hold(mutex_);
    return waiting_;
  }
  uint64_t commits() override {
    std::lock_guard hold(mutex_);
    return commits_;
  }
  uint64_t synced_commits() override {
    std::lock_guard hold(mutex_);
    return synced_commits_;
  }
  uint64_t reads() override {
    std::lock_guard hold(mutex_);
    return reads_;
  }
  void overwrite(std::string key, std::string value) override {
    std::lock_guard hold(mutex_);
    durable_[key] = value;
    current_[std::move(key)] = std::move(value);
  }
  std::vector<std::pair<std::string, std::string>> dump() override {
    std::lock_guard hold(mutex_);
    return {current_.begin(), current_.end()};
  }

 private:
  static Error failure() { return {Code::io, "the store in memory was told to fail its commits"}; }
  static Error failure_of_read() { return {Code::io, "the store in memory was told to fail such reads"}; }
  // mutex_ held.
  bool unread(std::string_view key) const { return unread_ && key.find(*unread_) != std::string_view::npos; }

  std::mutex mutex_;
  std::condition_variable released_;
  Map current_;
  Map durable_;
  std::vector<Batch> unsynced_;
  std::string slot_;
  std::optional<std::string> unread_;
  std::optional<std::string> doubt_;
  int fail_commits_ = 0;
  int waiting_ = 0;
  uint64_t boot_ = 1;
  uint64_t commits_ = 0;
  uint64_t synced_commits_ = 0;
  uint64_t reads_ = 0;
  bool failed_ = false;
  bool fail_after_applying_ = false;
  bool fail_slot_ = false;
  bool fail_reopen_ = false;
  bool lose_when_reopened_ = false;
  bool held_ = false;
  bool slot_held_ = false;
  bool slot_waits_ = false;
};

}  // namespace

std::unique_ptr<MemoryStore> make_memory_store() {
  return std::make_unique<Memory>();
}

}  // namespace vmproxy::store
