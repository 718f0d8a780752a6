// World: one vmproxy between two databases, as a process that can be killed. Whoever asks it is outside; what serves a request
// is a thread of the process and dies with it.
#pragma once

#include <algorithm>
#include <memory>
#include <set>

#include "cutover/migration.h"
#include "net/upstream.h"
#include "tests/sim/sim_database.h"
#include "tests/sim/sim_disk.h"
#include "tests/support/fake_dialect.h"

namespace vmproxy::sim {

// What one start of the process has. A killed one is never taken apart: its threads are still somewhere in it.
struct Process {
  explicit Process(SimDisk& disk, uint64_t seed) : store(disk), random(seed) {}
  SystemClock clock;  // which reads the run's time
  SimStore store;
  Random random;
  Metrics metrics;
  net::Upstream upstream{net::UpstreamOptions{}};
  std::unique_ptr<journal::Journal> journal;
  std::unique_ptr<cutover::Migration> migration;
};

class World {
 public:
  World(Scheduler& run, Duration source_window, Duration target_window);
  Time window() const { return std::max(source.window(), target.window()); }

  Scheduler& run;
  SimDatabase source, target;
  SimDisk disk;
  support::FakeDialect dialect;
  cutover::MigrationOptions options;

  // A new process. False: it could not start, and is gone again.
  bool start();
  // kill -9 of the process, or the end of its machine.
  void kill(bool machine);
  // When the process died that ran then; never: nobody killed it.
  Time died_after(Time when) const;
  // SIGTERM: what it serves ends, then it closes. False: it took too long and was killed.
  bool stop();
  bool serving() const { return process_ != nullptr; }
  // There is a process: it serves, starts or stops.
  bool running() const { return running_; }
  Process& process() { return *process_; }

  enum class Asked { refused, lost, answered };
  // `serve` runs in the process. It must keep what it uses alive: whoever asks does not wait for ever.
  Asked ask(std::string what, Time patience, std::function<void(Process&)> serve);

 private:
  struct Call {
    bool answered = false;
  };
  Process* process_ = nullptr;
  bool running_ = false;
  Group group_ = 0;
  uint64_t lives_ = 0;
  std::vector<std::weak_ptr<Call>> calls_;
  std::vector<Time> killed_;
};

}  // namespace vmproxy::sim
