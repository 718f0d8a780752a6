// Audit: who asked for what and what came of it, as durable rows in order. The newest are kept, `entries_max` of them: an
// older one goes with the note that displaces it. Thread-safe; blocks on disk.
#pragma once

#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "cutover/control.h"
#include "journal/journal.h"

namespace vmproxy::cutover {

std::string rfc3339(WallTime time);

class Audit {
 public:
  Audit(journal::Journal& journal, Clock& clock, size_t entries_max = 10'000)
      : journal_(journal), clock_(clock), entries_max_(entries_max) {}
  void note(const Actor& actor, const std::string& action, const std::string& result);
  // The newest, oldest of them first.
  Result<std::vector<model::Value>> list() const;

 private:
  void learn();  // what is there; mutex_ held

  journal::Journal& journal_;
  Clock& clock_;
  const size_t entries_max_;
  std::mutex mutex_;
  bool learned_ = false;
  std::deque<std::string> keys_;  // of the rows, oldest first; entries_max_ of them after each note
  uint64_t last_ = 0;
};

}  // namespace vmproxy::cutover
