// Which records were written while they were read, and a way to read with no write beside it.
//
// Why: while reads run beside each other Milvus 2.3 may show one of them a version of a record that was replaced long
// ago, or no version, but only of a record that is being written at that time (docs/decisions/0010). So a read is right
// when none of the records that could be in its answer was written meanwhile; another one is asked again, at last alone.
//
// Thread-safe. Memory: the keys of writes that go on, and at most `ended_max` of writes that ended while the oldest
// read of the collection went on; beyond that every read counts as crossed.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "model/key.h"

namespace vmproxy::protocols::milvus {

class Overlap {
 public:
  // What has to be remembered of a key. Two keys may share it: a read is then asked once more than needed.
  using Mark = uint64_t;
  static Mark mark_of(const model::Id& id);

  explicit Overlap(Clock& clock, size_t ended_max = 65536) : clock_(clock), ended_max_(ended_max) {}
  Overlap(const Overlap&) = delete;
  Overlap& operator=(const Overlap&) = delete;

 private:
  struct State;

 public:
  // Each ends what it stands for when it goes; none outlives its Overlap.
  class Write {
   public:
    Write(Write&&) = default;
    ~Write();

   private:
    friend class Overlap;
    Write(Overlap& owner, std::shared_ptr<State> state, std::vector<Mark> marks)
        : owner_(&owner), state_(std::move(state)), marks_(std::move(marks)) {}
    Overlap* owner_;
    std::shared_ptr<State> state_;  // nothing: moved from
    std::vector<Mark> marks_;
  };
  class Read {
   public:
    Read(Read&&) = default;
    ~Read();
    // Whether a write of one of them went on at any time since this read began.
    bool crossed(std::span<const Mark> marks) const;
    bool crossed_any() const;

   private:
    friend class Overlap;
    Read(Overlap& owner, std::shared_ptr<State> state, uint64_t begin, bool alone)
        : owner_(&owner), state_(std::move(state)), begin_(begin), alone_(alone) {}
    Overlap* owner_;
    std::shared_ptr<State> state_;  // nothing: moved from
    uint64_t begin_;
    bool alone_;
  };

  // Waits while a read is alone. `cancelled` at the deadline: nothing was sent.
  Result<Write> write(const std::string& collection, std::span<const model::Key> keys, Deadline deadline);
  Read read(const std::string& collection);
  // Begins when the writes that go on have ended, with later ones waiting for its end; in turn, so that neither
  // kind keeps the other out. `timeout` at the deadline.
  Result<Read> read_alone(const std::string& collection, Deadline deadline);

 private:
  struct Seen {
    size_t writing = 0;
    uint64_t ended = 0;  // when the last write of it ended
  };
  struct State {
    uint64_t now = 0;  // counts the beginnings of reads and the ends of writes
    std::unordered_map<Mark, Seen> keys;
    std::deque<std::pair<uint64_t, Mark>> ended;
    uint64_t last_end = 0;
    uint64_t forgotten = 0;  // the last end that is no longer in `ended`, though a read may have to know it
    std::multiset<uint64_t> reads;
    size_t writing = 0, alone = 0;
    uint64_t next_turn = 0;
    std::map<uint64_t, bool> waiting;  // by turn: a write?
  };
  std::shared_ptr<State> state_of(const std::string& collection);
  // Waits for the caller's turn; false at the deadline.
  bool enter(std::unique_lock<std::mutex>& lock, State& state, bool write, Deadline deadline);
  void forget(State& state);

  Clock& clock_;
  const size_t ended_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::weak_ptr<State>> states_;  // alive while somebody reads or writes
};

}  // namespace vmproxy::protocols::milvus
