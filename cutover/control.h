// Control: what an operator can ask of a migration. The admin API and the command line know only this.
// Methods may block for disk but not for the work they start: long work (start, validate) goes on in the background and
// shows in status(). Thread-safe. Each change is durable before it takes effect, and audited.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/value.h"

namespace vmproxy::cutover {

struct Gate {
  std::string name;  // stable: "backfill", "validation", "lag", "quarantine", "gaps", ...
  bool ok = false;
  std::string value;       // what is, for people: "12 changes, 0.4 s"
  std::string threshold;   // what must be: "at most 5 s"
  std::string clear_with;  // the command that clears it
};

struct Status {
  std::string name;
  std::string
      state;  // created mirroring backfilling validating ready canary reads_moved promoted finalized abandoned
  std::string primary;  // "source" or "target"
  uint64_t generation = 0;
  double reads_percent = 0;
  std::string source, target;  // database names of the configuration, each with its system in brackets
  uint64_t lag_changes = 0;
  double lag_seconds = 0;
  struct LagRates {
    double written = 0, applied = 0;     // changes a second, over the last half minute
    std::optional<double> seconds_left;  // none: the lag does not shrink
  };
  std::optional<LagRates> lag_rates;  // none: not watched for long enough
  uint64_t dirty = 0, suspect = 0, quarantined = 0, gaps = 0, unknown_requests = 0, at_risk = 0;
  struct {
    std::string phase;   // none, barrier, settling, copying, indexing, done, paused, failed
    std::string reason;  // of paused, failed, waiting
    uint64_t records = 0, total = 0;
    double rate = 0, eta_seconds = -1;  // -1: not known yet
  } backfill;
  struct {
    std::string phase;  // none, running, clean, different, failed
    std::string reason;
    uint64_t compared = 0, different = 0, missing = 0, extra = 0;
    uint64_t unsettled =
        0;  // written or owed all the while, so not compared: read again, and compared before a promotion
    uint64_t request =
        0;  // number of the validate() that this answers, or will; 0: of none that is still known
  } validation;
  // "collection.field" -> records of which the target could not hold that field, since vmproxy started: at most a hundred,
  // most first, then "others".
  std::vector<std::pair<std::string, uint64_t>> lost_fields;
  // Collections that the source has dropped and the target still has, in its own name for them: at most a hundred.
  std::vector<std::string> left_behind;
  struct {
    uint64_t to_target = 0, to_source = 0;                   // reads served
    std::vector<std::pair<std::string, uint64_t>> returned;  // reason -> reads sent back to the source
  } reads;
  struct {
    uint64_t writes = 0, applied = 0, failed = 0;
    std::string health;  // "ok", or what is wrong with the replica now
  } mirror;
  struct {
    std::string problem;    // why the work in the background waits or stopped; empty: nothing is wrong
    std::string code;       // name_of() its Code
    bool retrying = false;  // it goes on by itself
  } work;
  std::vector<Gate> gates;  // for the next step
  std::string verdict;      // first line for people: "READY TO SWITCH", "NOT READY: ..."
  std::string next, back;   // commands
  std::string rolled_back_at, rolled_back_reason;
  double last_pause_seconds = 0;  // of the last promotion or rollback
};

struct Actor {
  std::string who = "operator";
  std::string reason;
  std::vector<std::string> force;  // names of gates to skip
};

struct ValidateOptions {
  bool full = true;
  double sample_percent = 100;
  bool repair = false;
};

struct Difference {
  std::string collection, key, kind, detail;  // kind: missing, extra, different
};
struct QuarantineEntry {
  uint64_t number = 0;
  std::string collection, key, reason, since;
};

class Control {
 public:
  virtual ~Control() = default;
  virtual Status status() = 0;
  // until: mirroring, backfilling or ready.
  virtual Result<void> start(const std::string& until, const Actor& actor) = 0;
  virtual Result<void> pause_backfill(const Actor& actor) = 0;
  virtual Result<void> resume_backfill(const Actor& actor) = 0;
  virtual Result<void> throttle_backfill(double records_per_second, const Actor& actor) = 0;
  // Code::precondition while one that was asked for is under way: each has an answer of its own. It goes on after a restart.
  virtual Result<void> validate(const ValidateOptions& options, const Actor& actor) = 0;
  virtual Result<std::vector<Difference>> differences(size_t limit) = 0;
  // Code::precondition with the closed gates in the message.
  virtual Result<void> cutover(double percent, const Actor& actor) = 0;
  // Blocks while it is prepared (up to a minute) and for the flip (bounded by promotion.fence_max). While it, a rollback,
  // finalize or abandon is under way, start, cutover and all of these are refused: Code::precondition, which and since when.
  virtual Result<void> promote(const Actor& actor) = 0;
  // Ends a promotion that is under way. Reads go back first; Code::io: they did, but that is not durable yet. With a target that
  // is dead it waits, longer than a promotion by the source's max_zombie, until nothing can land on the source any more.
  virtual Result<void> rollback(const Actor& actor) = 0;
  virtual Result<void> finalize(const Actor& actor) = 0;
  virtual Result<void> abandon(const Actor& actor) = 0;
  virtual Result<std::vector<QuarantineEntry>> quarantine() = 0;
  virtual Result<model::Value> quarantine_show(uint64_t number) = 0;
  virtual Result<void> quarantine_retry(std::optional<uint64_t> number,
                                        const Actor& actor) = 0;  // nothing: all
  virtual Result<void> quarantine_drop(uint64_t number, const Actor& actor) = 0;
  virtual Result<std::vector<model::Value>> audit() = 0;
  virtual Result<model::Value> journal_stats() = 0;
  virtual Result<model::Value> journal_verify() = 0;
};

}  // namespace vmproxy::cutover
