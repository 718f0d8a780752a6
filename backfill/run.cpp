#include "backfill/run.h"

#include <algorithm>
#include <exception>
#include <thread>

#include "backfill/range_copy.h"
#include "base/log.h"
#include "base/workers.h"

namespace vmproxy::backfill {
namespace {

constexpr size_t ranges_min = 16;  // so that a later run may use more workers than the one that planned

// Scans mostly wait for the source, so more of them than cores are of use.
size_t parallel_of(const Options& options) {
  if (options.parallel > 0) return std::min<size_t>(options.parallel, 64);
  return std::clamp<size_t>(2 * std::thread::hardware_concurrency(), 2, 8);
}

}  // namespace

Run::Run(Parts& parts, std::vector<Job> jobs, uint64_t generation)
    : parts_(parts), checkpoints_(parts.journal, generation), parallel_(parallel_of(parts.options)) {
  for (auto& job : jobs)
    collections_.push_back(std::make_unique<CollectionCopy>(parts, checkpoints_, std::move(job)));
}

void Run::begin(const char* phase) {
  std::lock_guard hold(parts_.state->mutex);
  parts_.state->phase = phase;
}

Result<void> Run::execute() {
  begin("planning");
  plan();
  begin("copying");
  copy();
  if (auto copied = outcome(); !copied) return copied;
  begin("indexing");
  index();
  return outcome();
}

void Run::plan() {
  Counts counts;
  uint64_t total = 0;
  bool known = true;
  for (auto& collection : collections_) {
    if (auto planned = collection->plan(std::max(ranges_min, 4 * parallel_)); !planned) {
      collection->fail(planned.error());
      continue;
    }
    auto counted = collection->counted();
    if (!counted) {
      collection->fail(counted.error());
      continue;
    }
    counts += *counted;
    known = known && collection->planned().total != total_unknown;
    total += known ? collection->planned().total : 0;
  }
  auto& state = *parts_.state;
  std::lock_guard hold(state.mutex);
  state.counts = counts;
  state.total = total;
  state.total_known = known;
  state.meter.begin(parts_.clock.now(), counts.records);
}

void Run::copy() {
  for (auto collection = collections_.rbegin(); collection != collections_.rend(); ++collection) {
    if ((*collection)->error()) continue;
    for (uint32_t i = (*collection)->planned().ranges; i > 0; --i)
      shares_.push_back({collection->get(), i - 1});
  }
  run_workers(std::min(parallel_, shares_.size()), [this](size_t worker) { work(worker); });
}

void Run::work(size_t worker) {
  while (true) {
    Share share{};
    {
      std::lock_guard hold(mutex_);
      if (shares_.empty()) return;
      share = shares_.back();
      shares_.pop_back();
    }
    auto& collection = *share.collection;
    if (!collection.error()) {
      try {
        auto copied = RangeCopy(parts_, collection, share.range, worker).run();
        if (!copied && copied.error().code == Code::cancelled) {
          collection.fail(copied.error());
        } else if (!copied) {
          collection.fail(copied.error().within(collection.label()));
        }
      } catch (const std::exception& e) {
        collection.fail({Code::internal, collection.label() + ": the copy failed on our side: " + e.what()});
      }
    }
    collection.range_ended();
  }
}

void Run::index() {
  for (auto& collection : collections_) {
    if (auto built = collection->build_indexes(); !built) collection->fail(built.error());
  }
}

Result<void> Run::outcome() const {
  std::optional<Error> first;
  size_t failed = 0;
  bool stopped = parts_.stopping();
  for (const auto& collection : collections_) {
    const auto error = collection->error();
    if (!error) continue;
    if (error->code == Code::cancelled) {
      stopped = true;
      continue;
    }
    ++failed;
    if (!first) first = error;
    log::warn("a collection is not copied", {{"collection", collection->label()}, {"error", error->message}});
  }
  if (first && failed > 1) {
    first->message += " (and " + std::to_string(failed - 1) + " more collections failed, see the log)";
  }
  if (first) return *first;
  if (stopped)
    return Error(Code::cancelled, "the copy was stopped; it goes on where it is when it is started again");
  return {};
}

}  // namespace vmproxy::backfill
