// Files of JSON lines (README.md) into a History.
#pragma once

#include <string>

#include "base/error.h"
#include "tests/checker/history.h"

namespace vmproxy::checker {

class Reader {
 public:
  explicit Reader(History& history) : history_(history) {}

  // Adds all records of a file. Strict: an unknown type or field, a missing field or impossible times are an error
  // that names file and line. Only a last line without its end is left out and counted, because that is what the
  // end of a killed writer looks like.
  Result<void> read(const std::string& path);

  uint64_t torn_lines() const { return torn_lines_; }

 private:
  History& history_;
  uint64_t torn_lines_ = 0;
};

}  // namespace vmproxy::checker
