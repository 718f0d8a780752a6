#include "backfill/range_copy.h"

#include <algorithm>

#include "backfill/record_bytes.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/seconds.h"

namespace vmproxy::backfill {
RangeCopy::RangeCopy(Parts& parts, CollectionCopy& collection, uint32_t index, size_t worker)
    : parts_(parts),
      collection_(collection),
      index_(index),
      source_wait_("source " + std::to_string(worker)),
      target_wait_("target " + std::to_string(worker)),
      source_backoff_(parts.random),
      target_backoff_(parts.random) {}

Result<void> RangeCopy::run() {
  auto row = collection_.checkpoints().progress(collection_.job().name, index_);
  if (!row) return row.error();
  if (row->done) return {};
  auto range = collection_.checkpoints().range(collection_.job().name, index_);
  if (!range) return range.error();
  row_ = std::move(*row);
  range_ = std::move(*range);
  cursor_ = row_.cursor;
  seen_ = collection_.seen();
  auto copied = copy();
  give_up_pages();
  parts_.waiting(source_wait_, "");
  parts_.waiting(target_wait_, "");
  return copied;
}

Result<void> RangeCopy::copy() {
  while (true) {
    if (auto settled = settle(); !settled) return settled;
    if (scanned_ && pages_.empty()) return finish();
    uint64_t reserved = 0;
    const bool turn = wait_for_turn(reserved);
    if (parts_.stopping() || collection_.error()) {
      release(reserved);
      (void)settle();  // what is acknowledged by now need not be copied again
      return parts_.stopped();
    }
    if (!turn) continue;
    if (auto done = scan(reserved); !done) return done;
  }
}

bool RangeCopy::wait_for_turn(uint64_t& reserved) {
  auto& state = *parts_.state;
  std::unique_lock lock(state.mutex);
  const uint64_t bytes = collection_.page_size().bytes_expected();
  while (!state.stopping) {
    if (!pages_.empty() && pages_.front().answer->result) return false;
    if (scanned_ && pages_.empty()) return false;
    const TimePoint now = parts_.clock.now();
    const TimePoint begin = std::max(not_before_, parts_.rate.ready());
    const bool room =
        state.bytes_in_flight == 0 || state.bytes_in_flight + bytes <= parts_.options.bytes_in_flight_max;
    const bool may_scan = !state.paused && !scanned_ && pages_.size() < pages_max && room;
    if (may_scan && now >= begin) {
      reserved = bytes;
      state.bytes_in_flight += bytes;
      return true;
    }
    // Everything that can change the answer notifies; the bound is for errors of other ranges.
    const TimePoint until =
        may_scan ? std::min(begin, now + std::chrono::seconds(1)) : now + std::chrono::seconds(1);
    bool woken = false;
    parts_.clock.wait_until(lock, state.changed, until, [&woken] { return std::exchange(woken, true); });
    if (collection_.error()) return false;
  }
  return false;
}

Result<void> RangeCopy::scan(uint64_t reserved) {
  const TimePoint begun = parts_.clock.now();
  Share share(*this, reserved);
  auto& size = collection_.page_size();
  auto found =
      parts_.source.scan(collection_.schema(), range_, cursor_, size.records(parts_.rate.per_second()), {},
                         parts_.clock.in(parts_.options.page_timeout));
  if (VMPROXY_FAULT_HIT("page.scanned").drops)
    found = Error(Code::connection_lost, "the source's answer was lost");
  if (!found) return source_failed(found.error());
  const Duration took = parts_.clock.now() - begun;
  if (found->records.empty() && !found->done && found->cursor == cursor_)
    return Error(Code::internal, "the source's scan does not move on; nothing was lost, the copy ended here");
  Page page;
  page.cursor = found->cursor;
  page.last = found->done;
  page.begun = begun;
  uint64_t bytes = 0;
  for (const auto& record : found->records) {
    bytes += record_bytes(record);
    page.keys.push_back(record.key);
  }
  for (const auto& one : found->unread) {
    page.unread.push_back(one.key);
    page.keys.push_back(one.key);
  }
  for (const auto& key : page.keys) page.hashes.push_back(SeenKeys::hash_of(key));
  size.scanned(found->records.size(), bytes, seconds_of(took));
  parts_.rate.spent(static_cast<double>(page.keys.size()));
  not_before_ = parts_.clock.now() + parts_.yield.after(took);
  if (auto* ids = collection_.ids()) {
    auto entered = ids->enter(page.keys, parts_.clock.in(parts_.options.page_timeout));
    if (!entered) return entered.error().retryable() ? source_failed(entered.error()) : entered;
  }
  source_backoff_.reset();
  goes_on(source_wait_);
  {
    std::lock_guard hold(parts_.state->mutex);
    parts_.state->bytes_in_flight += bytes;
    parts_.state->bytes_in_flight -= share.bytes;
    share.bytes = bytes;
  }
  cursor_ = page.cursor;
  scanned_ = page.last;
  page.duplicates = seen_->enter(page.hashes);
  send(std::move(page), std::move(found->records), share);
  return {};
}

void RangeCopy::send(Page page, std::vector<model::Record> records, Share& share) {
  page.answer = std::make_shared<Answer>();
  page.sent = parts_.clock.now();
  auto answer = page.answer;
  pages_.push_back(std::move(page));
  if (records.empty()) {
    std::lock_guard hold(parts_.state->mutex);
    answer->at = pages_.back().sent;
    answer->result = journal::BackfillDone{};
    return;
  }
  {
    auto& state = *parts_.state;
    std::lock_guard hold(state.mutex);
    if (state.pages_in_flight++ == 0) state.acknowledged = pages_.back().sent;
  }
  // Only the state and the answer: the page may outlive this copy, and the run.
  const auto answered = [state = parts_.state, answer, bytes = std::exchange(share.bytes, 0),
                         &clock = parts_.clock](Result<journal::BackfillDone> result) {
    {
      std::lock_guard hold(state->mutex);
      if (answer->result) return;
      answer->at = state->acknowledged = clock.now();
      answer->result = std::move(result);
      state->bytes_in_flight -= bytes;
      --state->pages_in_flight;
    }
    state->changed.notify_all();
  };
  try {
    parts_.sink.backfill(collection_.job().name, collection_.schema().incarnation, std::move(records),
                         answered);
  } catch (...) {
    answered(Error(Code::cancelled, "the page was not sent"));
    throw;
  }
  VMPROXY_FAULT("page.sent");
}

// Moves the checkpoint past every page at the front that was answered.
Result<void> RangeCopy::settle() {
  while (!pages_.empty()) {
    Page& page = pages_.front();
    std::optional<Result<journal::BackfillDone>> result;
    {
      std::lock_guard hold(parts_.state->mutex);
      result = page.answer->result;
    }
    if (!result) return {};
    if (!*result) return lanes_failed(result->error());
    if (auto done = settle(page, **result); !done) {
      if (!done.error().retryable()) return done;
      waits(target_wait_, "the journal cannot be written, tried again: " + done.error().message);
      parts_.wait(target_backoff_.next());
      return {};
    }
    target_backoff_.reset();
    goes_on(target_wait_);
    pages_.pop_front();
  }
  return {};
}

Result<void> RangeCopy::settle(Page& page, const journal::BackfillDone& done) {
  VMPROXY_FAULT("page.acked");
  // Owed before the checkpoint passes the page: rows are durable in the order in which they are put.
  if (auto owed = repair(page); !owed) return owed;
  VMPROXY_FAULT("page.repaired");
  seen_->leave(page.hashes, true);
  const Counts counts{page.keys.size(), done.dropped, done.quarantined + page.unread.size(), page.duplicates};
  row_.counts += counts;
  row_.cursor = page.cursor;
  collection_.checkpoints().put(collection_.job().name, index_, row_);
  VMPROXY_FAULT("page.kept");
  {
    auto& state = *parts_.state;
    std::lock_guard hold(state.mutex);
    state.counts += counts;
    state.meter.sample(parts_.clock.now(), state.counts.records);
  }
  if (page.keys.empty()) return {};
  parts_.records.add(static_cast<double>(page.keys.size()));
  parts_.batch_seconds.observe(seconds_of(page.answer->at - page.begun));
  collection_.page_size().acknowledged(seconds_of(page.answer->at - page.sent));
  return {};
}

Result<void> RangeCopy::repair(const Page& page) {
  const auto twice = seen_->twice(page.hashes);
  std::vector<model::Key> keys = page.unread;
  for (size_t i = 0; i < twice.size(); ++i) {
    if (twice[i]) keys.push_back(page.keys[i]);
  }
  if (keys.empty()) return {};
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  auto owed = parts_.sink.repair(collection_.job().name, keys);
  if (!owed) return owed.error().within(collection_.label() + ": records that have to be read again");
  return {};
}

Result<void> RangeCopy::finish() {
  row_.done = true;
  VMPROXY_FAULT("range.finishing");
  while (true) {
    auto kept = collection_.checkpoints().commit(collection_.job().name, index_, row_);
    VMPROXY_FAULT("range.finished");
    if (kept) return {};
    if (parts_.stopping()) return parts_.stopped();
    waits(target_wait_, "the journal cannot be written, tried again: " + kept.error().message);
    parts_.wait(target_backoff_.next());
  }
}

Result<void> RangeCopy::source_failed(const Error& error) {
  if (error.code == Code::not_found) {
    return Error(Code::precondition,
                 "it was dropped on the source while it was copied (" + error.message +
                     "). Start again: it is then left out, or copied anew if it was created again");
  }
  if (!error.retryable()) return error.within("the source refused to be read");
  if (error.code == Code::timeout) collection_.page_size().timed_out();
  waits(source_wait_, "the source does not answer, tried again: " + error.message);
  not_before_ = parts_.clock.in(source_backoff_.next());
  return {};
}

// All pages in flight come again: what of them reached the target is found there.
Result<void> RangeCopy::lanes_failed(const Error& error) {
  if (error.code == Code::precondition) {
    return Error(Code::precondition, error.message + ". Start again: it is then left out, or copied anew");
  }
  if (error.code != Code::cancelled && !error.retryable())
    return error.within("the target refused to be written");
  give_up_pages();
  cursor_ = row_.cursor;
  scanned_ = false;
  waits(target_wait_, "the target's lanes are stopped, tried again: " + error.message);
  not_before_ = parts_.clock.in(target_backoff_.next());
  return {};
}

void RangeCopy::waits(const std::string& who, const std::string& why) {
  if (parts_.waiting(who, collection_.label() + ": " + why)) {
    log::warn("the copy waits", {{"collection", collection_.label()}, {"reason", why}});
  }
}

void RangeCopy::goes_on(const std::string& who) {
  if (parts_.waiting(who, "")) log::info("the copy goes on", {{"collection", collection_.label()}});
}

void RangeCopy::give_up_pages() {
  for (const auto& page : pages_) seen_->leave(page.hashes, false);
  pages_.clear();
}

void RangeCopy::release(uint64_t bytes) {
  if (bytes == 0) return;
  {
    std::lock_guard hold(parts_.state->mutex);
    parts_.state->bytes_in_flight -= bytes;
  }
  parts_.state->changed.notify_all();
}

}  // namespace vmproxy::backfill
