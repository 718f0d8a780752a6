// Journal: the durable memory of one migration (correctness.md 2, 3, 10), on a Store only.
//
// Layout of the store (every value begins with a format byte and ends with a CRC32C; seq big-endian so that
// order is byte order):
//   "i" seq        intent head: epoch, direction, class, operation, collection, keys; or a hole (burnt seqs)
//   "b" seq        intent body: method, target, content headers, body; never credentials
//   "o" seq        outcome: whole or per key; after promotion the images it left
//   "r" table key  rows: debts, touched, checkpoints, quarantine, state, audit ... see rows.h
//   "m" name       meta: format version; "next": an intent or hole from which the way to the end is short, or the end;
//                  trimmed-below, boot mark
// and, outside the log, the store's slot: capture gaps found while the store could not be written.
//
// One committer thread groups intents and rows that arrive while a sync is under way into the next batch.
// Threads: append/outcome/put_rows may be called from any thread and never block on disk (io threads may call
// them); the others block and must not be called from io threads. Callbacks run on the committer thread: post
// from them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/metrics.h"
#include "model/key.h"
#include "model/record.h"
#include "model/write.h"
#include "net/message.h"
#include "store/store.h"

namespace vmproxy::journal {

using Seq = uint64_t;  // contiguous from 1

enum class IntentClass : uint8_t { image, read_back, predicate, ddl, opaque };

// Which side is the primary of the write.
enum class Side : uint8_t { source, target };

struct IntentHead {
  Seq seq = 0;  // assigned by append()
  uint64_t epoch = 0;
  Side primary = Side::source;
  IntentClass cls = IntentClass::opaque;
  std::string operation;  // the dialect's row name
  model::CollectionName collection;
  std::vector<model::Key> keys;
  bool makes_keys = false;  // the primary makes up more of them: the outcome's images name those
  Seq enumerated_from = 0;  // predicate: journal position when its enumeration began
};

// An empty one is not kept: nobody will ask for it (a write that is read back needs its keys only).
struct IntentBody {
  std::string method;
  std::string target;
  net::Headers headers;  // content-type and content-encoding only
  std::string body;
  bool empty() const { return method.empty() && target.empty() && body.empty(); }
};

// What a write after promotion left of a key; no record: it is deleted.
struct Image {
  model::Key key;
  std::optional<model::Record> record;
};

struct OutcomeRecord {
  model::Outcome whole = model::Outcome::uncertain;
  std::vector<model::Outcome> items;  // per key of the intent, when the answer told
  std::vector<Image> images;  // after promotion; keys that the primary made up (IntentHead::makes_keys)
};

enum class Durability { fsync, os };

struct Options {
  Durability durability = Durability::fsync;
  uint64_t bytes_max = 50ull << 30;
  uint64_t pending_bytes_max = 256ull
                               << 20;  // of appends not yet committed; above: append fails with overloaded
  Metrics::Labels labels{};            // of its gauge, which other journals of the process have, too
  // Trimmed entries give their space back once the journal has so many bytes on the disk, after so many entries each time.
  uint64_t reclaim_above = 64ull << 20;
  uint64_t reclaim_each = 1024;
  // After a failure the journal tries reopen() by itself this often; zero: only when it is called.
  Duration reopen_every = std::chrono::seconds(1);
};

struct Stats {
  Seq next_seq = 1;
  Seq trimmed_below = 1;
  uint64_t intents = 0;  // not trimmed
  uint64_t bytes = 0;    // on disk
  uint64_t gaps_open = 0;
  double sync_seconds_p50 = 0;
  double sync_seconds_p99 = 0;
  bool clean_start = true;  // the previous run ended by close()
};

struct VerifyReport {
  uint64_t intents = 0, outcomes = 0, rows = 0;
  std::vector<std::string> problems;  // one line each: what, which seq or key, what it means
};

// A time in which writes may have passed uncaptured, or a single write that could not be understood.
struct Gap {
  uint64_t number = 0;
  std::string what;  // for people
  WallTime since;
  Seq seq = 0;  // the journal's end when it was marked
};

// Rows are small durable facts beside the log. `table` is a short name from rows.h.
struct Row {
  std::string table;
  std::string key;
  std::optional<std::string> value;  // nothing: erase
};

class Journal {
 public:
  // Opens or creates. Refuses an unknown format with its number (Code::unsupported) and damage
  // (Code::corrupt) with what is damaged and what to do. Writes the boot mark durably before it returns:
  // until close() a crash is visible to the next open as clean_start == false.
  static Result<std::unique_ptr<Journal>> open(store::Store& store, Clock& clock, Metrics& metrics,
                                               Options options);
  virtual ~Journal() = default;
  // A clean end: waits for what is pending, writes the clean mark.
  virtual Result<void> close() = 0;

  // Makes the intent durable (group commit), then calls done(seq). On failure done(error): nothing was
  // recorded, the seq is burnt and marked as a hole. Order of seqs is order of calls.
  virtual void append(IntentHead head, IntentBody body, std::function<void(Result<Seq>)> done) = 0;
  // Lazily durable; with `durable` it is synced first and then called back. With an error it is kept as a lazy one, where
  // there is room.
  virtual void outcome(Seq seq, OutcomeRecord outcome,
                       std::function<void(Result<void>)> durable = nullptr) = 0;
  // Atomic, ordered with everything put before it. Lazily durable, or synced with a callback.
  virtual void put_rows(std::vector<Row> rows, std::function<void(Result<void>)> durable = nullptr) = 0;
  // The same, waiting until it is synced.
  virtual Result<void> commit_rows(std::vector<Row> rows) = 0;
  // Sees rows that put_rows was called for, committed or not.
  virtual Result<std::optional<std::string>> row(std::string_view table, std::string_view key) = 0;
  virtual Result<std::vector<bool>> rows_exist(std::string_view table,
                                               const std::vector<std::string>& keys) = 0;
  // Ascending by key, keys that begin with `prefix`, from `from` on (empty: the first), committed ones; until
  // visit returns false.
  using VisitRow = std::function<bool(std::string_view key, std::string_view value)>;
  virtual Result<void> scan_rows(std::string_view table, std::string_view prefix, std::string_view from,
                                 const VisitRow& visit) = 0;
  // The same with what put_rows was called for before this call: its rows are seen, those it erased are not.
  virtual Result<void> scan_latest_rows(std::string_view table, std::string_view prefix,
                                        std::string_view from, const VisitRow& visit) = 0;
  // Removes all rows of a table whose key begins with prefix.
  virtual Result<void> erase_rows(std::string_view table, std::string_view prefix) = 0;

  virtual Result<IntentHead> head(Seq seq) = 0;
  virtual Result<IntentBody> body(Seq seq) = 0;
  virtual Result<std::optional<OutcomeRecord>> outcome_of(Seq seq) = 0;
  // Heads and outcomes from `from` on, ascending.
  using VisitIntent =
      std::function<bool(const IntentHead& head, const std::optional<OutcomeRecord>& outcome)>;
  virtual Result<void> scan(Seq from, const VisitIntent& visit) = 0;
  // The seq the next append will get.
  virtual Seq next() const = 0;
  // Everything below is on the replica or in debt rows put before this call: drop it. What was not called back yet
  // stays, and so does a hole that `seq` lies in. Bodies first goes with collapse.
  virtual void trim_below(Seq seq) = 0;
  // Frees bodies below seq but keeps heads (payloads collapse to READ debts).
  virtual void drop_bodies_below(Seq seq) = 0;

  // --- capture gaps (correctness.md 3). Durable as a row, or in the store's slot when the store cannot be
  // written. An error: recorded nowhere; refuse the write. The same `what` is recorded once between two
  // gap_horizon() calls. The first form blocks (and may be called from a journal callback); the second never
  // does.
  virtual Result<void> mark_gap(std::string what) = 0;
  virtual void mark_gap(std::string what, std::function<void(Result<void>)> done) = 0;
  // Of what is done already and can be refused no more: where it can be recorded nowhere it is kept in memory, counts in
  // has_gaps(), and is recorded with the next reopen() or close(). Never blocks.
  virtual void owe_gap(std::string what) {
    mark_gap(std::move(what), [](const Result<void>&) {});
  }
  // The same; blocks until it is recorded, where it can be.
  void record_gap(const std::string& what) {
    if (!mark_gap(what)) owe_gap(what);
  }
  virtual Result<std::vector<Gap>> gaps() = 0;
  virtual bool has_gaps() const = 0;  // from memory; also those that are not durable yet
  // Take it when a full validation begins and every write marked before has ended; pass it to close_gaps()
  // when that validation was clean. Gaps marked later have higher numbers.
  virtual uint64_t gap_horizon() = 0;
  virtual Result<void> close_gaps(uint64_t horizon) = 0;

  // After a failed commit or sync everything that wants durability is refused with the same error until
  // reopen() succeeds: it opens the store again, checks that nothing acknowledged is missing, makes seqs of
  // failed appends holes, turns slot gaps into rows, and commits the lazy rows and outcomes put meanwhile.
  // Blocks. What a failed durable row left behind is unknown: read it again afterwards.
  virtual Result<void> reopen() = 0;
  // The failure that reopen() must clear, or nothing.
  virtual std::optional<Error> failure() = 0;

  virtual Stats stats() = 0;
  virtual Result<VerifyReport> verify() = 0;
};

}  // namespace vmproxy::journal
