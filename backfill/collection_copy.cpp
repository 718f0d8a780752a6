#include "backfill/collection_copy.h"

#include <algorithm>

#include "base/backoff.h"
#include "base/fault.h"
#include "base/log.h"

namespace vmproxy::backfill {
namespace {

// A source may have to enumerate its ids to plan.
constexpr Duration plan_timeout = std::chrono::minutes(30);
constexpr uint64_t page_bytes_max = 8u << 20;

}  // namespace

CollectionCopy::CollectionCopy(Parts& parts, const Checkpoints& checkpoints, Job job)
    : parts_(parts),
      checkpoints_(checkpoints),
      job_(std::move(job)),
      label_("collection '" + model::to_string(job_.name) + "'"),
      page_size_(parts.options.batch,
                 std::clamp<uint64_t>(parts.options.bytes_in_flight_max / 4, 1u << 10, page_bytes_max)) {
  if (!job_.plan->ids_injective() || parts.options.prove_ids) {
    ids_ = std::make_unique<IdMap>(
        parts.journal, parts.source, job_.plan->source(),
        [plan = job_.plan](const model::Key& key) { return plan->key_to_target(key); });
  }
}

Result<void> CollectionCopy::check(const PlanRow& row) const {
  const uint64_t incarnation = job_.plan->source().incarnation;
  if (row.incarnation != incarnation) {
    return Error(Code::precondition,
                 label_ + " was dropped and created again since its copy began (incarnation " +
                     std::to_string(row.incarnation) + " then, " + std::to_string(incarnation) +
                     " now); how far the copy came says nothing about the new one. What is on the target may "
                     "be of the "
                     "old one: drop the target's collection, or abandon the migration, and start again");
  }
  if (row.mapping_hash != job_.plan->hash()) {
    return Error(
        Code::precondition,
        label_ +
            ": the mapping changed since its copy began; the records copied so far are in the old form. "
            "Put the mapping back to go on, or abandon the migration, drop the target's collection and "
            "start again");
  }
  return {};
}

Result<uint64_t> CollectionCopy::count() {
  model::Query query;
  query.kind = model::Query::Kind::count;
  query.collection = schema().name;
  auto counted = parts_.source.query(schema(), query, parts_.clock.in(parts_.options.page_timeout));
  if (!counted) return counted.error();
  return counted->count;
}

Result<void> CollectionCopy::plan(size_t ranges_wanted_max) {
  auto row = checkpoints_.plan(job_.name);
  if (!row) return row.error();
  if (*row && parts_.options.copy_anew && (*row)->incarnation != schema().incarnation) {
    log::info("the collection was created again; it is copied from the beginning", {{"collection", label_}});
    if (auto forgotten = checkpoints_.forget(job_.name); !forgotten) return forgotten;
    row->reset();
  }
  if (*row) {
    if (auto same = check(**row); !same) return same;
    plan_ = **row;
    ranges_left_ = plan_.ranges;
    return {};
  }
  Backoff backoff(parts_.random);
  while (true) {
    if (parts_.stopping()) return parts_.stopped();
    Result<std::vector<protocols::ScanRange>> ranges = Error();
    auto total = count();
    // A source that cannot count is copied without an ETA.
    if (total || !total.error().retryable()) {
      plan_.total = total ? *total : total_unknown;
      const size_t wanted =
          total ? static_cast<size_t>(*total / std::max<uint64_t>(parts_.options.records_per_range, 1))
                : ranges_wanted_max;
      ranges = parts_.source.plan_scan(schema(), std::clamp<size_t>(wanted, 1, ranges_wanted_max),
                                       parts_.clock.in(plan_timeout));
    } else {
      ranges = total.error();
    }
    if (ranges) {
      parts_.waiting(label_, "");
      plan_.mapping_hash = job_.plan->hash();
      plan_.incarnation = schema().incarnation;
      plan_.ranges = ranges_left_ = static_cast<uint32_t>(ranges->size());
      auto kept = checkpoints_.commit_plan(job_.name, plan_, *ranges);
      VMPROXY_FAULT("plan.kept");
      return kept;
    }
    const Error& error = ranges.error();
    if (error.code == Code::not_found) {
      return Error(Code::precondition, label_ + " does not exist on the source any more: " + error.message);
    }
    if (!error.retryable()) return error.within(label_ + ": planning the copy");
    if (parts_.waiting(label_, label_ + ": the source does not answer, tried again: " + error.message)) {
      log::warn("the copy waits for the source", {{"collection", label_}, {"error", error.message}});
    }
    parts_.wait(backoff.next());
  }
}

Result<Counts> CollectionCopy::counted() const {
  Counts sum;
  for (uint32_t i = 0; i < plan_.ranges; ++i) {
    auto row = checkpoints_.progress(job_.name, i);
    if (!row) return row.error();
    sum += row->counts;
  }
  return sum;
}

Result<void> CollectionCopy::build_indexes() {
  auto built = checkpoints_.indexed(job_.name);
  if (!built) return built.error();
  if (*built) return {};
  Backoff backoff(parts_.random);
  while (true) {
    if (parts_.stopping()) return parts_.stopped();
    auto done =
        parts_.target.build_indexes(job_.plan->target(), parts_.clock.in(parts_.options.index_timeout));
    if (VMPROXY_FAULT_HIT("index.built").drops)
      done = Error(Code::connection_lost, "the target's answer was lost");
    if (done) {
      parts_.waiting(label_, "");
      auto kept = checkpoints_.commit_indexed(job_.name);
      VMPROXY_FAULT("index.kept");
      return kept;
    }
    const Error& error = done.error();
    if (!error.retryable()) {
      return error.within(label_ + ": all records are copied, but the target's indexes could not be built");
    }
    if (parts_.waiting(
            label_, label_ + ": the target does not build its indexes now, tried again: " + error.message)) {
      log::warn("building indexes waits for the target", {{"collection", label_}, {"error", error.message}});
    }
    parts_.wait(backoff.next());
  }
}

std::shared_ptr<SeenKeys> CollectionCopy::seen() {
  std::lock_guard hold(mutex_);
  if (!seen_)
    seen_ = std::make_shared<SeenKeys>(plan_.total == total_unknown ? 0 : std::max<uint64_t>(plan_.total, 1));
  return seen_;
}

void CollectionCopy::range_ended() {
  std::lock_guard hold(mutex_);
  if (--ranges_left_ == 0) seen_.reset();
}

void CollectionCopy::fail(Error error) {
  {
    std::lock_guard hold(mutex_);
    if (error_) return;
    error_ = std::move(error);
  }
  parts_.state->changed.notify_all();
}

std::optional<Error> CollectionCopy::error() const {
  std::lock_guard hold(mutex_);
  return error_;
}

}  // namespace vmproxy::backfill
