// DurableJournal: the Journal over a Store. One class, its parts in files by idea:
//   durable_journal.cpp  opening, closing, appending: what callers put into groups
//   committer.cpp        the thread that commits groups, fails and reopens
//   recovery.cpp         what is read when a store is opened
//   rows.cpp             rows: reading, scanning, erasing
//   reading.cpp          intents: head, body, outcome, scan, stats
//   gaps.cpp             capture gaps, as rows or in the slot
//   verify.cpp           the check of everything
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "journal/group.h"
#include "journal/layout.h"

namespace vmproxy::journal {

class DurableJournal final : public Journal {
 public:
  DurableJournal(store::Store& store, Clock& clock, Metrics& metrics, Options options);
  ~DurableJournal() override;
  Result<void> start();  // recovery, boot mark, committer
  Result<void> close() override;

  void append(IntentHead head, IntentBody body, std::function<void(Result<Seq>)> done) override;
  void outcome(Seq seq, OutcomeRecord outcome, std::function<void(Result<void>)> durable) override;
  void put_rows(std::vector<Row> rows, std::function<void(Result<void>)> durable) override;
  Result<void> commit_rows(std::vector<Row> rows) override;
  Result<std::optional<std::string>> row(std::string_view table, std::string_view key) override;
  Result<std::vector<bool>> rows_exist(std::string_view table, const std::vector<std::string>& keys) override;
  Result<void> scan_rows(std::string_view table, std::string_view prefix, std::string_view from,
                         const VisitRow& visit) override;
  Result<void> scan_latest_rows(std::string_view table, std::string_view prefix, std::string_view from,
                                const VisitRow& visit) override;
  Result<void> erase_rows(std::string_view table, std::string_view prefix) override;

  Result<IntentHead> head(Seq seq) override;
  Result<IntentBody> body(Seq seq) override;
  Result<std::optional<OutcomeRecord>> outcome_of(Seq seq) override;
  Result<void> scan(Seq from, const VisitIntent& visit) override;
  Seq next() const override { return next_.load(); }
  void trim_below(Seq seq) override;
  void drop_bodies_below(Seq seq) override;

  Result<void> mark_gap(std::string what) override;
  void mark_gap(std::string what, std::function<void(Result<void>)> done) override;
  void owe_gap(std::string what) override;
  Result<std::vector<Gap>> gaps() override;
  bool has_gaps() const override;
  uint64_t gap_horizon() override;
  Result<void> close_gaps(uint64_t horizon) override;

  Result<void> reopen() override;
  std::optional<Error> failure() override;
  Stats stats() override;
  Result<VerifyReport> verify() override;

 private:
  using Lock = std::unique_lock<std::mutex>;
  using Done = std::function<void(Result<void>)>;

  // --- appending (mutex_ held)
  Group& group();  // the one being filled
  void wake(bool urgent);
  std::optional<Error> refusal(uint64_t bytes) const;
  void refuse(std::function<void()> call);  // run on the committer thread, in order with completions
  void put_row(Group& to, Row row);
  void put_durable(std::vector<Row> rows, bool force_sync, Done done);
  Result<void> wait_for(const std::function<void(Done)>& start);

  // --- committer
  void run();
  void wait_for_work(Lock& hold);
  bool reopen_due() const;
  void try_reopen(Lock& hold);
  Seq trim_owed() const;  // how many intents, or bodies, may go and are still there
  bool trim_due() const;
  void place_trim(Lock& hold);
  void add_trims(Group& to);
  void commit_front(Lock& hold);
  void fail(Error error);
  void observe_sync(double seconds);
  void keep_house(Lock& hold);  // gauges and reclaiming, once a second
  Result<void> reopen_now();
  Result<void> commit_unsynced();
  bool on_committer() const { return std::this_thread::get_id() == committer_.get_id(); }

  // --- recovery
  struct Recovered {
    Seq next = 1;
    Seq trimmed = 1;
    Seq bodies_dropped = 1;
    uint64_t gap_number = 0;
    std::optional<BootMark> boot;
    std::map<Seq, Hole> lost_holes;       // to be written again, by first seq
    std::optional<std::string> in_doubt;  // intents may be missing: a gap, in words for people
    bool fresh = false;
  };
  Result<Recovered> recover();
  Result<std::optional<std::string>> meta(std::string_view name);
  Result<uint64_t> meta_number(std::string_view name, uint64_t otherwise);
  Result<Seq> last_taken(Seq trimmed, Seq first, Seq marked, bool clean);
  Result<Seq> last_contiguous(Seq from);
  Result<Seq> first_entry(Seq from);
  Result<void> find_lost_holes(Recovered& found, Seq first, Seq marked);
  void put_meta(store::Batch& to, std::string_view name, std::string_view payload);
  Result<void> write_boot_mark(const std::vector<Gap>& found, bool clean,
                               const std::map<Seq, Hole>& holes = {});

  // --- reading
  std::optional<std::optional<std::string>> find_pending(const std::string& key) const;  // mutex_ held
  void settle();
  Result<Seq> entry_of(Seq seq, Seq from);
  Result<std::vector<HeadOrHole>> heads_from(Seq from, size_t count_max);

  // --- gaps
  static Row row_of(const Gap& gap);
  Gap new_gap(std::string what);        // mutex_ held
  void add_owed(std::vector<Gap>& to);  // mutex_ held
  const Gap* same_gap(const std::string& what) const;
  void put_gap_number(Group& to);
  Result<void> gap_into_slot(const Gap& gap);
  std::string slot_bytes() const;  // mutex_ held
  Result<std::vector<Gap>> gaps_of_slot();
  Result<void> load_gaps();
  uint64_t wall_us() const;

  store::Store& store_;
  Clock& clock_;
  const Options options_;
  Histogram sync_seconds_;
  Gauge bytes_;

  // Held while the slot is written, which may take as long as the disk likes; mutex_ is not, as io threads take that one. It
  // comes before mutex_.
  std::mutex slot_mutex_;
  mutable std::mutex mutex_;
  std::condition_variable work_;      // wakes the committer
  std::condition_variable progress_;  // a group ended, or reopen() did
  std::deque<Group> pending_;         // the front one may be at the store: then the committer alone moves it
  bool front_busy_ = false;
  uint64_t pending_bytes_ = 0;
  // Committed and not yet synced, in order; the committer's alone. The store may lose them when it is reopened, and
  // nobody here would know that they are gone: they are committed again then. Empty with durability `os`.
  std::vector<store::Batch> unsynced_;
  uint64_t unsynced_bytes_ = 0;
  uint64_t group_last_ = 0;  // numbers of groups
  uint64_t group_done_ = 0;
  std::vector<std::function<void()>> refused_;
  std::atomic<Seq> next_{1};
  Seq next_marked_ = 1;
  Seq trimmed_ = 1, trim_wanted_ = 1;
  Seq bodies_dropped_ = 1, bodies_wanted_ = 1;
  TimePoint trimmed_at_{};  // when it was last looked what may go
  enum class Waiting { no, for_urgent, for_any } waiting_ = Waiting::no;
  bool stopping_ = false;
  bool closed_ = false;

  std::optional<Error> failure_;
  Seq acknowledged_ = 0;  // everything up to it was called back, or is in a hole on the disk
  Seq burnt_from_ = 0;    // first seq of the failed appends; 0: none
  bool rows_lost_ = false;
  bool reopen_wanted_ = false;
  TimePoint reopen_at_{};     // the next attempt of its own
  std::string reopen_error_;  // of the last one, logged when it changes
  std::optional<Result<void>> reopened_;

  std::map<uint64_t, Gap> gaps_;       // recorded, by number
  std::map<uint64_t, Gap> slot_gaps_;  // those of them that stand in the slot only
  uint64_t gap_number_ = 0;
  uint64_t gap_horizon_ = 0;
  std::atomic<int> gaps_coming_{0};  // marked, not yet durable
  std::set<std::string>
      gaps_owed_;  // recorded nowhere, of what was done all the same; gaps_max of them, and one for the rest

  std::array<double, 512> syncs_{};
  size_t sync_count_ = 0;
  TimePoint house_kept_at_{};
  Seq reclaimed_ = 1;
  bool clean_start_ = true;
  std::thread committer_;
};

inline constexpr uint64_t group_bytes_max = 8u << 20;
inline constexpr uint64_t unsynced_bytes_max = 8u << 20;  // above: synced, whoever waits for it or not
inline constexpr Duration lazy_delay = std::chrono::milliseconds(5);
inline constexpr Duration trim_delay = std::chrono::milliseconds(200);
inline constexpr Seq trim_count = 1024;
inline constexpr Seq next_mark_count = 16384;
inline constexpr size_t gaps_max = 1000;

}  // namespace vmproxy::journal
