// When a key was surely present, or surely absent, whatever the order of operations that overlap.
//
// Surely present from A to B: a write was acknowledged before A, and every delete that may have happened either can
// only have executed before that write was called or was called after B. Surely absent is the same with the roles
// exchanged, but a conditional delete deletes nothing for certain.
#pragma once

#include <optional>
#include <vector>

#include "tests/checker/history.h"

namespace vmproxy::checker {

class Certainty {
 public:
  explicit Certainty(const std::vector<Op>& operations);

  // The acknowledged write (delete) that makes the key present (absent) from `from` to `to`; none: not certain.
  // A pointer into the operations that were given.
  const Op* surely_present(Time from, Time to) const { return present_.proof(from, to); }
  const Op* surely_absent(Time from, Time to) const { return absent_.proof(from, to); }

 private:
  class State {
   public:
    void makes(const Op& op) { makers_.push_back(&op); }
    void unmakes(const Op& op) { unmakers_.push_back(&op); }
    void finish();
    const Op* proof(Time from, Time to) const;

   private:
    std::vector<const Op*> makers_;  // by ret; then: of those up to here the one that was called last
    std::vector<Time> maker_rets_;
    std::vector<const Op*> unmakers_;   // by call
    std::vector<Time> unmaker_latest_;  // the highest of those up to here
  };
  State present_, absent_;
};

}  // namespace vmproxy::checker
