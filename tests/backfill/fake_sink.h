// FakeSink: the lanes for tests of the copy and the validation: one thread that writes what it is given to
// the replica, in order. Scripted: touched keys, refusals, pages held back, lanes that stop. Thread-safe.
#pragma once

#include <condition_variable>
#include <deque>
#include <set>
#include <thread>

#include "journal/sink.h"
#include "mapping/plan.h"
#include "tests/backfill/fake_database.h"

namespace vmproxy::fake {

class FakeSink final : public journal::Sink {
 public:
  using Done = std::function<void(Result<journal::BackfillDone>)>;

  FakeSink(FakeDatabase& source, FakeDatabase& target, std::shared_ptr<const mapping::Plan> plan)
      : source_(source), target_(target), plan_(std::move(plan)), thread_([this] { run(); }) {}
  ~FakeSink() override { close(); }

  // Every page that is still here is answered with `cancelled`, and so is what comes later.
  void close() {
    {
      std::lock_guard hold(mutex_);
      closed_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
  }
  // A process that is killed answers nobody: pages that wait are dropped without a word.
  void kill() {
    {
      std::lock_guard hold(mutex_);
      pages_.clear();
    }
    close();
  }
  void hold(bool held) {
    {
      std::lock_guard hold(mutex_);
      held_ = held;
    }
    changed_.notify_all();
  }
  // The next pages are answered with these errors.
  void fail(std::vector<Error> errors) {
    std::lock_guard hold(mutex_);
    for (auto& error : errors) failures_.push_back(std::move(error));
  }
  void touch(const Key& key) {
    std::lock_guard hold(mutex_);
    touched_.insert(key);
  }
  void refuse(const Key& key) {
    std::lock_guard hold(mutex_);
    refused_.insert(key);
  }
  void set_dirty(const Key& key, bool is) {
    std::lock_guard hold(mutex_);
    if (is) {
      dirty_.insert(key);
    } else {
      dirty_.erase(key);
    }
  }
  size_t waiting() const {
    std::lock_guard hold(mutex_);
    return pages_.size();
  }
  std::vector<Key> repaired() const {
    std::lock_guard hold(mutex_);
    return repaired_;
  }
  std::atomic<uint64_t> pages{0}, rows{0};
  std::atomic<bool> throws{false};      // no memory for a page
  std::atomic<int> repair_failures{0};  // how many calls fail first
  bool repairs_at_once = true;          // by a READ of the source

  void backfill(const model::CollectionName& collection, uint64_t incarnation, std::vector<Record> records,
                Done done) override {
    (void)collection;
    if (throws) throw std::bad_alloc();
    {
      std::lock_guard hold(mutex_);
      if (!closed_ && incarnation == plan_->source().incarnation) {
        pages_.push_back({std::move(records), std::move(done)});
        changed_.notify_all();
        return;
      }
    }
    done(Error(closed_ ? Code::cancelled : Code::precondition, "the lanes do not take this"));
  }
  bool dirty(const model::CollectionName&, const Key& key) override {
    std::lock_guard hold(mutex_);
    return dirty_.contains(key);
  }
  bool quarantined(const model::CollectionName&, const Key& key) override {
    std::lock_guard hold(mutex_);
    return quarantined_.contains(key);
  }
  Result<void> erase_strays(const model::CollectionName&, const std::vector<Key>& keys) override {
    std::lock_guard hold(mutex_);
    for (const auto& key : keys) target_.remove(model::to_string(plan_->target().name), key);
    return {};
  }
  Result<void> repair(const model::CollectionName& collection, const std::vector<Key>& keys) override {
    std::lock_guard hold(mutex_);
    if (repair_failures > 0) {
      --repair_failures;
      return Error(Code::io, "the journal is full");
    }
    for (const auto& key : keys) {
      repaired_.push_back(key);
      if (!repairs_at_once) continue;
      if (source_.spoilt(key)) {
        quarantined_.insert(key);
        continue;
      }
      const auto row = source_.find(model::to_string(collection), key);
      const std::string there = model::to_string(plan_->target().name);
      if (row) {
        target_.put(there, plan_->to_target(*row).value());
      } else {
        target_.remove(there, plan_->key_to_target(key).value());
      }
    }
    return {};
  }

 private:
  struct Page {
    std::vector<Record> records;
    Done done;
  };

  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return closed_ || (!held_ && !pages_.empty()); });
      if (pages_.empty()) return;
      Page page = std::move(pages_.front());
      pages_.pop_front();
      Result<journal::BackfillDone> result = journal::BackfillDone{};
      if (closed_) {
        result = Error(Code::cancelled, "the lanes were stopped");
      } else if (!failures_.empty()) {
        result = failures_.front();
        failures_.pop_front();
      } else {
        result = write(page.records);
      }
      lock.unlock();
      page.done(std::move(result));
      lock.lock();
    }
  }
  journal::BackfillDone write(const std::vector<Record>& records) {
    journal::BackfillDone done;
    ++pages;
    rows += records.size();
    const std::string there = model::to_string(plan_->target().name);
    for (const auto& record : records) {
      if (touched_.contains(record.key)) {
        ++done.dropped;
      } else if (refused_.contains(record.key)) {
        ++done.quarantined;
      } else {
        ++done.applied;
        target_.put_if_absent(there, plan_->to_target(record).value());
      }
    }
    return done;
  }

  FakeDatabase& source_;
  FakeDatabase& target_;
  const std::shared_ptr<const mapping::Plan> plan_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Page> pages_;
  std::deque<Error> failures_;
  std::set<Key> touched_, refused_, dirty_, quarantined_;
  std::vector<Key> repaired_;
  bool held_ = false;
  bool closed_ = false;
  std::thread thread_;
};

}  // namespace vmproxy::fake
