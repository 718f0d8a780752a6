// What the journal's tests share: a store in memory, a clock, callbacks that can be waited for.
#pragma once

#include <catch2/catch.hpp>
#include <condition_variable>
#include <mutex>

#include "base/clock.h"
#include "journal/journal.h"
#include "journal/rows.h"
#include "store/memory_store.h"
#include "tests/store/print_result.h"

namespace vmproxy::journal {

inline IntentHead intent_of(const std::string& id, uint64_t epoch = 1) {
  IntentHead head;
  head.epoch = epoch;
  head.cls = IntentClass::image;
  head.operation = "collection.upsert";
  head.collection = {"tenant/database", "things"};
  head.keys = {{"", {id}}, {"part", {uint64_t{7}}}};
  return head;
}

inline IntentBody body_of(std::string bytes) {
  return {"POST", "/api/v2/x?y=1", {{"content-type", "application/json"}}, std::move(bytes)};
}

// Collects results of callbacks in the order in which they come.
template <class T>
class Results {
 public:
  std::function<void(Result<T>)> next() {
    return [this](Result<T> result) {
      std::lock_guard hold(mutex_);
      results_.push_back(std::move(result));
      changed_.notify_all();
    };
  }
  std::vector<Result<T>> wait(size_t count) {
    std::unique_lock hold(mutex_);
    changed_.wait_for(hold, std::chrono::seconds(20), [&] { return results_.size() >= count; });
    return results_;
  }
  size_t size() {
    std::lock_guard hold(mutex_);
    return results_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Result<T>> results_;
};

inline Result<Seq> append_and_wait(Journal& journal, IntentHead head, IntentBody body) {
  Results<Seq> results;
  journal.append(std::move(head), std::move(body), results.next());
  auto all = results.wait(1);
  if (all.empty()) return Error(Code::timeout, "append did not call back");
  return all[0];
}

struct Fixture {
  SystemClock clock;
  Metrics metrics;
  std::unique_ptr<store::MemoryStore> store = store::make_memory_store();
  std::unique_ptr<Journal> journal;
  Options options{.reopen_every = Duration::zero()};  // tests reopen when they want to

  void open() {
    auto opened = Journal::open(*store, clock, metrics, options);
    if (!opened) FAIL(opened.error().message);
    journal = std::move(*opened);
  }
  void crash() { journal.reset(); }
  void power_cut() {
    journal.reset();
    store->lose_unsynced();
  }
  Seq append(const std::string& id, std::string body = "body") {
    auto seq = append_and_wait(*journal, intent_of(id), body_of(std::move(body)));
    if (!seq) FAIL(seq.error().message);
    return *seq;
  }
  std::vector<Seq> seqs(Seq from = 1) {
    std::vector<Seq> found;
    auto scanned = journal->scan(from, [&](const IntentHead& head, const auto&) {
      found.push_back(head.seq);
      return true;
    });
    if (!scanned) FAIL(scanned.error().message);
    return found;
  }
};

}  // namespace vmproxy::journal
