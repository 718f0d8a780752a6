// Lanes: the threads that bring the replica to the primary's state, each with an ordered share of the keys, so that
// nothing for one key is ever written by two at once (H18). Live entries and rows of the copy meet here.
//
// Owned by Mirror. A failure of the replica is retried for ever with back-off; a record that it refuses, or that the
// primary does not let be read, waits in quarantine. Nothing here touches the application.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <optional>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/metrics.h"
#include "journal/sink.h"
#include "protocols/api/dialect.h"
#include "proxy/batch_size.h"
#include "proxy/freshness.h"
#include "proxy/lane_queue.h"
#include "proxy/ledger.h"
#include "proxy/quarantine.h"
#include "proxy/replica_health.h"
#include "proxy/transfer.h"

namespace vmproxy::proxy {

struct LaneOptions {
  size_t lanes = 8;
  size_t batch_max = 512;       // entries sent at once; fewer to whoever does not answer that in time
  size_t copy_rows_max = 4096;  // rows of the copy waiting per lane
  Duration apply_timeout = std::chrono::seconds(10);
  // While changes come faster than one at a time, a lane waits this long for more of them, or for gather_entries: a
  // call to the replica costs about the same for one change and for fifty.
  Duration gather = std::chrono::milliseconds(4);
  size_t gather_entries = 64;
  bool threads = true;  // false: whoever owns the lanes takes their steps (tests/model)
};

// The replica judged the record itself. Everything else (a read-only database, a missing right, a full disk) may be
// mended by somebody, and is tried again until it is.
inline bool refused_for_good(const Error& error) {
  return error.code == Code::invalid || error.code == Code::unsupported || error.code == Code::already_exists;
}

class Lanes {
 public:
  struct Parts {
    journal::Journal& journal;
    Collections& collections;
    Transfer& transfer;
    const protocols::Dialect* dialect;  // decodes images of the source's requests
    InFlight& in_flight;
    Freshness& freshness;
    Debts& debts;
    Ledger& ledger;
    Quarantine& quarantine;
    Clock& clock;
    Random& random;
    Metrics& metrics;
  };
  Lanes(Parts parts, LaneOptions options);
  ~Lanes();

  // Before the first start(): entries put until then are of this primary's epoch.
  void begin_with(Side primary) { primary_ = primary; }
  // Threads begin; nothing is sent to the replica before `not_before` (H57). A lane that the system refuses a thread waits for
  // keep_staffed().
  void start(Side primary, TimePoint not_before);
  // Between start() and stop(): threads that are missing begin. Does not wait for either.
  void keep_staffed();
  // Nothing is in flight on the replica when it returns; entries stay queued.
  void stop();

  // `ends_doubt`: a write of its collection was in doubt until now (Freshness::settled).
  void put(Entry entry, bool ends_doubt = false);
  bool has(const std::string& collection, const std::string& key) const;
  size_t size() const;
  size_t copy_size() const { return copy_rows_; }
  // Waits until every live entry is applied; false at the deadline.
  bool wait_empty(Deadline deadline);
  void wake();  // something that entries of any lane waited for has ended

  void pause(const std::string& collection);
  bool paused(const std::string& collection) const;
  void resume(const std::string& collection);
  // Ends a life: images that were journaled before are not applied to what has the name later, also those that a lane holds
  // just now; what is queued is read there. What a lane has on its way to the replica is read once more when it has arrived.
  void read_anew(const std::string& collection);
  // The same, and takes out what is queued.
  std::vector<Entry> remove(const std::string& collection);
  // Generation whose touched keys the copy must leave alone; 0: no copy.
  void set_generation(uint64_t generation) { generation_ = generation; }

  void copy(const model::CollectionName& collection, uint64_t incarnation, std::vector<model::Record> rows,
            std::function<void(Result<journal::BackfillDone>)> done);

  // Of the replica, else of the primary that must be read.
  std::string problem() const {
    const std::string replica = health_.problem();
    return replica.empty() ? primary_health_.problem() : replica;
  }
  // For when the primary is dead: while held no lane begins a READ of it. Those under way end by themselves (apply_timeout):
  // reading() says how many have not. Then take_reads() takes out every entry that is one.
  void hold_reads(bool held);
  size_t reading() const;
  std::vector<Entry> take_reads();
  // READs that wait for nothing but a primary which may be dead, and whose last write the journal holds; they become images.
  std::vector<std::pair<std::string, std::string>> journaled() const;
  void use_journaled(const std::vector<std::pair<std::string, std::string>>& keys);
  // A READ of this key that falls due now could be written from the journal, too.
  bool has_journaled(const std::string& collection, const std::string& key) const;
  // "collection key" of at most `max` keys that wait for a READ or are being read, but for the journaled ones, and how many
  // there are.
  std::pair<std::vector<std::string>, size_t> reads(size_t max) const;
  size_t images() const;  // keys whose journaled image waits or is being written
  uint64_t applied() const { return applied_; }
  uint64_t failed() const { return failed_; }

 private:
  friend struct Peek;  // tests/model takes the threads' steps itself
  struct CopyBatch;    // one call of copy(), shared by the lanes that have a part in it
  struct CopyPart {
    std::shared_ptr<CopyBatch> batch;
    std::vector<model::Record> rows;
  };
  struct Lane {
    LaneQueue queue;
    std::deque<CopyPart> copies;
    size_t copy_rows = 0;
    std::thread thread;
    // Guarded by mutex_. Only this lane's thread waits for it, so that one change wakes one thread.
    std::condition_variable work;
    uint64_t wakes = 0;
    bool idle = false;      // it waits for any work
    size_t last_batch = 0;  // its thread only
    bool made = false;      // its thread only: what its last batch missed was made
  };
  size_t lane_of(const std::string& collection, const std::string& key) const;
  void staff();  // life_mutex_ held
  void run(Lane& lane);
  void wake(Lane& lane);
  void gather(Lane& lane);
  bool step(Lane& lane);
  void apply_whole(Lane& lane, const std::vector<Entry>& taken);
  bool owe_again(Lane& lane, const std::vector<Entry>& taken, const char* why, bool& noted);
  void apply(Lane& lane, std::vector<Entry> entries);
  // One collection's share of a batch. Entries that must be tried again are left in `entries`.
  // `life`: life_of() it when they were looked at.
  void apply_collection(Lane& lane, const Collection& collection, journal::Seq life,
                        std::vector<Entry>& entries);
  // What the entries' keys have on the primary.
  struct States {
    std::vector<model::Record> records;
    std::vector<model::Key> absent;
    std::unordered_map<std::string, Error> unread;  // encoded key -> why nobody can read it now
  };
  Result<States> states(const Collection& collection, const std::vector<Entry>& entries);
  // The entries of such keys wait in quarantine for somebody who changes that; the others stay in `entries`.
  void set_aside(Lane& lane, const Collection& collection,
                 const std::unordered_map<std::string, Error>& unread, std::vector<Entry>& entries);
  void finished(Lane& lane, const std::vector<Entry>& entries);
  std::optional<Ledger::Hold> stays_journaled(const Entry& entry);
  // The replica gets these; whole records instead of what it has, or their absence.
  Result<protocols::ApplyResult> upsert(const Collection& collection,
                                        const std::vector<model::Record>& records, Deadline deadline);
  Result<protocols::ApplyResult> erase(const Collection& collection, const std::vector<model::Key>& keys,
                                       Deadline deadline);
  // Nothing is written to a collection of the target that holds somebody else's records.
  Result<void> claim(const Collection& collection);
  // The collection was not dropped or created again since the caller looked it up.
  bool same_life(const Collection& collection) const;
  journal::Seq life_of(
      const std::string& collection) const;  // what is journaled from there on is of its present life
  // The primary says that the collection is not there: true when that is so and the catalog knows it now.
  bool gone(const Collection& collection);
  void owe_zombies(const std::string& collection, const std::vector<model::Key>& keys, const Error& error);
  void copy_part(CopyPart part);
  Result<journal::BackfillDone> copy_rows_of(const CopyPart& part);
  static void end_copy(CopyBatch& batch, const Result<journal::BackfillDone>& result);
  Side replica() const { return other(primary_.load()); }

  Parts parts_;
  const LaneOptions options_;
  ReplicaHealth health_;           // of the replica
  ReplicaHealth primary_health_;   // of READs: journaled images go on while the primary cannot be read
  BatchSize batch_, reads_batch_;  // what the replica gets at once, what the primary is asked for at once
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::atomic<Side> primary_{Side::source};
  std::atomic<uint64_t> generation_{0};
  std::atomic<size_t> copy_rows_{0};
  std::atomic<uint64_t> applied_{0}, failed_{0};
  Counter applied_upserts_, applied_deletes_, applied_rows_;

  std::mutex life_mutex_;      // start() and stop(); the lanes' threads
  bool understaffed_ = false;  // guarded by life_mutex_
  mutable std::mutex mutex_;
  std::condition_variable changed_;  // lanes became empty, or have room
  std::unordered_map<std::string, int> paused_;
  std::unordered_map<std::string, journal::Seq>
      lives_;  // by forgotten collection; what has no entry left goes
  TimePoint not_before_{};
  bool reads_held_ = false;
  bool stopping_ = true;
};

}  // namespace vmproxy::proxy
