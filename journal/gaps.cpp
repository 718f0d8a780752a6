// Capture gaps. A gap is durable before the write that it stands for goes on: as a row, or, when the store
// cannot be written (its disk is full or failed), in the store's preallocated slot, from where the next open
// makes it a row.
#include "base/fault.h"
#include "base/log.h"
#include "journal/durable_journal.h"
#include "journal/rows.h"
#include "model/codec.h"

namespace vmproxy::journal {
namespace {

constexpr size_t what_bytes_max = 300;
constexpr const char* more_gaps = "more writes that were not captured, of over 1000 kinds";

void encode_gap(model::Writer& out, const Gap& gap) {
  out.u64(gap.number);
  out.u64(static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(gap.since.time_since_epoch()).count()));
  out.u64(gap.seq);
  out.bytes(gap.what);
}

Gap decode_gap(model::Reader& in) {
  Gap gap;
  gap.number = in.u64();
  gap.since = WallTime(std::chrono::duration_cast<WallTime::duration>(std::chrono::microseconds(in.u64())));
  gap.seq = in.u64();
  gap.what = in.bytes();
  return gap;
}

std::string number_key(uint64_t number) {
  return seq_key(Kind::row, number).substr(1);
}

}  // namespace

uint64_t DurableJournal::wall_us() const {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(clock_.wall().time_since_epoch()).count());
}

Row DurableJournal::row_of(const Gap& gap) {
  model::Writer out;
  encode_gap(out, gap);
  return {std::string(rows::gaps), number_key(gap.number), out.take()};
}

Gap DurableJournal::new_gap(std::string what) {
  return {++gap_number_, std::move(what), clock_.wall(), next_.load()};
}

const Gap* DurableJournal::same_gap(const std::string& what) const {
  for (auto gap = gaps_.upper_bound(gap_horizon_); gap != gaps_.end(); ++gap) {
    if (gap->second.what == what) return &gap->second;
  }
  return nullptr;
}

// Numbers never come again, also when the gaps that had them are closed: validation remembers a horizon.
void DurableJournal::put_gap_number(Group& to) {
  std::string key = meta_key("gap");
  std::string value = encode_bytes(encode_number(gap_number_)).finish(key);
  to.put(std::move(key), std::move(value));
}

// On the committer thread. Until it is in gaps_ it counts in gaps_coming_.
Result<void> DurableJournal::gap_into_slot(const Gap& gap) {
  std::lock_guard one(slot_mutex_);
  std::string bytes;
  {
    Lock hold(mutex_);
    if (same_gap(gap.what)) return {};  // recorded while this one waited for its turn
    slot_gaps_[gap.number] = gap;
    bytes = slot_bytes();
  }
  const auto fault = VMPROXY_FAULT_HIT("gap.slot");
  const auto written = fault.broken() ? fault.disk_error() : store_.write_slot(bytes);
  if (written) VMPROXY_FAULT("gap.slotted");
  Lock hold(mutex_);
  if (!written) {
    slot_gaps_.erase(gap.number);
    return written.error().within("journal: the capture gap '" + gap.what + "' could not be recorded");
  }
  gaps_[gap.number] = gap;
  return {};
}

// mutex_ held.
std::string DurableJournal::slot_bytes() const {
  model::Writer out;
  size_t left = slot_gaps_.size();
  for (const auto& [number, gap] : slot_gaps_) {
    Gap shown = gap;
    if (left > 1 && out.view().size() + what_bytes_max * 2 > store::Store::slot_bytes_max) {
      // One entry for the rest: the highest number, so that no horizon closes it too early.
      shown = slot_gaps_.rbegin()->second;
      shown.what = std::to_string(left) + " more gaps";
      encode_gap(out, shown);
      break;
    }
    --left;
    encode_gap(out, shown);
  }
  return out.take();
}

Result<std::vector<Gap>> DurableJournal::gaps_of_slot() {
  auto bytes = store_.read_slot();
  if (!bytes) return bytes.error();
  std::vector<Gap> found;
  model::Reader in(*bytes);
  while (!bytes->empty() && in.ok() && !in.done()) found.push_back(decode_gap(in));
  if (!in.ok()) {
    return Error(Code::corrupt,
                 "journal: the gap slot cannot be read: it may hold gaps of an earlier run. Remove the "
                 "file 'slot' beside the journal only after a full validation");
  }
  return found;
}

Result<void> DurableJournal::load_gaps() {
  std::optional<Error> damaged;
  const std::string from = row_key(rows::gaps, "");
  auto scanned = store_.scan(from, after_prefix(from), [&](auto key, auto value) {
    auto payload = unseal(key, value);
    if (!payload) {
      damaged = payload.error();
      return false;
    }
    model::Reader in(*payload);
    Gap gap = decode_gap(in);
    if (!in.done()) {
      damaged = Error(Code::corrupt, "journal: a capture gap cannot be read");
      return false;
    }
    gap_number_ = std::max(gap_number_, gap.number);
    gaps_[gap.number] = std::move(gap);
    return true;
  });
  if (!scanned) return scanned;
  if (damaged) return *damaged;
  auto in_slot = gaps_of_slot();
  if (!in_slot) return in_slot.error();
  for (auto& gap : *in_slot) {
    gap_number_ = std::max(gap_number_, gap.number);
    slot_gaps_[gap.number] = std::move(gap);  // write_boot_mark() makes rows of them
  }
  // A validation that goes on after the start vouches for those only: the same may happen again behind it.
  gap_horizon_ = gap_number_;
  return {};
}

void DurableJournal::mark_gap(std::string what, std::function<void(Result<void>)> done) {
  what.resize(std::min(what.size(), what_bytes_max));
  Lock hold(mutex_);
  if (closed_ || stopping_) {
    hold.unlock();
    done(Error(Code::precondition, "journal: it is closed"));
    return;
  }
  if (gaps_.size() >= gaps_max) what = more_gaps;
  if (same_gap(what)) {
    refuse([done = std::move(done)] { done({}); });  // recorded already
    return;
  }
  Gap gap = new_gap(std::move(what));
  ++gaps_coming_;
  if (failure_) {
    refuse([this, gap, done = std::move(done)] {
      done(gap_into_slot(gap));
      --gaps_coming_;  // behind it: what was recorded nowhere may be owed by then
    });
    return;
  }
  Group& to = group();
  const size_t first = to.batch.size();
  put_row(to, row_of(gap));
  put_gap_number(to);
  to.complete({0, nullptr,
               [this, gap, done = std::move(done)](Result<void> result) {
                 if (result) {
                   Lock again(mutex_);
                   gaps_[gap.number] = gap;
                 } else if (!stopping_) {
                   result = gap_into_slot(gap);
                 }
                 VMPROXY_FAULT("gap.recorded");
                 done(result);
                 --gaps_coming_;
               },
               first, to.batch.size()});
  to.sync = to.urgent = to.force_sync = true;
  wake(true);
}

Result<void> DurableJournal::mark_gap(std::string what) {
  if (!on_committer()) {
    return wait_for([&](Done done) { mark_gap(std::move(what), std::move(done)); });
  }
  // From a callback nothing can be waited for: the slot, now; the next open makes a row of it.
  what.resize(std::min(what.size(), what_bytes_max));
  Gap gap;
  {
    Lock hold(mutex_);
    if (gaps_.size() >= gaps_max) what = more_gaps;
    if (same_gap(what)) return {};
    gap = new_gap(std::move(what));
    ++gaps_coming_;
  }
  auto recorded = gap_into_slot(gap);
  --gaps_coming_;
  return recorded;
}

void DurableJournal::owe_gap(std::string what) {
  what.resize(std::min(what.size(), what_bytes_max));
  std::string kept = what;
  mark_gap(std::move(what), [this, kept = std::move(kept)](Result<void> marked) mutable {
    if (marked) return;
    log::error("a capture gap could not be recorded; it is as soon as the journal can be written again",
               {{"gap", kept}, {"error", marked.error().message}});
    Lock hold(mutex_);
    gaps_owed_.insert(gaps_owed_.size() < gaps_max ? std::move(kept) : std::string(more_gaps));
  });
}

void DurableJournal::add_owed(std::vector<Gap>& to) {
  for (const auto& what : gaps_owed_) {
    if (!same_gap(what)) to.push_back(new_gap(what));
  }
}

bool DurableJournal::has_gaps() const {
  Lock hold(mutex_);
  return !gaps_.empty() || gaps_coming_ > 0 || !gaps_owed_.empty();
}

Result<std::vector<Gap>> DurableJournal::gaps() {
  Lock hold(mutex_);
  std::vector<Gap> all;
  for (const auto& [number, gap] : gaps_) all.push_back(gap);
  return all;
}

uint64_t DurableJournal::gap_horizon() {
  Lock hold(mutex_);
  gap_horizon_ = gap_number_;
  return gap_horizon_;
}

Result<void> DurableJournal::close_gaps(uint64_t horizon) {
  auto committed = wait_for([&](Done done) {
    Lock hold(mutex_);
    if (auto error = refusal(0)) {
      refuse([done = std::move(done), error = *error] { done(error); });
      return;
    }
    Group& to = group();
    const size_t first = to.batch.size();
    for (auto gap = gaps_.begin(); gap != gaps_.end() && gap->first <= horizon; ++gap) {
      put_row(to, {std::string(rows::gaps), number_key(gap->first), std::nullopt});
    }
    put_gap_number(to);
    to.complete({0, nullptr, std::move(done), first, to.batch.size()});
    to.sync = to.urgent = to.force_sync = true;
    wake(true);
  });
  if (!committed) return committed;
  VMPROXY_FAULT("gaps.erased");
  std::lock_guard one(slot_mutex_);
  std::string left;
  {
    Lock hold(mutex_);
    const bool in_slot = !slot_gaps_.empty() && slot_gaps_.begin()->first <= horizon;
    std::erase_if(gaps_, [&](const auto& gap) { return gap.first <= horizon; });
    std::erase_if(slot_gaps_, [&](const auto& gap) { return gap.first <= horizon; });
    if (!in_slot) return {};
    left = slot_bytes();
  }
  return store_.write_slot(left);
}

}  // namespace vmproxy::journal
