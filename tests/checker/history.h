// A history in memory, partitioned by key. Built by one thread, then read by any number.
//
// It needs about 80 bytes for an operation and the text of each name and value once. For more than memory holds, a
// Part takes only the keys of one part: the same records are added to each part in turn, and the reports are merged.
#pragma once

#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/checker/names.h"
#include "tests/checker/record.h"

namespace vmproxy::checker {

struct Part {
  uint32_t index = 0;
  uint32_t count = 1;
};

// An Operation with its texts as numbers.
struct Op {
  uint32_t process = 0;
  uint32_t value = 0;  // History::absent, or a number of History::values
  Time call = 0;
  Time ret = never;
  Time latest = never;  // the last moment at which it can have taken effect
  Time stale = 0;
  uint64_t place = 0;
  uint32_t epoch = 0;
  uint16_t side = 0;
  Kind kind = Kind::read;
  Outcome outcome = Outcome::ok;
};

inline bool is_write(const Op& op) {
  return op.kind != Kind::read;
}
// An acknowledged read: the only reads that say something.
inline bool is_answer(const Op& op) {
  return op.kind == Kind::read && op.outcome == Outcome::ok;
}

struct ScanRecord {
  uint32_t process = 0;
  std::string prefix;
  std::vector<uint32_t> keys;  // of this part, sorted, with repetitions
  Time call = 0;
  Time ret = 0;
  bool partial = false;
  uint64_t place = 0;
};

struct FinalRecord {
  uint16_t side = 0;
  uint32_t value = 0;
  uint64_t place = 0;
};

// What one side executed as primary in one epoch: all that the rule needs, whatever the number of writes.
struct Reign {
  struct Example {
    std::string key;
    Time call = 0;
    Time ret = 0;
    uint64_t place = 0;
  };
  uint64_t executions = 0;
  Example latest_call;
  Example earliest_ret;
};

struct RequestCount {
  uint64_t sent = 0;
  uint64_t maybe_sent = 0;
  uint64_t seen = 0;
};

// Of this part; executions are all counted in the first.
struct Counts {
  uint64_t reads = 0, writes = 0, deletes = 0, unknown = 0, failed = 0;  // the last two are among the others
  uint64_t scans = 0, executions = 0, requests = 0, finals = 0;
};

class History {
 public:
  static constexpr uint32_t absent = 0;

  explicit History(Part part = {});

  // The place of line n of this file is what this returns, plus n. Other places are the caller's own numbers,
  // below 2^40; 0 is none.
  uint64_t add_file(std::string name);
  std::string place_text(uint64_t place) const;  // "FILE:LINE", "#NUMBER" or ""

  void add(const Operation& operation, uint64_t place = 0);
  void add(const Scan& scan, uint64_t place = 0);
  void add(const Execution& execution, uint64_t place = 0);
  void add(const Request& request);
  void add(const Final& final, uint64_t place = 0);
  // All records of the side were added: keys without one are absent there.
  void add_final_complete(std::string_view side);

  bool first_part() const { return part_.index == 0; }
  const Counts& counts() const { return counts_; }
  const Names& keys() const { return keys_; }
  std::optional<std::string_view> value(uint32_t number) const;
  const Names& processes() const { return processes_; }
  const Names& sides() const { return sides_; }  // 0 is "": not recorded
  // By key number, in the order in which they were added.
  const std::vector<Op>& operations(uint32_t key) const { return operations_[key]; }
  const std::vector<FinalRecord>& finals(uint32_t key) const { return finals_[key]; }
  const std::vector<ScanRecord>& scans() const { return scans_; }
  const std::set<uint16_t>& complete_sides() const { return complete_sides_; }
  // What each side is known to hold of a key at the end: its (first) record, or absent if its records are complete.
  std::vector<FinalRecord> final_states(uint32_t key) const;
  // By epoch and side.
  using Reigns = std::map<uint32_t, std::map<uint16_t, Reign>>;
  const Reigns& reigns() const { return reigns_; }
  // By side and request.
  using Requests = std::map<uint16_t, std::unordered_map<std::string, RequestCount>>;
  const Requests& requests() const { return requests_; }

 private:
  bool mine(std::string_view text) const;
  uint32_t key_number(std::string_view key);
  uint32_t value_number(const std::optional<std::string_view>& value);
  uint16_t side_number(std::string_view side) { return static_cast<uint16_t>(sides_.number_of(side)); }
  void executed(std::string_view side, uint32_t epoch, std::string_view key, Time call, Time ret,
                uint64_t place);

  Part part_;
  Counts counts_;
  std::vector<std::string> files_;
  Names keys_, values_, processes_, sides_;
  std::vector<std::vector<Op>> operations_;
  std::vector<std::vector<FinalRecord>> finals_;
  std::vector<ScanRecord> scans_;
  std::set<uint16_t> complete_sides_;
  Reigns reigns_;
  Requests requests_;
};

}  // namespace vmproxy::checker
