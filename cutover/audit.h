// Audit: who asked for what and what came of it, as durable rows in order.
#pragma once

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
  Audit(journal::Journal& journal, Clock& clock) : journal_(journal), clock_(clock) {}
  void note(const Actor& actor, const std::string& action, const std::string& result);
  Result<std::vector<model::Value>> list() const;

 private:
  journal::Journal& journal_;
  Clock& clock_;
  std::mutex mutex_;
  uint64_t last_ = 0;
};

}  // namespace vmproxy::cutover
