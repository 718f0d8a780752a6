// Migration: one source, one target, one durable state: the composition of proxy/, backfill/ and validation/, and the
// state machine above them. Implements Control for the admin API and the command line.
//
// Threads: one worker of its own does the long work (barrier, copy, validation) in order; Control's calls may come from
// any thread, one transition at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "backfill/backfill.h"
#include "cutover/audit.h"
#include "cutover/control.h"
#include "cutover/state.h"
#include "cutover/turn.h"
#include "cutover/validation_request.h"
#include "proxy/context.h"
#include "validation/validation.h"

namespace vmproxy::cutover {

class Fence;
class StepTimes;

// Where a database is, without credentials.
struct Place {
  std::string system, address;
};

struct MigrationOptions {
  std::string name;
  Place source_place, target_place;        // the state is bound to them
  std::string source_label, target_label;  // "old (system)"
  proxy::Collections::Included included;
  std::map<std::string, std::string> names;  // target names chosen by the user
  proxy::MirrorOptions mirror;
  proxy::ProxyOptions proxy;
  backfill::Options backfill;
  Duration settle = std::chrono::seconds(2);
  Duration fence_max = std::chrono::seconds(2);
  Duration pre_drain_max = std::chrono::seconds(60);
  Duration lag_max = std::chrono::seconds(5);
  Duration debt_age_max = std::chrono::seconds(60);
  uint64_t inflight_bytes = 256ull << 20;
  size_t pool_threads = 64;
  bool unwatched = false;  // nobody follows the source between two runs: none goes on with a comparison
};

class Migration final : public Control {
 public:
  // `upstream` is where requests go as they came; drivers and dialect belong to the same databases. All outlive this.
  // No dialect: nothing can listen, the migration is a copy only.
  Migration(journal::Journal& journal, protocols::Driver& source, protocols::Driver& target,
            const protocols::Dialect* dialect, net::Upstream& upstream, Clock& clock, Random& random,
            Metrics& metrics, MigrationOptions options);
  ~Migration() override;

  // Recovers from the journal and goes on where the last run stopped. Blocking, short. Code::precondition: with this
  // configuration it cannot go on; the message says what changed since the last run. Nothing was changed then.
  Result<void> open();
  // Before close(): calls of Control that wait for databases end soon (Error cancelled), so that their threads can be
  // joined. Requests are served as before.
  void stop_waiting();
  void close();  // background work stops; the journal stays with its owner
  proxy::Context& context() { return context_; }
  // Empty when requests can be served as promised, else why not.
  std::string not_ready_reason();

  Status status() override;
  Result<void> start(const std::string& until, const Actor& actor) override;
  Result<void> pause_backfill(const Actor& actor) override;
  Result<void> resume_backfill(const Actor& actor) override;
  Result<void> throttle_backfill(double records_per_second, const Actor& actor) override;
  Result<void> validate(const ValidateOptions& options, const Actor& actor) override;
  Result<std::vector<Difference>> differences(size_t limit) override;
  Result<void> cutover(double percent, const Actor& actor) override;
  Result<void> promote(const Actor& actor) override;
  Result<void> rollback(const Actor& actor) override;
  Result<void> finalize(const Actor& actor) override;
  Result<void> abandon(const Actor& actor) override;
  Result<std::vector<QuarantineEntry>> quarantine() override;
  Result<model::Value> quarantine_show(uint64_t number) override;
  Result<void> quarantine_retry(std::optional<uint64_t> number, const Actor& actor) override;
  Result<void> quarantine_drop(uint64_t number, const Actor& actor) override;
  Result<std::vector<model::Value>> audit() override;
  Result<model::Value> journal_stats() override;
  Result<model::Value> journal_verify() override;

 private:
  enum class Wanted : uint8_t { nothing, start, validate };
  // What the configuration of this start no longer bears out is taken out of `state`. Before anything runs.
  Result<void> bind(State& state);
  Result<void> bind_before_promotion(State& state, const std::string& source_moved,
                                     const std::string& target_moved);
  Result<void> bind_after_promotion(State& state, const std::string& source_moved,
                                    const std::string& target_moved);
  Result<void> keep_binding();  // once the state is durable
  // Durable first, then published. Called with transition_ held.
  Result<void> move(State next, const Actor& actor, const std::string& action);
  State state() const;
  // For the audit, where nothing may fail any more.
  void note(const Actor& actor, const std::string& action, std::string_view result,
            std::string_view more = "") noexcept;
  static proxy::Routing routing_of(const State& state);
  void publish(const State& state);
  void publish(std::shared_ptr<const proxy::Routing> routing) noexcept;
  // A rollback has begun: reads go to the source from now on where it has every acknowledged write, and none waits for what
  // the rest of the way takes. Not durable: a restart finds the target as the primary, which answers every read.
  void reads_to_source_first();
  void publish_anew(double reads_percent);  // the state as it is, but for this

  // worker
  void work();
  Result<void> do_work(Wanted wanted, const ValidateOptions& options);  // nothing is thrown out of it
  void ask_in_doubt();
  void settle_changes();
  void settle_source_drops();
  void conclude_report(const Result<void>& done, bool ended, bool again);
  void report_failed(const std::string& why);
  void close_request();
  Result<void> run_start();
  Result<void> arm();  // catalog, target collections, capture barrier, settle
  Result<void> copy();
  Result<void> beyond_the_copy();
  backfill::Options copy_options();
  static inline const Actor worker_actor{"vmproxy", "", {}};
  Result<void> validate_until_clean();
  Result<validation::Report> validate_once(const ValidateOptions& options);
  Result<void> leave_nothing_older(bool closes_gaps);
  Result<void> conclude_pass(uint64_t pass, bool sample, uint64_t horizon, uint64_t round,
                             validation::Report& report);
  void look_for_foreign_writers(const State& before, validation::Report& report);
  std::string written_beside() const;  // what unexplained_ means, for people
  // What the work goes on from, with transition_ held. Code::cancelled: the migration was abandoned or finalized meanwhile, and
  // perhaps started anew since.
  Result<State> mirrored_state() const;
  std::vector<std::shared_ptr<const proxy::Collection>> jobs() const;
  bool waiting(Duration d);  // false when stopping

  // gates
  std::string not_ready_hint();
  // The catalog as the source shows it now. What nobody saw being made becomes a gap: so before the gates are asked.
  Result<void> ask_the_source();
  void take_what_is_there(const Actor& actor);  // with the turn
  std::vector<Gate> gates_for_reads();
  std::vector<Gate> gates_for_promotion();
  std::vector<Gate> gates_for_rollback();
  std::vector<Gate> gates_for_finalize();
  Result<void> check(const std::vector<Gate>& gates, const Actor& actor, const std::string& action) const;

  // the change of the primary
  // `old_primary_dead`: it cannot be read, and what only it has is given up (the operator was asked).
  Result<void> flip(journal::Side to, Phase phase_after, const Actor& actor, const std::string& action,
                    bool old_primary_dead = false);
  Duration fence_max(bool old_primary_dead) const;
  Result<void> drain(bool old_primary_dead, Deadline deadline);
  // Its part from the closed gate to the last look before COMMIT.
  Result<void> in_fence(journal::Side to, const Actor& actor, bool old_primary_dead, Deadline deadline,
                        Fence& readers, StepTimes& steps, bool& lanes_stopped);
  Result<void> still_there(journal::Side to);
  Result<void> still_whole(journal::Side to, const Actor& actor, size_t given_up);
  // A promotion that is under way gives way: who asks for the way back does not want to see it succeed first.
  Result<Turn::Held> turn_of_rollback();
  static Error gives_way();
  // The rollback before a promotion: only reads move.
  Result<void> reads_back(const Actor& actor);
  // The rollback of a promotion, once reads are on their way back.
  Result<void> flip_back(const State& now, const Actor& actor);
  // What refused a rollback, in view of a target that is dead: a gap is closed by a validation, which needs both sides.
  Error without_the_target(const Error& refused, const Actor& actor);
  // Why a rollback without the target is refused: "N keys must be read from it ...", with their names and what to do.
  static Error must_be_read(const proxy::Mirror::Unread& unread);
  // Nothing when the target answers; else why not.
  std::optional<Error> target_is_dead();
  // `urgent`: a way back out of trouble waits for the replica only; what is compared is compared in the fence.
  Result<void> pre_drain(bool urgent);
  // `give_up`: what must be read from it is given up; else some that came after the operator was asked end it.
  Result<void> pre_drain_without_primary(bool give_up);
  // DELTA: compares keys that were written since both sides were last seen equal there, at most `max`. Those that
  // differ are owed a repair; those that cannot be judged now (dirty) stay noted. With comparing_ held.
  struct Delta {
    uint64_t compared = 0, different = 0;
    std::string example;  // the first that differs, for people
  };
  // `follower_ready`: as in Validation::compare_keys().
  Result<Delta> compare_written(uint64_t max, Deadline deadline,
                                const std::function<Result<void>()>& follower_ready = nullptr);
  void compare_written_beside();  // a little of it, while nothing else is done
  void keep_aborted(const State& aborted) noexcept;

  journal::Journal& journal_;
  protocols::Driver& source_;
  protocols::Driver& target_;
  Clock& clock_;
  Random& random_;
  Metrics& metrics_;
  const MigrationOptions options_;

  proxy::Collections collections_;
  proxy::Transfer transfer_;
  proxy::Mirror mirror_;
  proxy::RoutingTable routing_;
  proxy::Gate gate_, read_gate_;
  proxy::KeyQueue keys_;
  proxy::Renames renames_;
  proxy::Drops drops_;
  proxy::SourceDrops source_drops_;
  proxy::ReadRouter reads_;
  proxy::ReadCounts read_counts_;
  proxy::WriteTrials write_trials_;
  proxy::ReplicaHealth target_reads_, source_reads_;
  proxy::Credentials credentials_;
  proxy::ByteBudget budget_, change_slots_;
  std::atomic<uint64_t> unknown_requests_{0}, uncaptured_writes_{0};
  std::atomic<uint64_t> unexplained_{
      0};  // differences of the last comparison that no write through vmproxy explains
  proxy::LatencyAverage write_latency_, source_read_latency_;
  ThreadPool pool_;
  proxy::Context context_;
  backfill::Backfill backfill_;
  validation::Validation validation_;
  Audit audit_;

  Turn transition_{clock_};             // one transition at a time
  std::atomic<bool> give_way_ = false;  // a rollback waits for a promotion: that one ends without a decision
  std::mutex comparing_;                // one compare_written() at a time; the change of the primary keeps it
  std::mutex asking_;                   // request_ and its row change together
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  State state_;
  Wanted wanted_ = Wanted::nothing;
  ValidationRequest request_;   // the last one
  bool request_waits_ = false;  // for its turn: what ends before that does not answer it
  uint64_t report_of_ = 0;      // number of the request that last_report_ answers; 0: an earlier process did
  std::string problem_;         // why the background work waits or failed
  Code problem_code_ = Code::internal;
  bool problem_retried_ = false;
  validation::Report last_report_;
  double last_pause_seconds_ = 0;
  bool opened_ = false;
  bool stopping_ = false;
  std::thread worker_;
};

}  // namespace vmproxy::cutover
