// The copy's way through the lanes (correctness.md 4): rows wait in the lane of their key, and are dropped where a live
// write has touched the key in this generation.
#include <algorithm>
#include <exception>
#include <map>
#include <span>

#include "base/fault.h"
#include "base/log.h"
#include "base/rule.h"
#include "journal/rows.h"
#include "proxy/images.h"
#include "proxy/lanes.h"

namespace vmproxy::proxy {

struct Lanes::CopyBatch {
  std::shared_ptr<const Collection> collection;
  std::function<void(Result<journal::BackfillDone>)> done;
  std::mutex mutex;
  size_t parts_left = 0;
  journal::BackfillDone sum;
  std::optional<Error> error;
};

void Lanes::end_copy(CopyBatch& batch, const Result<journal::BackfillDone>& result) {
  std::function<void(Result<journal::BackfillDone>)> done;
  Result<journal::BackfillDone> whole = journal::BackfillDone{};
  {
    std::lock_guard hold(batch.mutex);
    if (result) {
      batch.sum.applied += result->applied;
      batch.sum.dropped += result->dropped;
      batch.sum.quarantined += result->quarantined;
    } else if (!batch.error) {
      batch.error = result.error();
    }
    if (--batch.parts_left > 0) return;
    done = std::move(batch.done);
    whole =
        batch.error ? Result<journal::BackfillDone>(*batch.error) : Result<journal::BackfillDone>(batch.sum);
  }
  done(std::move(whole));
}

void Lanes::copy(const model::CollectionName& name, uint64_t incarnation, std::vector<model::Record> rows,
                 std::function<void(Result<journal::BackfillDone>)> done) {
  const auto collection = parts_.collections.find(model::to_string(name));
  if (!collection || collection->plan->source().incarnation != incarnation) {
    done(Error(Code::precondition,
               "collection '" + model::to_string(name) + "' was dropped or created again"));
    return;
  }
  std::map<size_t, std::vector<model::Record>> shares;
  for (auto& row : rows) shares[lane_of(collection->key, model::encode(row.key))].push_back(std::move(row));
  if (shares.empty()) {
    done(journal::BackfillDone{});
    return;
  }
  auto batch = std::make_shared<CopyBatch>();
  batch->collection = collection;
  batch->done = std::move(done);
  batch->parts_left = shares.size();
  for (auto& [index, share] : shares) {
    Lane& lane = *lanes_[index];
    bool stopped = false;
    {
      std::unique_lock lock(mutex_);
      while (!stopping_ && lane.copy_rows >= options_.copy_rows_max) {
        parts_.clock.wait_until(lock, changed_, parts_.clock.in(std::chrono::seconds(1)),
                                [&] { return stopping_ || lane.copy_rows < options_.copy_rows_max; });
      }
      stopped = stopping_;
      if (!stopped) {
        lane.copy_rows += share.size();
        copy_rows_ += share.size();
        lane.copies.push_back({batch, std::move(share)});
        ++lane.wakes;
      }
    }
    lane.work.notify_one();
    if (stopped) end_copy(*batch, Error(Code::cancelled, "the lanes were stopped"));
  }
}

void Lanes::copy_part(CopyPart part) {
  Result<journal::BackfillDone> result = Error(Code::cancelled, "not tried");
  try {
    result = copy_rows_of(part);
  } catch (const std::exception& broken) {
    // Whoever copies waits for an answer; the rows may be on the wire (H45).
    result = Error(Code::unavailable,
                   std::string("rows of the copy could not be written, on our side: ") + broken.what());
    health_.unused();
    std::vector<model::Key> keys;
    for (const auto& row : part.rows) keys.push_back(row.key);
    owe_zombies(part.batch->collection->key, keys, result.error());
  }
  end_copy(*part.batch, result);
}

Result<journal::BackfillDone> Lanes::copy_rows_of(const CopyPart& part) {
  const Collection& collection = *part.batch->collection;
  const uint64_t generation = generation_;
  journal::BackfillDone done;
  size_t first = 0;  // of the rows that are left
  while (first < part.rows.size()) {
    {
      std::unique_lock lock(mutex_);
      const auto waits = [&] {
        return !stopping_ &&
               (paused_.contains(collection.key) || parts_.collections.drop_may_land(collection.key));
      };
      while (waits()) {
        parts_.clock.wait_until(lock, changed_, parts_.clock.in(std::chrono::milliseconds(200)),
                                [&] { return !waits(); });
      }
      if (stopping_) return Error(Code::cancelled, "the lanes were stopped");
    }
    const auto now = parts_.collections.find(collection.key);
    if (!now || now->plan->source().incarnation != collection.plan->source().incarnation) {
      return Error(Code::precondition, "collection '" + collection.key + "' was dropped or created again");
    }
    // Asked anew at each try: a live write may have come while we waited.
    const auto next = std::span(part.rows).subspan(first, std::min(batch_.now(), part.rows.size() - first));
    std::vector<std::string> names;
    for (const auto& row : next)
      names.push_back(touched_key(generation, collection.key, model::encode(row.key)));
    auto touched = parts_.journal.rows_exist(journal::rows::touched, names);
    if (!touched) return touched.error();
    std::vector<size_t> untouched;
    for (size_t i = 0; i < next.size(); ++i) {
      const auto owed = parts_.debts.owed(collection.key, model::encode(next[i].key));
      if (!owed) return owed.error();
      if (((*touched)[i] && VMPROXY_RULE("copy.touched")) || *owed) continue;
      untouched.push_back(i);
    }
    const size_t dropped = next.size() - untouched.size();
    if (untouched.empty()) {
      done.dropped += dropped;
      first += next.size();
      continue;
    }
    std::vector<model::Record> some;  // mostly it is all of them, and nothing is copied
    if (dropped > 0) {
      for (const size_t i : untouched) some.push_back(next[i]);
    }
    const auto rows = dropped > 0 ? std::span<const model::Record>(some) : next;
    const auto ours = claim(*now);
    if (!ours && !ours.error().retryable()) return ours.error();
    const auto before_it = VMPROXY_FAULT_HIT("copy.writing");
    Result<protocols::ApplyResult> written =
        ours ? Error(Code::unavailable, "the replica cannot serve") : ours.error();
    const TimePoint began = parts_.clock.now();
    if (ours && !before_it.fails)
      written = parts_.transfer.upsert(replica(), *now, rows, protocols::UpsertMode::insert_only,
                                       began + options_.apply_timeout);
    const Duration took = parts_.clock.now() - began;
    if (VMPROXY_FAULT_HIT("copy.written").drops)
      written = Error(Code::connection_lost, "the replica's answer was lost");
    if (written) {
      if (health_.succeeded()) {
        log::info("replica answers again", {{"collection", collection.key}});
        wake();
      }
      if (!same_life(*now)) {
        // H20: the rows may have landed on the collection's next life.
        std::vector<Debt> debts;
        for (const auto& row : rows)
          debts.push_back({0, collection.key, model::encode(row.key), DebtReason::repair, Duration::zero()});
        parts_.debts.add(debts);
        continue;  // refused as of a former life
      }
      for (const auto& refusal : written->refused) {
        const auto& row = rows[refusal.index];
        parts_.quarantine.add(collection.key, model::encode(row.key), refusal.error.message, row, primary_);
      }
      batch_.answered(rows.size(), took);
      const size_t applied = rows.size() - written->refused.size();
      done.quarantined += written->refused.size();
      done.applied += applied;
      done.dropped += dropped;
      first += next.size();
      applied_rows_.add(static_cast<double>(applied));
      continue;
    }
    const Error& error = written.error();
    if (error.code == Code::not_found && replica() == Side::target) {
      if (paused(collection.key) || !same_life(*now)) continue;  // a call that is being mirrored dropped it
      if (parts_.collections.create_on_target(*now, parts_.clock.in(options_.apply_timeout))) continue;
    }
    if (refused_for_good(error)) return error;
    ++failed_;
    batch_.failed(rows.size(), took);
    std::vector<model::Key> keys;
    for (const auto& row : rows) keys.push_back(row.key);
    // H57/H45: such a row may still land after a delete of its key.
    if (ours) owe_zombies(collection.key, keys, error);
    if (health_.failed(error.message)) {
      log::warn("replica does not take rows of the copy; they are tried again",
                {{"collection", collection.key}, {"error", error.message}});
    }
    std::unique_lock lock(mutex_);
    parts_.clock.wait_until(lock, changed_, health_.retry_at(), [this] { return stopping_; });
  }
  return done;
}

}  // namespace vmproxy::proxy
