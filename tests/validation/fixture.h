// Two fake databases that should agree, and a validation that can be killed and begun again.
#pragma once

#include <catch2/catch.hpp>

#include "store/memory_store.h"
#include "tests/backfill/fake_sink.h"
#include "tests/store/print_result.h"
#include "validation/validation.h"

namespace vmproxy::validation {

using fake::FakeDatabase;
using fake::FakeSink;
using fake::key_of;
using fake::record_of;
using journal::Side;

inline void eventually(const std::function<bool()>& what) {
  while (!what()) std::this_thread::yield();
}

struct Compare {
  SystemClock clock;
  Random random{7};
  Metrics metrics;
  FakeDatabase source, target;
  std::shared_ptr<const mapping::Plan> plan;
  std::unique_ptr<store::MemoryStore> store = store::make_memory_store();
  std::unique_ptr<journal::Journal> journal;
  std::unique_ptr<FakeSink> sink;
  std::unique_ptr<Validation> validation;
  Options options;
  Side primary = Side::source;
  std::string pass = "1";

  explicit Compare(model::Capabilities source_side = sides::everything(),
                   model::Capabilities target_side = sides::everything())
      : source(source_side), target(target_side) {
    model::Schema schema = sides::collection();
    schema.incarnation = 1;
    auto made = mapping::Plan::make(schema, source_side, {"", "moved"}, target_side);
    if (!made) FAIL(made.error().message);
    plan = std::shared_ptr<const mapping::Plan>(std::move(*made));
    options.recheck_wait = std::chrono::milliseconds(1);
    options.batch = 20;
    options.records_per_range = 20;  // so that small collections have several
    start();
  }
  ~Compare() { kill(); }

  void start() {
    auto opened = journal::Journal::open(*store, clock, metrics, {});
    if (!opened) FAIL(opened.error().message);
    journal = std::move(*opened);
    sink = std::make_unique<FakeSink>(source, target, plan);
    validation = std::make_unique<Validation>(*journal, source, target, *sink, clock, random, metrics);
  }
  void kill() {
    if (running.joinable()) {
      validation->stop();
      running.join();
    }
    if (sink) sink->kill();
    validation.reset();
    sink.reset();
    journal.reset();
  }
  // kill -9 now: what was not committed is lost.
  void crash() {
    const auto kept = store->dump();
    kill();
    store = store::make_memory_store();
    store::Batch batch;
    for (const auto& [key, value] : kept) batch.put(key, value);
    if (!store->commit(batch, store::Sync::yes)) FAIL("the store does not take its own content");
    start();
  }
  // The same records on both sides.
  void fill(int count) {
    for (int i = 0; i < count; ++i) put_both(record_of(FakeDatabase::name(i)));
  }
  void put_both(const model::Record& record) {
    source.put("things", record);
    put_target(record);
  }
  void put_target(const model::Record& record) { target.put("moved", plan->to_target(record).value()); }
  void remove_target(int i) {
    target.remove("moved", plan->key_to_target(key_of(FakeDatabase::name(i))).value());
  }
  void remove_source(int i) { source.remove("things", key_of(FakeDatabase::name(i))); }

  std::vector<Job> jobs() const { return {{plan->source().name, plan}}; }
  Result<Report> run() { return validation->run(jobs(), primary, options, pass); }
  void run_aside() {
    running = std::thread([this] { outcome = run(); });
  }
  Result<Report> joined() {
    running.join();
    return outcome;
  }
  // "kind key" of all findings, sorted.
  std::vector<std::string> found() {
    auto findings = validation->findings(1000000);
    if (!findings) FAIL(findings.error().message);
    std::vector<std::string> lines;
    for (const auto& finding : *findings) lines.push_back(finding.kind + " " + finding.key);
    std::sort(lines.begin(), lines.end());
    return lines;
  }

  std::thread running;
  Result<Report> outcome = Error(Code::internal, "did not run");
};

}  // namespace vmproxy::validation
