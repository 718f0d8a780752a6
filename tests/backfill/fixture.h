// Two fake databases, a journal in memory, and a copy between them that can be killed and begun again.
#pragma once

#include <catch2/catch.hpp>

#include "backfill/backfill.h"
#include "base/fake_clock.h"
#include "journal/rows.h"
#include "store/memory_store.h"
#include "tests/backfill/fake_sink.h"
#include "tests/store/print_result.h"

namespace vmproxy::backfill {

using fake::FakeDatabase;
using fake::FakeSink;
using fake::key_of;
using fake::record_of;

inline std::shared_ptr<const mapping::Plan> plan_of(const FakeDatabase& source, const FakeDatabase& target,
                                                    const std::string& name = "things",
                                                    uint64_t incarnation = 1) {
  model::Schema schema = sides::collection();
  schema.name = {"", name};
  schema.incarnation = incarnation;
  auto plan =
      mapping::Plan::make(schema, source.capabilities(), {"", "moved_" + name}, target.capabilities());
  if (!plan) FAIL(plan.error().message);
  return std::shared_ptr<const mapping::Plan>(std::move(*plan));
}

// Waits for what another thread brings about; the tests' outer bound is CTest's.
inline void eventually(const std::function<bool()>& what) {
  while (!what()) std::this_thread::yield();
}

struct Copy {
  SystemClock clock;
  Random random{7};
  Metrics metrics;
  FakeDatabase source, target;
  std::shared_ptr<const mapping::Plan> plan = plan_of(source, target);
  std::unique_ptr<store::MemoryStore> store = store::make_memory_store();
  std::unique_ptr<journal::Journal> journal;
  std::unique_ptr<FakeSink> sink;
  std::unique_ptr<Backfill> backfill;
  Options options;
  uint64_t generation = 3;

  Copy() {
    options.batch = 10;
    options.parallel = 2;
    options.records_per_range = 20;  // so that small collections have several
    start();
  }
  ~Copy() { kill(); }

  void start() {
    if (!journal) {
      auto opened = journal::Journal::open(*store, clock, metrics, {});
      if (!opened) FAIL(opened.error().message);
      journal = std::move(*opened);
    }
    sink = std::make_unique<FakeSink>(source, target, plan);
    backfill = std::make_unique<Backfill>(*journal, source, target, *sink, clock, random, metrics, options);
  }
  // What kill -9 leaves: the store, and what the target acknowledged or not.
  void kill() {
    if (running.joinable()) {
      backfill->stop();
      running.join();
    }
    if (sink) sink->kill();
    backfill.reset();
    sink.reset();
    journal.reset();
  }
  // kill -9 now: what was not committed is lost; what is on its way to the target may still arrive there.
  void crash() {
    const auto kept = store->dump();
    kill();
    store = store::make_memory_store();
    store::Batch batch;
    for (const auto& [key, value] : kept) batch.put(key, value);
    if (!store->commit(batch, store::Sync::yes)) FAIL("the store does not take its own content");
  }
  std::vector<Job> jobs() const { return {{plan->source().name, plan}}; }
  Result<void> run() { return backfill->run(jobs(), generation); }
  void run_aside() {
    running = std::thread([this] { outcome = backfill->run(jobs(), generation); });
  }
  Result<void> joined() {
    running.join();
    return outcome;
  }
  FakeDatabase::Rows copied() const { return target.rows("moved_things"); }
  // Each record of the source is on the target, equal, and nothing else is.
  void check_equal() const {
    const auto there = copied();
    const auto here = source.rows("things");
    CHECK(there.size() == here.size());
    for (const auto& [key, record] : here) {
      const auto found = there.find(plan->key_to_target(key).value());
      if (found == there.end()) FAIL("missing on the target: " << model::to_string(key.id));
      if (found->second.metadata != record.metadata) FAIL("not equal: " << model::to_string(key.id));
    }
  }

  std::thread running;
  Result<void> outcome = Error(Code::internal, "did not run");
};

}  // namespace vmproxy::backfill
