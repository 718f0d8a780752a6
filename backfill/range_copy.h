// RangeCopy: copies one range on the calling thread. It scans on while earlier pages are on their way to the
// target, and moves the checkpoint in the order of the scan: past a page only when it and all before it are
// acknowledged.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "backfill/collection_copy.h"
#include "base/backoff.h"

namespace vmproxy::backfill {

class RangeCopy {
 public:
  // `worker`: of the thread, no other has it.
  RangeCopy(Parts& parts, CollectionCopy& collection, uint32_t index, size_t worker);

  // Until the range is done, durably. Error cancelled when stopping. Databases that are away are waited for.
  Result<void> run();

 private:
  static constexpr size_t pages_max = 4;  // in flight of one range

  // What the lanes answer, where they can still reach it when this object is gone.
  struct Answer {
    std::optional<Result<journal::BackfillDone>> result;  // guarded by CopyState::mutex
    TimePoint at{};
  };
  struct Page {
    std::string cursor;  // of the page behind it
    bool last = false;
    std::vector<uint64_t> hashes;
    std::vector<model::Key> keys;
    std::vector<model::Key> unread;  // among them: for the lanes to read, or to put into quarantine
    size_t duplicates = 0;
    TimePoint begun{}, sent{};
    std::shared_ptr<Answer> answer;
  };
  // Bytes of the budget that are given back however the scan ends, unless a page on its way has taken them over.
  struct Share {
    Share(RangeCopy& copy, uint64_t bytes) : copy(copy), bytes(bytes) {}
    ~Share() { copy.release(bytes); }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    RangeCopy& copy;
    uint64_t bytes;
  };

  Result<void> copy();
  bool wait_for_turn(uint64_t& reserved);  // true: scan a page, `reserved` bytes of the budget are ours
  Result<void> scan(uint64_t reserved);
  void send(Page page, std::vector<model::Record> records, Share& share);
  Result<void> settle();
  Result<void> settle(Page& page, const journal::BackfillDone& done);
  Result<void> repair(const Page& page);
  Result<void> finish();
  Result<void> source_failed(const Error& error);
  Result<void> lanes_failed(const Error& error);
  void waits(const std::string& who, const std::string& why);
  void goes_on(const std::string& who);
  void give_up_pages();
  void release(uint64_t bytes);

  Parts& parts_;
  CollectionCopy& collection_;
  const uint32_t index_;
  const std::string source_wait_, target_wait_;  // under which names we wait
  std::shared_ptr<SeenKeys> seen_;
  protocols::ScanRange range_;
  RangeRow row_;            // as checkpointed
  std::string cursor_;      // where the next scan begins
  bool scanned_ = false;    // the last page is on its way
  TimePoint not_before_{};  // of the next scan
  Backoff source_backoff_, target_backoff_;
  std::deque<Page> pages_;  // in flight, in the order of the scan
};

}  // namespace vmproxy::backfill
