// Mirror: the write path of correctness.md 2 and the owner of everything the replica is owed. One per migration.
//
// The life of a write: begin_*() -> journal() -> [send it] -> finish(), or drop() when it was never sent. None of them
// blocks on disk or network. Thread-safe.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "journal/sink.h"
#include "proxy/debts.h"
#include "proxy/in_flight.h"
#include "proxy/lag_trend.h"
#include "proxy/lanes.h"
#include "proxy/routing.h"
#include "proxy/suspects.h"
#include "proxy/write_marks.h"
#include "proxy/written_keys.h"

namespace vmproxy::proxy {

class Mirror;

// A write that goes on although only a capture gap stands for it: from before the gap is marked until its end is known. Who
// ends without that (a coroutine that is destroyed) may still be executed.
class Unjournaled {
 public:
  Unjournaled(Mirror& mirror, Side primary);
  Unjournaled(const Unjournaled&) = delete;
  ~Unjournaled() { end(true); }
  void end(bool may_act);

 private:
  Mirror* mirror_;
  Side primary_;
};

// A write that changes nobody can say what: from before it is sent until its gap is marked, or until it was surely not done.
class Unfollowed {
 public:
  explicit Unfollowed(Mirror& mirror);
  Unfollowed(const Unfollowed&) = delete;
  ~Unfollowed();

 private:
  Mirror& mirror_;
};

// One captured write between begin and finish. Made by Mirror, moved along with the request.
struct Ticket {
  OpId op = 0;
  bool broad = false;
  journal::IntentClass cls = journal::IntentClass::opaque;
  Side primary = Side::source;
  uint64_t epoch = 0;
  std::string operation;
  model::CollectionName collection;
  std::string collection_key;
  std::vector<model::Key> keys;
  std::vector<std::string> encoded;  // of keys
  bool makes_keys = false;  // the intent does not name all: add_keys() does, once the primary has answered
  size_t named = 0;         // how many it does name; keyed: the primary made up those after them
  // Broad: where in the journal the intents begin of all that it may hit and has not listed; held until it ends.
  journal::Seq enumerated_from = 0;
  journal::Seq seq = 0;  // 0: not journaled
  std::shared_ptr<Unjournaled> unjournaled;
  std::shared_ptr<Unfollowed> unfollowed;
  std::shared_ptr<InFlight::Passing> passing;  // since its names were looked up, until it has ended
};

struct MirrorOptions {
  LaneOptions lanes;
  // Changes waiting in memory; above, one becomes a durable READ debt. While the target is primary, only one that must be
  // read anyway: the others are kept, without their bytes, one for each key (docs/decisions/0007).
  size_t entries_max = 400'000;
  size_t debts_max = 200'000;  // in memory, but for open windows; the others wait on disk
  // Of the journal on disk. Above it, while the source is primary, bodies are dropped: their changes become READs (H55).
  // After a promotion they are kept: they are what makes a rollback lossless when the target dies.
  uint64_t journal_bytes_max = 50ull << 30;
  // For a primary without an enforced bound on late execution: how long an uncertain write is watched before its key
  // becomes a suspect.
  Duration uncertain_window = std::chrono::seconds(30);
};

class Mirror final : public journal::Sink {
 public:
  Mirror(journal::Journal& journal, Collections& collections, Transfer& transfer,
         const protocols::Dialect* dialect, Clock& clock, Random& random, Metrics& metrics,
         MirrorOptions options);
  ~Mirror() override;

  // Replays the journal (correctness.md 10). `epoch`: the one that goes on now. Before start(). Blocking.
  Result<void> recover(Side primary, uint64_t epoch, bool clean_start);
  // Code::overloaded: the system refuses a thread. Nothing runs then, and it may be tried again.
  Result<void> start();
  void stop();  // nothing is in flight on the replica when it returns

  // --- the write path
  Ticket begin_keyed(const Routing& routing, std::string operation, model::CollectionName collection,
                     std::vector<model::Key> keys, journal::IntentClass cls);
  // Predicate or DDL: from before its enumeration. add_keys() names the records it will hit.
  Ticket begin_broad(const Routing& routing, std::string operation, model::CollectionName collection,
                     journal::IntentClass cls);
  // Of records that the intent could not name: those a broad write will hit, those whose keys the primary made.
  void add_keys(Ticket& ticket, std::vector<model::Key> keys);
  // A write that has no ticket: its names are only being looked up, or it is none of ours and goes past the mirror.
  InFlight::Passing passing() { return InFlight::Passing(in_flight_); }
  // Until then what opened a capture gap may still be executed, also what the last run had sent: who compares both sides before
  // knows nothing about it yet, and may not close the gap.
  TimePoint gaps_act_until() const { return gaps_act_until_; }
  // Writes that only a gap stands for are under way.
  bool unjournaled() const { return unjournaled_ > 0 || in_flight_.passing_before(names_known_from_); }
  // Writes are under way of which any read of the primary may have shown anything.
  bool unfollowed() const { return unfollowed_ > 0; }
  // Names stand for other collections, or for none, since just now: also what looked one up before, and is under way or may still
  // be executed, is something that only the gap of that change stands for. Before the gap is marked.
  void names_changed();
  // Such a write has ended, and nobody looked how.
  void passed(const InFlight::Passing& passing, Side primary);
  // Before a comparison that may close gaps, while the source is primary: what is queued, or on its way to the replica, may be
  // older than what a gap stands for, and would arrive behind the comparison that has not seen it. It is read again.
  void read_anew(const std::string& collection) { lanes_.read_anew(collection); }
  // After a promotion it waits for this instead: what was journaled below `seq` is on the source and no restart writes it once
  // more, nor can anything of the last run land there now.
  bool gone_below(journal::Seq seq) { return clock_.now() >= not_before_.load() && ledger_.gone_below(seq); }
  // Before the gap is marked: what it stands for may still be executed by this primary.
  void gaps_act_late(Side primary);
  // No other write was under way when this broad one began, or has begun since (see InFlight::alone).
  bool alone(const Ticket& ticket) const { return in_flight_.alone(ticket.op); }
  // How long a write of unknown outcome may still be executed by this primary.
  Duration window_of(Side primary) const;
  void journal(Ticket& ticket, journal::IntentBody body, std::function<void(Result<journal::Seq>)> done);
  // What became of it. `outcome.images`, when given, are the primary's new state (after promotion).
  // `durable`: called when the outcome is synced.
  void finish(Ticket ticket, journal::OutcomeRecord outcome,
              std::function<void(Result<void>)> durable = nullptr);
  void drop(Ticket ticket);  // never sent: rejected

  // --- what the replica has
  Freshness& freshness() { return freshness_; }
  bool dirty(const model::CollectionName& collection, const model::Key& key) override;
  bool quarantined(const model::CollectionName& collection, const model::Key& key) override;
  void backfill(const model::CollectionName& collection, uint64_t incarnation,
                std::vector<model::Record> rows,
                std::function<void(Result<journal::BackfillDone>)> done) override;
  Result<void> repair(const model::CollectionName& collection, const std::vector<model::Key>& keys) override;
  Result<void> erase_strays(const model::CollectionName& collection,
                            const std::vector<model::Key>& keys) override;

  // --- the copy's generation: touched keys are recorded while it is not 0
  void set_generation(uint64_t generation);
  bool copying() const { return generation_ != 0; }
  // Every write of the collections is READ, and read again when the settle window is closed.
  std::vector<OpId> open_settle(const std::vector<std::string>& collections);
  void close_settle(const std::vector<OpId>& windows);
  // H62, after close_settle() when an earlier settle time of this generation was cut short by a restart: what was mirrored
  // then belongs to no window any more, and is read again. Blocking.
  Result<void> reread_touched(const std::vector<std::string>& collections);

  // --- DDL: nothing of the collection is sent to the replica between pause and resume
  void pause(const std::string& collection);
  void resume(const std::string& collection);
  bool paused(const std::string& collection) const { return lanes_.paused(collection); }
  // Quarantine and images of a dropped or re-created collection go. What is owed stays owed by name, and is read of what has
  // the name then; after the promotion, when no write of a next life can be among them, the entries go, too.
  void forget(const std::string& collection);

  // --- changing the primary: nothing new may begin meanwhile (the gate is closed)
  // Waits until all live entries are applied and every debt but open windows is paid, then stops the lanes.
  Result<void> catch_up(Deadline deadline);
  // The primary is dead: what had to be read from it is lost with it unless somebody revives it. How many keys those are,
  // and the names of some. Those whose last write the journal holds are none of them: write_journaled().
  struct Unread {
    size_t count = 0;
    std::vector<std::string> names;  // "collection key", of the first twenty
  };
  Unread unread();
  // With READs held: a key that must be read, and whose last write is journaled, is written from there: nobody knows whether the
  // primary did that (its answer was lost, or a kill took the outcome away), but nobody was told that it did not. In case the
  // primary comes back as such, it is read again when its window closes.
  // Then what must end before the other READs can be given up. Nothing: every image is on the replica, no READ is under way, and
  // no attempt on the replica can land there any more (H58).
  std::optional<Error> write_journaled();
  size_t images_waiting() const { return lanes_.images(); }
  // While held no READ of the primary begins.
  void hold_reads(bool held) { lanes_.hold_reads(held); }
  // catch_up() without the primary, with READs held. Once write_journaled() has nothing to say, the lanes are stopped, and
  // nothing is unread any more: with `give_up` the keys of all READs, and of all debts but open windows, are kept in quarantine
  // as at risk (H46) and no longer waited for; else one that is there ends it, and is in `unread`. After that, and after an
  // error, the lanes run and nothing is given up.
  struct CaughtUp {
    size_t given_up = 0;  // so many are in quarantine for it that were not
    Unread unread;        // some: not caught up
  };
  Result<CaughtUp> catch_up_without_primary(const std::string& why, bool give_up, Deadline deadline);
  // Nothing is owed but open uncertainty windows: what a change of the primary may carry over.
  bool only_windows_owed() const { return debts_.count() == debts_.count(DebtReason::uncertain); }
  // Lanes stopped. Also ends what is left of the wait after an unclean start (H57): that was for the former replica.
  void set_primary(Side primary);
  // When it was called last, or else the beginning.
  TimePoint primary_since() const { return primary_since_; }
  // Without a set_primary() before, what catch_up_without_primary() gave up is owed again.
  void resume_lanes();
  // Reads the keys of open windows again (H53), at most `max`: what was executed late, readers may have seen already, and the
  // next primary shall have it too. Of more than `max` the rest is left to the windows' end, and so is what is executed between
  // its READ and the decision. A window that was carried over the last change is about what the replica may still do, so its key
  // is not read: a primary that dies would leave a READ that nobody can do, and hold a rollback up.
  void reread_windows(size_t max);
  // A write of unknown outcome may still be done at the primary.
  bool any_window() const { return in_flight_.any_window(); }
  // Reads every suspect again. Blocking; an error: not all of them.
  Result<void> reread_suspects();
  // After a change of the primary. What was in doubt is what the former one may still do, and that one is the replica now:
  // its suspects become open windows that end as lost attempts on a replica do (Capabilities::max_zombie), with a READ of
  // this primary. Where such a READ settles nothing they stay suspects, and are read again.
  Result<void> carry_suspects();
  // Written since both sides were last seen equal there.
  WrittenKeys& written() { return written_; }
  const WriteMarks& marks() const { return marks_; }
  Result<void> retry_quarantined(std::optional<uint64_t> number);

  struct Numbers {
    uint64_t lag_changes = 0, dirty = 0, suspects = 0, quarantined = 0, writes = 0, applied = 0, failed = 0,
             in_flight = 0;
    double lag_seconds = 0, oldest_debt_seconds = 0;
    std::optional<LagTrend::Rates> rates;  // none: not watched for long enough
    std::string problem;
  };
  Numbers numbers();
  Quarantine& quarantine() { return quarantine_; }
  // Names of DDL that recovery found without an outcome: what exists must be asked again. An outcome is put when it was
  // asked, so one that is there says that the catalog has what the change left.
  const std::vector<std::string>& unresolved_ddl() const { return unresolved_ddl_; }

 private:
  friend class Unjournaled;
  friend class Unfollowed;
  friend struct Peek;  // tests/model: it has no threads, and takes their steps itself
  struct CollectionWindow {
    OpId window;
    std::string collection;
    TimePoint closes;
    journal::Seq held;
    bool doubt;  // of a write that may still be executed; else of the copy's settle time
  };
  uint64_t lag_changes() const;
  uint64_t next_position();
  Entry read_entry(const std::string& collection, std::string key);
  std::optional<Error> unsettled(TimePoint now) const;
  void put(Entry entry);
  void place(Entry entry);  // put() for whoever holds a WriteMarks::Coming of it
  size_t give_up_reads(const std::string& why);
  void take_back_given_up();
  // Takes back from `outcome` what may not be relied on after a restart.
  void finish_keyed(Ticket& ticket, journal::OutcomeRecord& outcome);
  void finish_broad(Ticket& ticket, const journal::OutcomeRecord& outcome);
  // H48: without read-after-write a READ proves nothing: the keys are read again at each validation pass.
  void suspect_reads(const std::string& collection, const std::vector<std::string>& keys);
  // A READ of the primary settles what was in doubt: it shows every acknowledged write, and nothing runs on for ever there.
  bool reads_settle() const;
  void touch(const std::string& collection, const std::vector<std::string>& keys);
  // The uncertain `write` (0: it is not of this life of the process) may be executed until its debt falls due.
  void open_window(const std::string& collection, const std::string& key, OpId write);
  void run();  // due debts, windows, trimming
  void pay_due();
  void close_windows(bool all);
  void collapse_bodies();
  Result<void> owe_unread();
  void recover_intent(const journal::IntentHead& head, const std::optional<journal::OutcomeRecord>& outcome,
                      bool may_be_images);
  // What status and log say while more than journal_bytes_max waits for a source that is not primary.
  static constexpr std::string_view kept_beyond_max =
      "the journal holds more than journal.max_bytes: what the source lacks is kept whole for the way back. Bring the source back, raise it, or finalize";
  // Where in the journal the life of collections that were dropped or created again begins: row -> seq.
  static constexpr std::string_view life_rows = "life/";
  Result<std::map<std::string, journal::Seq>> lives();

  journal::Journal& journal_;
  Collections& collections_;
  Transfer& transfer_;
  Clock& clock_;
  const MirrorOptions options_;

  InFlight in_flight_;
  Freshness freshness_;
  Debts debts_;
  Ledger ledger_;
  Quarantine quarantine_;
  WrittenKeys written_;
  Suspects suspects_;
  WriteMarks marks_;
  LagTrend lag_trend_;
  Lanes lanes_;

  std::mutex
      life_mutex_;  // start() and stop(): a migration that closes may meet its worker arming the mirror
  std::mutex finish_mutex_;  // outcome and lane position of a write are one step (its order on the replica)
  std::atomic<uint64_t> last_position_{0};
  std::atomic<uint64_t> generation_{0};
  std::atomic<Side> primary_{Side::source};
  std::atomic<TimePoint> primary_since_;
  std::atomic<uint64_t> writes_{0}, collapsed_{0};
  std::atomic<TimePoint> not_before_{TimePoint()};  // H57: nothing is sent to the replica before
  // That wait is on the disk: a run that is stopped within it, cleanly, leaves it to the next. Of recover(), then of run().
  static constexpr std::string_view landing_row = "landing";
  bool landing_noted_ = false;
  std::atomic<TimePoint> gaps_act_until_{TimePoint()};
  std::atomic<uint64_t> unjournaled_{0};
  std::atomic<uint64_t> unfollowed_{0};
  std::atomic<OpId> names_known_from_{0};   // writes before may have looked up what is not so any more
  std::atomic<bool> journal_full_ = false;  // more than journal_bytes_max; set by run()
  std::vector<std::string> unresolved_ddl_;
  // collection, key: since the lanes were stopped without the primary. Of whoever changes the primary, so one thread's.
  std::set<std::pair<std::string, std::string>> given_up_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<CollectionWindow> windows_;
  std::map<std::string, int> collapsed_collections_;
  bool stopping_ = false;
  bool started_ = false;
  std::thread thread_;
};

}  // namespace vmproxy::proxy
