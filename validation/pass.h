// Pass: one run() of the validation: plans what is not planned yet, compares all ranges with several workers.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "validation/range_check.h"

namespace vmproxy::validation {

class Pass {
 public:
  Pass(Parts& parts, std::vector<Job> jobs, Side primary, Options options, std::string pass_id);
  // The counts are in the state then. Error: not everything was compared.
  Result<void> execute();

 private:
  struct Collection {
    std::string label;
    std::unique_ptr<Comparison> comparison;
    std::optional<Error> error;  // guarded by mutex_
  };
  struct Share {
    Collection* collection;
    RangeName range;
  };
  std::string signature() const;
  Result<void> plan(Collection& collection, Side scanned);
  Result<uint32_t> ranges(Collection& collection, Side scanned);
  void work(size_t worker);
  void fail(Collection& collection, Error error);
  Result<void> outcome();

  Parts& parts_;
  const std::vector<Job> jobs_;
  const Side primary_;
  const Options options_;
  const std::string pass_id_;
  const PassRows rows_;
  RateLimit rate_;
  const size_t parallel_;
  std::vector<Collection> collections_;
  std::mutex mutex_;
  std::vector<Share> shares_;  // not yet taken, last first
};

}  // namespace vmproxy::validation
