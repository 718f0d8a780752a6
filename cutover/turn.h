// Turn: one change of a migration's state at a time. One that only writes a row is soon over, and the next waits for it. One
// that waits for databases lasts: who asks for another meanwhile is told so, and the threads of the admin API stay free.
// Thread-safe.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"

namespace vmproxy::cutover {

class Turn {
 public:
  using Held = std::unique_lock<Turn>;

  explicit Turn(Clock& clock) : clock_(clock) {}

  // Waits for whatever has the turn, however long it lasts: for std::lock_guard and std::unique_lock.
  void lock();
  void unlock();
  // For what a person asks. Error precondition: what has the turn lasts; which it is and since when. `waits_for`: that one is
  // waited for all the same.
  Result<Held> ask(const std::string& action, std::string_view waits_for = {});
  // By who has the turn: this may last, until it is given back. `advice`: what ends it early, may be empty.
  void lasts(std::string action, std::string advice = {});

 private:
  Clock& clock_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool taken_ = false;
  std::string lasting_, advice_;  // lasting_ empty: soon over
  WallTime since_;
};

}  // namespace vmproxy::cutover
