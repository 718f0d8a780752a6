// Judges a batch when both sides have ended: the requests that the database got, with all their bytes, are those that the
// front believes it sent, and those that the strict reader finds in what the client said.
#pragma once

#include <string>
#include <vector>

#include "cases.h"
#include "log.h"

namespace vmproxy::smuggling {

struct Played {
  Case one;
  std::string prefix;
  bool http2 = false;
  bool to_http1 = false;  // HTTP/2 in front of a database that speaks HTTP/1: nothing may go on
  std::string answers;    // HTTP/1: all that came back
  bool ended = false;     // in time
};

struct Verdict {
  size_t refused = 0;                 // cases
  std::vector<std::string> findings;  // one line each
};

Verdict judge(const std::vector<Played>& batch, const Log& log);

}  // namespace vmproxy::smuggling
