// Move: a whole migration (mirror, copy, validation, state machine) between two fake databases, with an application in
// front that does what the pipeline does: gate, snapshot, intent, execution, outcome. On a clock that the test moves.
#pragma once

#include <catch2/catch.hpp>
#include <thread>

#include "cutover/migration.h"
#include "net/upstream.h"
#include "tests/support/rig.h"

namespace vmproxy::support {

// Refused, and the message has this in it.
inline bool says(const Result<void>& refused, const std::string& what) {
  return !refused && refused.error().message.find(what) != std::string::npos;
}

class Move {
 public:
  Move();
  ~Move();

  void start();                            // opens journal and migration
  Result<void> try_start();                // the same, when it may be refused
  void ready();                            // start, then copy and validate until "ready"
  bool reaches(const std::string& state);  // runs the clock fast; no window may be open
  bool reaches(const std::function<bool()>& what);
  // start, then copy until the first `call` at that side hangs: its release() lets it go on.
  void copy_until_held(FakeDriver& at, Call call);
  // Full comparisons with repair until one is clean and no gap is open.
  void validate_until_clean();
  using Disk = std::vector<std::pair<std::string, std::string>>;
  Disk disk() const { return store->dump(); }
  void crash() { crash(disk()); }  // kill -9
  void crash(const Disk& disk);    // ... at the moment when the disk was so

  // Blocking calls of Control, while the clock runs slowly.
  Result<void> run(const std::function<Result<void>()>& call);
  Result<void> promote(std::vector<std::string> force = {});
  Result<void> rollback(std::vector<std::string> force = {});
  // In the background; ended() waits for it.
  void aside(std::function<Result<void>()> call);
  void promote_aside();
  Result<void> ended();

  cutover::Status status() { return migration->status(); }
  std::string primary() { return status().primary; }
  proxy::Context& context() { return migration->context(); }

  // The source makes "other", and writes "ours", while the target has somebody else's "theirs" under that name, and keeps it.
  void make_other_where_the_target_has_one();

  // --- the application
  void write(const std::string& id, int64_t version);  // waits at a closed gate
  void erase(const std::string& id);
  void write_uncertain(const std::string& id,
                       int64_t version);  // to the source, which has not executed it yet
  // A request between gate and answer.
  void enter();
  void leave() { context().gate.leave(); }
  // A write that is read back, done by the primary whatever its gate says.
  void write_inside(const std::string& id, int64_t version);

  bool eventually(const std::function<bool()>& what) { return support::eventually(clock, what); }
  void linger() { support::linger(clock); }
  bool quiet();
  bool equal() const { return source.rows() == target.rows(); }
  bool intended();  // PREPARE is durable
  // Writes are captured. The state says "mirroring" a moment earlier.
  bool captures() { return context().routing.get()->capture; }

  FakeClock clock;
  Random random{13};
  Metrics metrics;
  FakeDriver source, target;
  FakeDialect dialect;
  cutover::MigrationOptions options;
  std::unique_ptr<store::MemoryStore> store = store::make_memory_store();
  std::unique_ptr<journal::Journal> journal;
  net::Upstream upstream{net::UpstreamOptions{}};
  std::unique_ptr<cutover::Migration> migration;

 private:
  void change(const journal::Image& image, bool uncertain);
  std::thread aside_;
  std::atomic<bool> aside_done_{false};
  Result<void> aside_result_ = Error(Code::internal, "did not run");
};

}  // namespace vmproxy::support
