// SimDatabase: a database behind a network. It answers like FakeDriver, late; requests and answers get lost, what lost its
// answer may be executed later or once more (within what the capabilities promise), batches are applied in part, scans show
// records twice, and for a while it is away. Whoever asks is a thread of the run; what is on the wire arrives whether the
// process that sent it lives or not.
#pragma once

#include <deque>
#include <set>

#include "tests/sim/scheduler.h"
#include "tests/support/fake_driver.h"

namespace vmproxy::sim {

struct NetworkFaults {
  double loss = 0;        // of requests and answers, 0 to 0.3
  double replay = 0;      // of writes without an answer, 0 to 0.5: they are executed once more, later
  double late = 0;        // of writes: the answer is lost now and they are executed later
  double late_where = 0;  // the same of deletes by filter
  double part = 0;        // of batches: a beginning is applied, then the connection breaks
  double refuse = 0;      // of calls: turned away before anything was done
  double twice = 0;       // of pages of a scan: a record comes once more
  double stale = 0;       // of answers that may show what was (`stale_scans`, `stale_reads`)
  Time latency_max = 3 * millisecond;
};

class SimDatabase final : public protocols::Driver {
 public:
  SimDatabase(Scheduler& run, std::string name);

  support::FakeDriver rows;  // what it holds, and what a test does to it directly
  NetworkFaults faults;
  // Until then nobody gets through: refused at once, or silent: taken, and never done nor answered.
  Time away_until = 0;
  bool silent = false;
  bool away() const { return run_.now() < away_until; }
  // What was there before anybody asked.
  void put(const std::string& id, int64_t version);
  // Another database has its place: empty, and what is on the wire does not arrive there.
  void replaced_by_an_empty_one();
  // What it shows may be so old: in scans, which must be no more than `rows.caps.staleness`; in reads by key, which then has to be
  // without `rows.caps.read_after_write`.
  Time stale_scans = 0, stale_reads = 0;
  uint64_t lost = 0, replayed = 0, partial = 0, landed_late = 0, stale = 0;  // so many
  // Whoever sent what is on the wire is dead: it may arrive late.
  void sender_died() { sender_died_ = run_.now(); }
  // When this record became that version, in this time; nothing: when it went away.
  std::vector<Time> became(const std::string& id, std::optional<int64_t> version, Time from, Time to) const;
  // What it had of this record in this time, from what it had at its beginning; nothing: absent.
  std::set<std::optional<int64_t>> held(const std::string& id, Time from, Time to) const;
  bool changed_after(Time when) const;
  // Of a write that has ended without proof: until then it may still be executed.
  Time window() const;

  std::string_view system() const override { return "fake"; }
  const model::Capabilities& capabilities() const override { return rows.caps; }
  model::CollectionName name_for(const model::CollectionName& name) const override { return name; }
  Result<protocols::ServerInfo> describe_server(Deadline) override;
  Result<std::vector<protocols::Space>> list_spaces(Deadline) override;
  Result<std::vector<model::Schema>> list_collections(Deadline) override;
  Result<protocols::Holdings> list_all(Deadline) override;
  Result<std::optional<model::Schema>> describe(const model::CollectionName& name, Deadline) override;
  Result<void> create(const model::Schema& schema, Deadline) override;
  Result<void> alter(const model::CollectionName& now, const model::Schema& wanted, Deadline) override;
  Result<void> drop(const model::CollectionName& name, Deadline) override;
  Result<void> build_indexes(const model::Schema& schema, Deadline) override;
  Result<std::vector<model::Record>> read(const model::Schema& schema, std::span<const model::Key> keys,
                                          protocols::ReadParts parts, Deadline) override;
  Result<protocols::ReadResult> read_each(const model::Schema& schema, std::span<const model::Key> keys,
                                          protocols::ReadParts parts, Deadline) override;
  Result<protocols::ApplyResult> upsert(const model::Schema& schema, std::span<const model::Record> records,
                                        protocols::UpsertMode mode, Deadline) override;
  Result<protocols::ApplyResult> erase(const model::Schema& schema, std::span<const model::Key> keys,
                                       Deadline) override;
  Result<model::QueryResult> query(const model::Schema& schema, const model::Query& query, Deadline) override;
  Result<std::vector<protocols::ScanRange>> plan_scan(const model::Schema& schema, size_t ranges_wanted,
                                                      Deadline) override;
  Result<protocols::ScanPage> scan(const model::Schema& schema, const protocols::ScanRange& range,
                                   const std::string& cursor, size_t records_max, protocols::ReadParts parts,
                                   Deadline) override;
  // The application's own delete by filter, as the source executes it.
  Result<void> erase_where(const std::string& collection, const model::Filter& filter, Deadline);

 private:
  template <class T>
  using Execute = std::function<Result<T>()>;
  // One exchange. `batch`: how many records; 0: it changes nothing. `stale_max`: what it shows may be so old.
  template <class T>
  Result<T> exchange(std::string what, size_t batch, Deadline deadline, Execute<T> execute,
                     Time stale_max = 0);

  // What an execution made of each record, for became(). What changed nothing is not seen.
  struct Change {
    Time at;
    std::optional<int64_t> version;
  };
  void note_changes(const support::FakeDriver::Rows& before);
  // What it held at some time, not longer ago than that. Nothing: no more is known than what it holds now.
  std::shared_ptr<const support::FakeDriver::State> some_state(Time ago_max);

  Scheduler& run_;
  const std::string name_;
  std::map<std::string, std::vector<Change>> changes_;
  // What it held from then on; the last one is what it holds.
  std::deque<std::pair<Time, std::shared_ptr<const support::FakeDriver::State>>> states_;
  Time sender_died_ = -1;
  uint64_t lives_ = 0;  // of databases that had its place
};

}  // namespace vmproxy::sim
