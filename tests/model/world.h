// World: the real mirror, lanes, debts and in-flight table, between two databases and over a journal that do only
// what one path of
// steps says. A path is played from the beginning; then the world says which state that is, and what may happen next.
//
// A call that the lane makes at the replica does not return until a step says how it ended: until then other steps
// are taken inside
// it. So one thread is enough, and the lane stands where a real one would stand.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "base/random.h"
#include "proxy/mirror.h"
#include "tests/model/database.h"
#include "tests/model/inline_journal.h"
#include "tests/model/scenario.h"
#include "tests/model/times.h"
#include "tests/support/fake_dialect.h"

namespace vmproxy::model_check {

enum class Do : uint8_t {
  begin,        // a: kind of write. Registered, its intent durable
  send,         // a: write. Its first byte goes out (scenarios with `gone`)
  client_gone,  // a: write. Before that
  execute,      // a: write, b: key. At the primary
  answer,       // a: write, b, c: outcome of each item
  late,         // a: lost one. Executed after its answer was lost
  dies,         // a: lost one. Never executed
  time,         // passes: a tick
  chores,       // debts that fell due are queued, windows closed
  lane,         // takes a batch, reads the primary, and sends
  lands,        // what the lane sent
  lost_landed,  // ... and the answer is lost
  lost_late,    // the answer is lost, and it may still land
  wait_on,      // a wait of the lane goes on
  scan,         // the copy reads its page
  copy,         // ... and gives it to the lanes
  barrier,      // the settle window closes
  foreign,      // the write from before the barrier is executed; a: 0 never
  prepare,      // the intent to change the primary is durable
  fence,        // the gate closes
  drain,        // no write is in flight any more
  catch_up,     // what is owed to the replica is there, the lanes are stopped
  commit,       // the change is durable
  open,         // the lanes go on in the new direction, and the gate opens
  abort,        // the primary stays, the gate opens
  again,        // a drop whose outcome a crash took away is done again on the replica
  dead,         // the primary no longer answers
  force,        // the primary changes without it; it is back as the replica
  crash,        // a: how many of the journal's waiting calls are kept; b: the watermark was flushed before
};

struct Step {
  Do act;
  uint8_t a = 0, b = 0, c = 0;
  bool operator==(const Step&) const = default;
};

struct Digest {
  uint64_t high = 0, low = 0;
  bool operator==(const Digest&) const = default;
};

class World {
 public:
  struct View {
    Digest digest;
    std::vector<Step> next;
    std::string wrong;       // an invariant that does not hold
    std::string unfinished;  // wrong if nothing can happen any more
  };
  explicit World(const Scenario& scenario);
  ~World();
  // Behind the path's end `choose` says the next step, if one is given, until it says none.
  using Choose = std::function<std::optional<Step>(const View&)>;
  View play(std::vector<Step> path, Choose choose = nullptr);
  std::string text(const Step& step) const;  // of the step after the path that was played

 private:
  struct Write {
    char kind = 0;
    enum class Phase : uint8_t { idle, held, sent, ended } phase = Phase::idle;
    std::array<uint8_t, keys_max>
        item{};  // 0 not executed, 1 executed, 2 matched by the filter, not deleted yet
    proxy::Ticket ticket;
    proxy::Side primary = proxy::Side::source;
    uint64_t epoch = 0;
    TimePoint sent_at{};
    bool gone = false;  // its client, before the first byte
    bool rejected = false;
    std::array<bool, keys_max> acked{};
    std::array<uint8_t, keys_max> after{};  // writes that were acknowledged when it began, as bits
  };
  // What may still be executed although nobody waits for it.
  struct Lost {
    bool replica = false;
    int write = 0, key = 0;  // of a client, at the database that was its primary
    Attempt attempt;         // of the lane
    proxy::Side side = proxy::Side::source;
    TimePoint until;
  };
  struct End {};
  struct Crashed {};

  const Step& next_step();
  void perform(const Step& step);
  Step inside();  // the steps while a call of the lane is on its way
  static bool ends_a_call(const Step& step);
  void boot(bool first);
  void begin(char kind);
  void send(Write& write);
  void execute(int write, int key);
  void answer(int write, const std::array<int, keys_max>& outcomes);
  void crash(const Step& step);
  void change_primary(const Step& step);
  void force();
  void commit();
  void open();
  void drop_on_replica(int how);
  TimePoint executes_until(proxy::Side primary) const;  // what it does not answer now
  bool suspect(int key) const;
  Result<void> attempted(proxy::Side side, const Attempt& attempt);
  void observe();
  std::vector<Step> possible() const;
  std::string broken_invariant();
  std::string unfinished();
  Digest digest();
  uint64_t incarnation() const;
  int in_flight() const;
  bool drained() const;
  bool newer_applied(int key) const;
  Database& side(proxy::Side which) { return which == proxy::Side::source ? source_ : target_; }
  Database& primary() { return side(primary_); }
  Database& replica() { return side(proxy::other(primary_)); }
  bool covers(char kind, int key) const;
  int value_after(const Write& write, int index, int key);
  void execute_late(const Lost& lost);

  const Scenario scenario_;
  std::vector<Step> path_;
  Choose choose_;
  size_t at_ = 0;
  View view_;

  ModelClock clock_;
  Random random_{1};
  Metrics metrics_;
  support::FakeDialect dialect_;
  InlineJournal journal_;
  Database source_, target_;
  proxy::Transfer transfer_{source_, target_};
  std::unique_ptr<proxy::Collections> collections_;
  std::unique_ptr<proxy::Mirror> mirror_;
  std::vector<proxy::OpId> settle_;

  proxy::Side primary_ = proxy::Side::source;
  uint64_t epoch_ = 1;
  std::vector<Write> writes_;
  std::vector<Lost> lost_;
  std::optional<Attempt> on_the_wire_;
  proxy::Side on_the_wire_to_ = proxy::Side::target;
  uint64_t on_the_wire_life_ = 0;  // the collection's incarnation then
  bool waiting_ = false;           // the lane waits, and nothing is on the wire
  // How far a change of the primary is (Migration::flip).
  enum class Flip : uint8_t { none, prepared, fenced, drained, caught_up, committed } flip_ = Flip::none;
  bool gate_closed() const { return flip_ >= Flip::fenced; }
  proxy::Side arrived_ = proxy::Side::source;  // what a write saw that reached the closed gate
  uint64_t arrived_epoch_ = 1;
  int lost_left_ = 0, crashes_left_ = 0, flips_left_ = 0, deaths_left_ = 0;
  bool dead_ = false;
  // A kill took away what became of a drop, or the replica did not say whether it did one. That is a gap, for what the replica has
  // and the primary has not: of a former life.
  bool gap_ = false;
  bool drop_again_ = false;       // who does not ask may do it again
  TimePoint drop_lands_until_{};  // at the replica
  // What only the former primary has, until the application writes the key again.
  std::array<std::optional<int>, keys_max> last_copy_{};
  bool foreign_left_ = false, settling_ = false;
  enum class Copy : uint8_t { none, begin, read, given, done } copy_ = Copy::none;
  std::vector<std::pair<int, int>> page_;
  uint64_t page_life_ = 0;  // the collection's incarnation then
  std::string wrong_;
};

}  // namespace vmproxy::model_check
