// Who may have written each value of a key.
#pragma once

#include <unordered_map>
#include <vector>

#include "tests/checker/history.h"

namespace vmproxy::checker {

class Writers {
 public:
  explicit Writers(const std::vector<Op>& operations);

  // False for a value that nobody can have written: no order can be told from it.
  bool known(uint32_t value) const { return value == History::absent || by_value_.contains(value); }
  // The last moment at which the value can have been written for somebody who read it no later than `until`.
  // before_all: only as the absence at the beginning, or not at all.
  Time latest(uint32_t value, Time until) const;
  // The first moment at which it can have been written; before_all for absence, which is also the beginning.
  Time earliest(uint32_t value) const;
  // How many times it may have been written until then, the beginning included.
  size_t count(uint32_t value, Time until) const {
    return called_until(value, until) + (value == History::absent);
  }
  // By call.
  const std::vector<const Op*>& of(uint32_t value) const;

 private:
  struct Line {
    std::vector<const Op*> ops;  // by call
    std::vector<Time> latest;    // the highest of those up to here
  };
  size_t called_until(uint32_t value, Time until) const;
  std::unordered_map<uint32_t, Line> by_value_;
};

}  // namespace vmproxy::checker
