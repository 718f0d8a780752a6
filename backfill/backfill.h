// Backfill: copies what the source already held when the mirror was armed (correctness.md 4). Scans persisted
// ranges in parallel, hands the rows to the lanes, and remembers after every acknowledged page how far each
// range is, so that a kill -9 at any moment costs only the pages that were under way.
//
// Owned by cutover/. run() blocks its caller and uses threads of its own; everything else is thread-safe and
// short.
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

namespace vmproxy::backfill {

// One collection to copy. Its incarnation is plan->source().incarnation.
struct Job {
  model::CollectionName name;  // the source's
  std::shared_ptr<const mapping::Plan> plan;
};

struct Options {
  size_t batch = 0;     // records of one page; 0: sizes itself by latency and bytes
  size_t parallel = 0;  // scans at once; 0: by the number of cores
  double rate_max = 0;  // records per second over all scans; 0: no bound
  Duration page_timeout = std::chrono::seconds(30);
  uint64_t records_per_range = 5000;               // fewer are not worth a range of their own
  Duration index_timeout = std::chrono::hours(4);  // of building one collection's indexes on the target
  uint64_t bytes_in_flight_max = 64ull << 20;      // of rows scanned and not yet acknowledged by the target
  std::function<double()>
      application_latency_seconds;  // of the captured writes now: the copy yields when it grows
  // A collection that was dropped and created again since its copy began: false refuses, true copies it from
  // the beginning. What the target may still hold of the old one is then for a validation with repair to
  // find.
  bool copy_anew = false;
  // Keeps the map of ids also where the mapping makes meeting ids impossible by construction.
  bool prove_ids = false;
};

struct Progress {
  std::string phase = "none";  // none, planning, copying, indexing, done, paused, stopped, failed
  std::string reason;          // of failed and stopped, or what the copy waits for now
  uint64_t records =
      0;               // acknowledged or dropped by the target's lanes, or quarantined; resumed ones included
  uint64_t total = 0;  // as the source counted when the copy was planned; 0: not known
  uint64_t dropped = 0;      // of records: a live write had already brought something newer
  uint64_t quarantined = 0;  // of records: refused by the target for good
  uint64_t duplicates = 0;   // keys that the source showed twice (now and then by chance): read again
  double rate = 0;           // records per second lately
  double eta_seconds = -1;   // -1: not known yet
};

struct Parts;

class Backfill {
 public:
  Backfill(journal::Journal& journal, protocols::Driver& source, protocols::Driver& target,
           journal::Sink& sink, Clock& clock, Random& random, Metrics& metrics, Options options);
  ~Backfill();

  // Copies all jobs and builds the target's indexes. Blocks until done, stopped or failed; goes on where the
  // rows of `generation` say that an earlier run ended, whatever batch and parallel were then. Databases that
  // are away are waited for. One run at a time.
  //
  // Error cancelled: stop(). Error precondition: the mapping or the incarnation of a collection is not the
  // one that its copy began with, or it was dropped meanwhile; the message says what changed and what to do.
  // After any error the copy is not complete: never read it as success. A failing collection does not keep
  // the others from being copied.
  Result<void> run(std::vector<Job> jobs, uint64_t generation);

  // run() returns soon, also one that has not begun yet; what was acknowledged is kept. A scan under way ends
  // first (page_timeout), and a call of the sink that waits for room ends when the lanes do: stop those too.
  void stop();
  // A stop() that found nothing under way does not end the next run.
  void forget_stop();
  void pause();  // scans stop, pages under way are finished
  void resume();
  void throttle(double records_per_second);  // 0: no bound
  Progress progress() const;

  // The progress of a copy that an earlier process finished, as the rows of `generation` tell it.
  Result<void> recall(const std::vector<Job>& jobs, uint64_t generation);

  // Forgets how far the copy came: of everything, or of one collection (it was created again).
  Result<void> forget(uint64_t generation);
  Result<void> forget(uint64_t generation, const model::CollectionName& name);
  // The target may lack the indexes of this one: the next run builds them again.
  Result<void> forget_indexes(uint64_t generation, const model::CollectionName& name);

 private:
  Result<void> not_running() const;

  std::unique_ptr<Parts> parts_;
};

}  // namespace vmproxy::backfill
