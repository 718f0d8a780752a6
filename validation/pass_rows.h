// PassRows: what the journal remembers of a validation pass. Rows of the table `validation`:
//   "p"                         the pass: its id and what it was begun for; vouches for all others
//   "n" collection NUL way      number of its ranges in that direction
//   "b" collection NUL way i    a range as the scanned side's driver planned it
//   "r" collection NUL way i    how far it came, with counts; written together with the findings that it
//   counts "f" number                  a finding
// `way` is 's' where the source is scanned and 't' where the target is. Thread-safe, as the journal is.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "journal/journal.h"
#include "validation/validation.h"

namespace vmproxy::validation {

struct Counts {
  uint64_t compared = 0, looked_up = 0, different = 0, missing = 0, extra = 0, repaired = 0, unsettled = 0;
  uint64_t differences() const { return different + missing + extra; }
  Counts& operator+=(const Counts& other);
};

struct RangeRow {
  std::string cursor;
  bool done = false;
  Counts counts;
};

// One range of one collection in one direction.
struct RangeName {
  std::string collection;
  journal::Side scanned = journal::Side::source;
  uint32_t index = 0;
};

class PassRows {
 public:
  explicit PassRows(journal::Journal& journal) : journal_(journal) {}

  // True: rows of this very pass are there. False: everything of another one is gone and this one is entered.
  Result<bool> begin(const std::string& pass_id, const std::string& signature) const;
  Result<std::optional<uint32_t>> ranges(const std::string& collection, journal::Side scanned) const;
  Result<void> commit_ranges(const std::string& collection, journal::Side scanned,
                             const std::vector<protocols::ScanRange>& ranges) const;
  Result<protocols::ScanRange> range(const RangeName& name) const;
  Result<RangeRow> progress(const RangeName& name) const;
  // One atomic step: how far the range came and what was found on the way. `number`: of the first finding.
  void put(const RangeName& name, const RangeRow& row, uint64_t number,
           const std::vector<Finding>& findings) const;
  Result<void> commit(const RangeName& name, const RangeRow& row) const;
  Result<std::vector<Finding>> findings(size_t limit) const;
  Result<uint64_t> next_finding() const;  // its number

 private:
  journal::Row progress_row(const RangeName& name, const RangeRow& row) const;
  journal::Journal& journal_;
};

}  // namespace vmproxy::validation
