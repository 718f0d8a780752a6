// WriteTrials: what the target could not carry out of the writes by filter that were seen while the source was primary. Each is
// tried there as a question for the records that it hits: what the target cannot answer the application would be refused after
// a promotion. Remembered over restarts: it keeps a gate closed. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "journal/journal.h"

namespace vmproxy::proxy {

class WriteTrials {
 public:
  // What earlier runs saw counts as one write each; from now on new ones are kept there. Blocks; before the first write.
  Result<void> restore(journal::Journal& journal);
  // Nothing was refused: another migration begins. Does not block.
  void forget();
  // One more is under way while this is held; nothing: too many are. What is not tried for lack of room is no proof of anything:
  // its kind comes again.
  std::shared_ptr<void> begin();
  // `code`: stable, as in docs/mapping.md.
  void refused(const std::string& code);
  std::map<std::string, uint64_t> refused_by_code() const;

 private:
  journal::Journal* journal_ = nullptr;
  std::atomic<int> under_way_{0};
  mutable std::mutex mutex_;
  std::map<std::string, uint64_t> refused_;
};

}  // namespace vmproxy::proxy
