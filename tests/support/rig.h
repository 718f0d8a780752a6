// Rig: a real mirror with a real journal between two fake databases, on a clock that the test moves. The test plays the
// application and the primary: it begins writes, changes the source, and says how each ended. crash() is kill -9.
#pragma once

#include <catch2/catch.hpp>
#include <thread>

#include "base/fake_clock.h"
#include "proxy/mirror.h"
#include "store/memory_store.h"
#include "tests/store/print_result.h"
#include "tests/support/fake_dialect.h"
#include "tests/support/fake_driver.h"

namespace vmproxy::support {

using journal::IntentClass;
using model::Outcome;
using proxy::Side;
using std::chrono::milliseconds;
using std::chrono::seconds;
using vmproxy::Code;
using vmproxy::Error;

// Polls while the clock runs slowly forward: at most five seconds of its time, so that no window of a minute closes.
bool eventually(FakeClock& clock, const std::function<bool()>& what);
// Gives every thread the chance to do what it should not do.
void linger(FakeClock& clock);

inline model::Schema things(const std::string& name = "things") {
  model::Schema schema;
  schema.name = {"", name};
  schema.id_kind = model::IdKind::string;
  schema.vectors.push_back({});
  schema.vectors[0].dimension = 3;
  schema.has_document = true;
  return schema;
}

class Rig {
 public:
  Rig();
  ~Rig();

  // Opens the journal, learns the collections, replays, starts the lanes. Changes to options, caps and rows come before.
  void start(Side primary = Side::source);
  void replay(Side primary = Side::source);  // start() without the lanes
  void stop();                               // clean
  // kill -9: what was not committed is gone, what was delayed at the databases may still land. start() again.
  void crash();

  // --- a write, step by step. Nothing happens at the source by itself.
  using Ticket = proxy::Ticket;
  Ticket begin(std::vector<journal::Image> images, IntentClass cls = IntentClass::image);
  Ticket begin(const std::string& id, int64_t version, IntentClass cls = IntentClass::image);
  Ticket begin_erase(const std::string& id);
  // Enumerates what the source holds now.
  Ticket begin_delete_where(int64_t version_max);
  void finish(Ticket ticket, Outcome whole, std::vector<Outcome> items = {});
  void applied(Ticket ticket) { finish(std::move(ticket), Outcome::applied); }
  void rejected(Ticket ticket) { finish(std::move(ticket), Outcome::rejected); }
  void uncertain(Ticket ticket) { finish(std::move(ticket), Outcome::uncertain); }
  // --- whole writes, done by the source
  void write(const std::string& id, int64_t version, IntentClass cls = IntentClass::image);
  void erase(const std::string& id);

  // Rows of the copy for these ids as the scan read them; done() counts what came of them.
  Result<journal::BackfillDone> copy(std::vector<model::Record> rows);
  void copy_aside(std::vector<model::Record> rows);
  Result<journal::BackfillDone> copied();

  bool eventually(const std::function<bool()>& what) { return support::eventually(clock, what); }
  void linger() { support::linger(clock); }
  // Nothing is in flight, queued or overdue.
  bool quiet();
  // Nothing of what ended so far is in the journal any more, but for debts and other rows.
  bool trimmed();
  // "a" and "b" were written, and are debts: one in memory, the other on a disk that fails, until store->fail_reads({}).
  void start_with_debts_that_cannot_be_read();
  // Both sides hold the same.
  bool equal() const { return source.rows() == target.rows(); }
  bool dirty(const std::string& id) { return mirror->dirty({"", "things"}, key_of(id)); }
  // The clock makes one step, as long as the longest window.
  void pass(Duration time) { clock.advance(time); }
  std::shared_ptr<const proxy::Collection> collection(const std::string& name = "things");

  FakeClock clock;
  Random random{11};
  Metrics metrics;
  FakeDriver source, target;
  FakeDialect dialect;
  proxy::MirrorOptions options;
  proxy::Routing routing;
  uint64_t generation = 0;  // of the copy; start() passes it on
  std::unique_ptr<store::MemoryStore> store = store::make_memory_store();
  std::unique_ptr<journal::Journal> journal;
  std::unique_ptr<proxy::Collections> collections;
  proxy::Transfer transfer{source, target};
  std::unique_ptr<proxy::Mirror> mirror;

 private:
  Ticket journaled(Ticket ticket, std::string body);
  std::mutex copy_mutex_;
  std::optional<Result<journal::BackfillDone>> copy_result_;
};

}  // namespace vmproxy::support
