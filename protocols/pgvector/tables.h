// Tables: what look_up() found, remembered for a while so that a call does not ask the catalogue each time.
// Thread-safe.
#pragma once

#include <map>
#include <mutex>

#include "protocols/pgvector/table.h"

namespace vmproxy::protocols::pgvector {

class Tables {
 public:
  Tables(std::string schema, Clock& clock) : schema_(std::move(schema)), clock_(clock) {}

  // Error not_found when it does not exist.
  Result<std::shared_ptr<const Table>> get(Connection& connection, const model::Schema& collection,
                                           Deadline deadline);
  void forget(const std::string& name);
  const std::string& schema() const { return schema_; }

 private:
  struct Entry {
    std::shared_ptr<const Table> table;
    TimePoint at;
  };
  const std::string schema_;
  Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, Entry> entries_;  // at most entries_max
};

}  // namespace vmproxy::protocols::pgvector
