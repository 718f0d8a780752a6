// Context: everything one migration's requests need. Owned by cutover/'s migration; outlives every request.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/metrics.h"
#include "base/random.h"
#include "base/thread_pool.h"
#include "proxy/byte_budget.h"
#include "proxy/collections.h"
#include "proxy/credentials.h"
#include "proxy/drops.h"
#include "proxy/gate.h"
#include "proxy/key_queue.h"
#include "proxy/latency_average.h"
#include "proxy/mirror.h"
#include "proxy/read_router.h"
#include "proxy/renames.h"
#include "proxy/replica_health.h"
#include "proxy/routing.h"
#include "proxy/source_drops.h"
#include "proxy/transfer.h"
#include "proxy/write_trials.h"

namespace vmproxy::net {
class Upstream;
}

namespace vmproxy::proxy {

struct ProxyOptions {
  bool refuse_on_capture_failure = false;  // journal.capture_failure: refuse
  bool refuse_unknown_requests = false;    // mirror.unknown_requests: refuse
  bool sync = false;                       // mirror.mode: sync
  bool mirror_drops = false;               // mirror.ddl: full
  Duration sync_timeout = std::chrono::milliseconds(500);
  Duration request_max =
      std::chrono::seconds(120);  // the longest request_timeout of its listeners; grpc-timeout may be longer
  Duration read_wait = std::chrono::milliseconds(20);
  std::string route_by = "query";            // query | space | credential | header:NAME
  bool guard_reads = true;                   // reads.consistency other than eventual
  uint64_t answer_bytes_max = 512ull << 20;  // of an answer that is held
  uint64_t enumerate_max = 100'000;  // records a predicate write may hit and still be followed one by one
  // A read waits for the target this long and twice as long as the source usually takes for one; then the source answers.
  Duration target_read_patience = std::chrono::milliseconds(150);
  Duration source_read_patience =
      std::chrono::milliseconds(150);  // the same, when the source is asked first in a rollback
};

// Counted by reason; shown in status and as reads_returned_total. A reason why the target cannot answer a read at all is
// remembered over restarts: it keeps a gate closed. So is whether there were reads, and whether the target answered any: of
// reads that it was never asked nobody knows whether it can answer them. Thread-safe.
class ReadCounts {
 public:
  explicit ReadCounts(Metrics& metrics) : metrics_(metrics) {}
  // Whether such a read would be an error if only the target were left; not: it was late, behind, or not asked for.
  static bool unanswerable(std::string_view reason);
  // What earlier runs saw counts as one read each; from now on new ones are kept there. Blocks; before the first read.
  Result<void> restore(journal::Journal& journal);
  // Nothing unanswerable was seen: another migration begins. Does not block.
  void forget();
  void to_target() {
    ++to_target_;
    answered_there();
  }
  void answered_there() { tried_.note(); }  // by the target, without a choice; on the path of each
  void to_source() {
    ++to_source_;
    passed();
  }
  void passed() { seen_.note(); }  // to the source, without a choice; on the path of each
  void returned(const std::string& reason);
  uint64_t target_reads() const { return to_target_; }
  uint64_t source_reads() const { return to_source_; }
  std::map<std::string, uint64_t> returned_by_reason() const;
  bool seen() const { return seen_; }
  bool tried() const { return tried_; }

 private:
  struct Reason {
    uint64_t reads = 0;
    Counter metric;
  };
  // Became true once; a row of that name then.
  class Once {
   public:
    explicit Once(std::string_view row) : row_(row) {}
    void note();
    Result<void> restore(journal::Journal& journal);
    void forget();
    operator bool() const { return is_.load(std::memory_order_relaxed); }

   private:
    const std::string_view row_;
    std::atomic<journal::Journal*> journal_ = nullptr;
    std::atomic<bool> is_ = false;
  };
  Reason* reason_of(const std::string& reason);  // with mutex_ held; nothing: there are too many

  Metrics& metrics_;
  journal::Journal* journal_ = nullptr;
  std::atomic<uint64_t> to_target_{0}, to_source_{0};
  Once seen_{"read/seen"}, tried_{"read/tried"};
  mutable std::mutex mutex_;
  std::map<std::string, Reason> returned_;
};

struct Context {
  std::string name;
  const protocols::Dialect* dialect;  // absent only where nothing listens
  net::Upstream& source;              // where requests go as they came
  journal::Journal& journal;
  Collections& collections;
  Transfer& transfer;
  Mirror& mirror;
  RoutingTable& routing;
  Gate& gate;       // of captured writes
  Gate& read_gate;  // of reads: closed in a fence behind which a write of unknown outcome may still be done
  KeyQueue& keys;
  Renames& renames;
  Drops& drops;
  SourceDrops& source_drops;
  ReadRouter& reads;
  ReadCounts& read_counts;
  WriteTrials& write_trials;
  ReplicaHealth&
      target_reads;  // opens when the target answers reads late or not: the source answers meanwhile
  ReplicaHealth&
      source_reads;  // the same of the source while a rollback is under way: the target answers meanwhile
  Credentials& credentials;
  ByteBudget& budget;
  ByteBudget&
      change_slots;  // changes of collections that may keep a thread of the pool at once, one "byte" each
  ThreadPool& pool;
  Clock& clock;
  Random& random;
  Metrics& metrics;
  ProxyOptions options;
  std::atomic<uint64_t>& unknown_requests;
  std::atomic<uint64_t>& uncaptured_writes;  // writes that pass while nothing is captured yet
  LatencyAverage&
      write_latency;  // of captured writes, as the application sees them: the copy yields when it grows
  LatencyAverage& source_read_latency;  // what a read may cost at all

  // When the target must have answered a read that begins now; when the source, asked first in a rollback.
  Deadline target_read_deadline() const { return read_deadline(options.target_read_patience); }
  Deadline source_read_deadline() const { return read_deadline(options.source_read_patience); }

 private:
  Deadline read_deadline(Duration patience) const {
    const std::chrono::duration<double> usual(2 * source_read_latency.seconds());
    return clock.in(patience + std::chrono::duration_cast<Duration>(usual));
  }
};

}  // namespace vmproxy::proxy
