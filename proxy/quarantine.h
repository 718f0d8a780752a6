// Quarantine: changes that the replica refused for good, copied out with payload and reason so that the lanes can go on
// (correctness.md 3, H22). A retry is a READ of the primary, never the stored image. Thread-safe; calls block on disk.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "journal/journal.h"

namespace vmproxy::proxy {

struct Quarantined {
  uint64_t number = 0;
  std::string collection;
  std::string key;  // encoded
  std::string reason;
  int64_t since_unix_ms = 0;
  std::optional<model::Record> record;  // as it was refused; nothing: a delete
};

class Quarantine {
 public:
  Quarantine(journal::Journal& journal, Clock& clock) : journal_(journal), clock_(clock) {}

  Result<void> restore();  // counts what is there
  void add(std::string collection, std::string key, std::string reason, std::optional<model::Record> record);
  void remove(const std::vector<uint64_t>& numbers);
  Result<std::vector<Quarantined>> list(size_t max);
  Result<std::optional<Quarantined>> find(uint64_t number);
  Result<void> remove_collection(const std::string& collection);
  uint64_t count() const { return count_; }

 private:
  journal::Journal& journal_;
  Clock& clock_;
  std::mutex mutex_;
  uint64_t next_ = 1;
  std::atomic<uint64_t> count_{0};
};

}  // namespace vmproxy::proxy
