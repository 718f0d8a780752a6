// SourceDrops: while the source is the primary, what it drops is dropped on the target as well (mirror.ddl: full), whatever
// becomes of its answer, of this process, and of the catalog, which another request may ask for in between. That a drop may come
// is on the disk before it is sent, and stays there until the source was asked when that drop could not act any more and
// the target has dropped what is left of it. What nobody asked us to drop stays: that a list lacks it is not enough.
//
// Owned by the migration. Blocking, but for begin() and Call; thread-safe.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "base/clock_mutex.h"
#include "journal/journal.h"
#include "proxy/collections.h"
#include "proxy/mirror.h"
#include "proxy/transfer.h"

namespace vmproxy::proxy {

class SourceDrops {
 public:
  // `mirrored`: mirror.ddl is full. Else drops stay where they were made, and all of this does nothing.
  SourceDrops(journal::Journal& journal, Collections& collections, Transfer& transfer, Mirror& mirror,
              Clock& clock, bool mirrored);

  // What the last run left open. Before anything else.
  Result<void> load();

  // A drop on its way through us. When nobody says how it ended, it may be done until the window of the source has passed.
  class Call {
   public:
    Call(SourceDrops& drops, std::string name) : drops_(&drops), name_(std::move(name)) {}
    Call(Call&& other) noexcept : drops_(other.drops_), name_(std::move(other.name_)) {
      other.drops_ = nullptr;
    }
    Call& operator=(Call&& other) noexcept {
      std::swap(drops_, other.drops_);
      std::swap(name_, other.name_);
      return *this;
    }
    ~Call();
    void settled();   // surely not done, or done and followed
    void executed();  // done, and not followed yet: settle() does it
   private:
    SourceDrops* drops_;  // nothing: it has ended
    std::string name_;
  };
  // Of the collection of that name, or of all in that space when it is empty. Durable with, or before, whatever is put into
  // the journal after this call. Nothing: drops are not mirrored.
  std::optional<Call> begin(const model::CollectionName& name);
  // Once the catalog shows what is left: drops on the target what it lacks of `name`, where that is ours. An error: something
  // is still there.
  Result<void> follow(const model::CollectionName& name, Deadline deadline);

  // A drop that nobody follows any more may come, or has come and was not followed. From memory.
  bool any_open() const { return open_ > 0; }
  // The same: true for one caller every few seconds, who is to settle() then.
  bool should_settle();
  // Follows those, as the catalog shows what exists, for which the source was asked at `asked` or later. What cannot be done yet
  // stays open; the first error says why. What the target refuses for good is left to it. Nobody may change the primary
  // meanwhile: by who has the turn of the migration.
  Result<void> settle(TimePoint asked, Deadline deadline);
  // Until then a drop that the target never answered may still be done there, whatever has that name by then.
  TimePoint lands_on_target_until() const;
  // The target was asked to drop the source's collection `key` and may still do it.
  void may_land(const std::string& key);
  // Nobody watches the source's drops any more, or did not until now: the target is the primary, or nothing is mirrored. Same turn.
  void forget();

 private:
  struct Expected {
    model::CollectionName name;
    size_t under_way = 0;
    std::optional<TimePoint> lands_until;  // of those whose end nobody saw, or nobody followed
  };
  void ended(const std::string& key, std::optional<TimePoint> lands_until);
  void count_locked();
  TimePoint lands_on_target();  // of what the target may have been asked until now
  Result<void> drop(const Collections::LeftBehind& left, const model::CollectionName& name,
                    Deadline deadline);

  journal::Journal& journal_;
  Collections& collections_;
  Transfer& transfer_;
  Mirror& mirror_;
  Clock& clock_;
  const bool mirrored_;

  ClockMutex following_;  // one at a time; held while databases are asked
  mutable std::mutex mutex_;
  std::map<std::string, Expected> expected_;  // by name
  std::atomic<size_t> open_{0};
  TimePoint look_again_{};             // mutex_
  TimePoint lands_on_target_until_{};  // mutex_
};

}  // namespace vmproxy::proxy
