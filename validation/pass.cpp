#include "validation/pass.h"

#include <algorithm>
#include <exception>
#include <thread>

#include "base/fault.h"
#include "base/log.h"
#include "base/workers.h"
#include "model/codec.h"

namespace vmproxy::validation {
namespace {

constexpr Duration plan_timeout = std::chrono::minutes(30);

size_t parallel_of(const Options& options) {
  if (options.parallel > 0) return std::min<size_t>(options.parallel, 64);
  return std::clamp<size_t>(2 * std::thread::hardware_concurrency(), 2, 4);
}

std::string_view name_of(Side side) {
  return side == Side::source ? "source" : "target";
}

}  // namespace

Pass::Pass(Parts& parts, std::vector<Job> jobs, Side primary, Options options, std::string pass_id)
    : parts_(parts),
      jobs_(std::move(jobs)),
      primary_(primary),
      options_(std::move(options)),
      pass_id_(std::move(pass_id)),
      rows_(parts.journal),
      rate_(parts.clock, options_.rate_max),
      parallel_(parallel_of(options_)) {
  for (const auto& job : jobs_) {
    collections_.push_back({model::to_string(job.name),
                            std::make_unique<Comparison>(job, parts.source, parts.target), std::nullopt});
  }
}

// What a pass is about: with anything of it changed, what was compared before says nothing.
std::string Pass::signature() const {
  model::Writer writer;
  writer.u8(static_cast<uint8_t>(primary_));
  writer.f64(options_.sample_percent);
  for (const auto& job : jobs_) {
    writer.bytes(model::to_string(job.name));
    writer.u64(job.plan->hash());
    writer.u64(job.plan->source().incarnation);
  }
  return writer.take();
}

Result<void> Pass::execute() {
  auto resumed = rows_.begin(pass_id_, signature());
  if (!resumed) return resumed.error();
  VMPROXY_FAULT("pass.begun");
  auto findings = rows_.next_finding();
  if (!findings) return findings.error();
  {
    std::lock_guard hold(parts_.state.mutex);
    parts_.state.findings = *findings;
  }
  // The target's keys first in the list: shares are taken from its end.
  for (const Side scanned : {Side::target, Side::source}) {
    for (auto collection = collections_.rbegin(); collection != collections_.rend(); ++collection) {
      if (collection->error) continue;
      if (auto planned = plan(*collection, scanned); !planned) fail(*collection, planned.error());
    }
  }
  run_workers(std::min(parallel_, shares_.size()), [this](size_t worker) { work(worker); });
  return outcome();
}

// Puts the ranges of one collection in one direction on the list, and what was counted in them before.
Result<void> Pass::plan(Collection& collection, Side scanned) {
  auto count = ranges(collection, scanned);
  if (!count) return count.error();
  Counts counted;
  for (uint32_t i = *count; i > 0; --i) {
    RangeName name{collection.label, scanned, i - 1};
    auto row = rows_.progress(name);
    if (!row) return row.error();
    counted += row->counts;
    shares_.push_back({&collection, std::move(name)});
  }
  std::lock_guard hold(parts_.state.mutex);
  parts_.state.counts += counted;
  return {};
}

Result<uint32_t> Pass::ranges(Collection& collection, Side scanned) {
  const auto& plan = collection.comparison->plan();
  const auto& schema = scanned == Side::source ? plan.source() : plan.target();
  auto& driver = parts_.driver(scanned);
  const std::string who = "planning";
  Backoff backoff(parts_.random);
  auto known = rows_.ranges(collection.label, scanned);
  if (!known) return known.error();
  while (true) {
    model::Query query;
    query.kind = model::Query::Kind::count;
    query.collection = schema.name;
    auto counted = driver.query(schema, query, parts_.clock.in(options_.page_timeout));
    std::optional<Error> error;
    // A side that cannot count is compared without a total.
    if (counted || !counted.error().retryable()) {
      const uint64_t total = counted ? counted->count : 0;
      Result<std::vector<protocols::ScanRange>> planned = std::vector<protocols::ScanRange>{};
      if (!*known) {
        const size_t most = 4 * parallel_;
        const size_t wanted =
            counted ? std::clamp<size_t>(total / std::max<uint64_t>(options_.records_per_range, 1), 1, most)
                    : most;
        planned = driver.plan_scan(schema, wanted, parts_.clock.in(plan_timeout));
      }
      if (planned) {
        parts_.waiting(who, "");
        if (!*known) {
          if (auto kept = rows_.commit_ranges(collection.label, scanned, *planned); !kept)
            return kept.error();
          VMPROXY_FAULT("pass.ranges");
          *known = static_cast<uint32_t>(planned->size());
        }
        std::lock_guard hold(parts_.state.mutex);
        parts_.state.total +=
            static_cast<uint64_t>(static_cast<double>(total) * options_.sample_percent / 100);
        return **known;
      }
      error = planned.error();
    } else {
      error = counted.error();
    }
    if (error->code == Code::not_found) {
      return Error(Code::precondition,
                   "it does not exist on the " + std::string(name_of(scanned)) + ": " + error->message);
    }
    if (!error->retryable()) return *error;
    const std::string why = "collection '" + collection.label + "': the " + std::string(name_of(scanned)) +
                            " does not answer, tried again: " + error->message;
    if (parts_.waiting(who, why)) log::warn("the validation waits", {{"reason", why}});
    if (!parts_.wait_until(parts_.clock.in(backoff.next()))) {
      return Error(Code::cancelled, "the validation was stopped");
    }
  }
}

void Pass::work(size_t worker) {
  while (true) {
    Share share{};
    {
      std::lock_guard hold(mutex_);
      while (!shares_.empty() && shares_.back().collection->error) shares_.pop_back();
      if (shares_.empty()) return;
      share = std::move(shares_.back());
      shares_.pop_back();
    }
    try {
      const RangeCheck::Shared shared{parts_, options_, rows_,
                                      rate_,  primary_, std::hash<std::string>{}(pass_id_)};
      auto checked = RangeCheck(shared, *share.collection->comparison, share.range, worker).run();
      if (!checked) fail(*share.collection, checked.error());
    } catch (const std::exception& e) {
      fail(*share.collection,
           {Code::internal, std::string("the validation failed on our side: ") + e.what()});
    }
  }
}

void Pass::fail(Collection& collection, Error error) {
  std::lock_guard hold(mutex_);
  if (!collection.error) collection.error = std::move(error);
}

Result<void> Pass::outcome() {
  std::lock_guard hold(mutex_);
  std::optional<Error> first;
  size_t failed = 0;
  bool stopped = parts_.stopping();
  for (const auto& collection : collections_) {
    if (!collection.error) continue;
    if (collection.error->code == Code::cancelled) {
      stopped = true;
      continue;
    }
    ++failed;
    const Error error =
        collection.error->within("collection '" + collection.label + "' was not compared to its end");
    log::warn("a collection is not validated", {{"collection", collection.label}, {"error", error.message}});
    if (!first) first = error;
  }
  if (first && failed > 1)
    first->message += " (and " + std::to_string(failed - 1) + " more collections, see the log)";
  if (first) return *first;
  if (stopped) {
    return Error(Code::cancelled,
                 "the validation was stopped; the same pass goes on where it was when it is run again");
  }
  return {};
}

}  // namespace vmproxy::validation
