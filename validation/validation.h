// Validation: proves record by record that both sides agree, while the application goes on writing
// (correctness.md 8). It reads both databases itself and knows nothing of what the copy or the mirror believe
// to have done (H25).
//
// Two passes: the source's records are compared with the target's, then the target's keys are looked up in
// the source, so that missing, different and extra records are all found (H24). The primary decides which
// side is right.
//
// Owned by cutover/. run() blocks its caller and uses threads of its own; everything else is thread-safe.
// run() and compare_keys() may be under way at the same time.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/random.h"
#include "journal/journal.h"
#include "journal/sink.h"
#include "mapping/plan.h"
#include "protocols/api/driver.h"

namespace vmproxy::validation {

// One collection to compare.
struct Job {
  model::CollectionName name;  // the source's
  std::shared_ptr<const mapping::Plan> plan;
};

struct Options {
  double sample_percent = 100;  // of the keys, by a hash that the pass id salts
  bool repair = false;  // each difference becomes a READ of the primary; it counts as different in this pass
  size_t differences_max = 10000;                   // kept as findings; the counts are exact whatever this is
  double rate_max = 0;                              // records per second; 0: no bound
  Duration recheck_wait = std::chrono::seconds(1);  // between the looks at a record that seems different
  size_t batch = 500;                               // records of one page
  size_t parallel = 0;                              // scans at once; 0: by the number of cores
  Duration page_timeout = std::chrono::seconds(30);
  uint64_t records_per_range = 5000;  // fewer are not worth a range of their own
};

struct Report {
  std::string phase = "none";  // none, running, clean, different, failed, stopped
  std::string reason;          // of failed and stopped, or what it does or waits for now
  uint64_t compared = 0;       // records of the source compared with the target's
  uint64_t looked_up = 0;      // keys of the target looked up in the source
  uint64_t total = 0;          // records that both passes go through, as counted at the start; 0: not known
  uint64_t different = 0;      // on both sides, not equal
  uint64_t missing = 0;        // on the primary only
  uint64_t extra = 0;          // not on the primary
  uint64_t repaired = 0;       // of those three: handed to the mirror
  // Written, or owed to the replica, all the time while we looked, so that neither equal nor different could be
  // said. Each was handed to the mirror like a repair, whatever Options::repair says.
  uint64_t unsettled = 0;

  uint64_t differences() const { return different + missing + extra; }
  // Everything was compared and nothing differs. An error or a stop is never clean.
  bool clean() const { return phase == "clean"; }
};

// Of compare_keys(): which of the keys.
struct KeysReport : Report {
  std::vector<model::Key> unsettled_keys;  // dirty now, or changing: nothing can be said
  std::vector<model::Key> different_keys;
  std::string example;  // the first that differs, for people
};

struct Finding {
  std::string collection;
  std::string key;   // as people write it
  std::string kind;  // missing, extra, different
  std::string detail;
};

struct Parts;

class Validation {
 public:
  // `labels`: of its gauge, which other validations of the process have, too.
  Validation(journal::Journal& journal, protocols::Driver& source, protocols::Driver& target,
             journal::Sink& sink, Clock& clock, Random& random, Metrics& metrics,
             const Metrics::Labels& labels = {});
  ~Validation();

  // Blocks until all is compared, stopped (Error cancelled) or failed. The same pass_id goes on where a run
  // that was stopped, failed or killed ended; another one begins anew and forgets the last pass' findings.
  // Databases that are away are waited for. One run at a time.
  Result<Report> run(std::vector<Job> jobs, journal::Side primary, Options options, std::string pass_id);
  void stop();         // run() returns soon, also one that has not begun yet
  void forget_stop();  // a stop() that found nothing under way does not end the next run
  Report progress() const;
  // Of the last pass, in order of discovery, at most `limit`.
  Result<std::vector<Finding>> findings(size_t limit);

  // Compares just these keys (in the source's form) in both directions, for the fence and the pre-drain.
  // Nothing is waited for and nothing persisted: a key that is dirty now counts as unsettled, one that
  // differs now as different. Keeps nothing of run(). Errors as they come, the deadline's included.
  // `follower_ready`: the primary does not change any more; the follower is read once this returns (its error ends it all).
  Result<KeysReport> compare_keys(const Job& job, const std::vector<model::Key>& keys, journal::Side primary,
                                  Deadline deadline,
                                  const std::function<Result<void>()>& follower_ready = nullptr);

 private:
  std::unique_ptr<Parts> parts_;
};

}  // namespace vmproxy::validation
