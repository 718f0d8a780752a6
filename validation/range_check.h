// RangeCheck: compares one range of one collection on the calling thread, scanning one side and reading the
// other by key. Scanning goes on while suspects of earlier pages wait for their next look; the progress row
// passes a page when all its suspects are decided, so that counts and findings are exact after any crash.
//
// A range of the source finds records that are missing on, extra on, or different from the other side among
// the keys that the source has; a range of the target those that only the target has. So nothing is counted
// twice.
#pragma once

#include <deque>
#include <vector>

#include "base/backoff.h"
#include "validation/pass_state.h"
#include "validation/suspects.h"

namespace vmproxy::validation {

class RangeCheck {
 public:
  struct Shared {
    Parts& parts;
    const Options& options;
    const PassRows& rows;
    RateLimit& rate;
    Side primary;
    uint64_t salt;  // of the sample
  };
  RangeCheck(Shared shared, const Comparison& comparison, RangeName name, size_t worker);

  // Until the range is done, durably. Error cancelled when stopping. Databases that are away are waited for.
  Result<void> run();

 private:
  static constexpr size_t suspects_max = 1000;  // waiting for their next look; above: no scan
  static constexpr size_t pages_max = 64;

  struct Page {
    std::string cursor;
    bool last = false;
    std::vector<Suspect> suspects;
    Counts counts;
    std::vector<Finding> findings;
    std::vector<model::Key>
        repairs;  // to be read from the primary again: what differs, and what stays unsettled
    std::vector<model::Key> strays;  // foreign ones, to be erased from the target
  };

  Result<void> check();
  Result<void> scan();
  Result<void> first_look(Page& page, protocols::ScanPage found);
  Result<void> first_look_at_source(Page& page, const std::vector<model::Key>& keys,
                                    protocols::ScanPage found);
  Result<void> first_look_at_target(Page& page, const std::vector<model::Key>& keys);
  void suspect(Page& page, model::Key key, std::optional<model::Key> foreign, Look look, bool owed);
  Result<void> look_again();
  Result<void> look_again(Page& page, TimePoint now);
  Result<void> look_at_foreign(Page& page, TimePoint now);
  void decide(Page& page, Suspect& suspect, Verdict verdict, const std::optional<Mismatch>& mismatch);
  Result<void> settle();
  Result<void> finish();
  bool sampled(const model::Key& key) const;
  bool dirty(const model::Key& key) const;
  size_t suspects() const;
  TimePoint next_due() const;
  Deadline deadline() const;
  void goes_on();
  // An error that passes: waits and says so. Else the error.
  Result<void> tolerate(const Error& error);

  Shared at_;
  const Comparison& comparison_;
  const RangeName name_;
  const std::string who_;
  protocols::ScanRange range_;
  RangeRow row_;
  std::string cursor_;
  bool scanned_ = false;
  Backoff backoff_;
  std::deque<Page> pages_;  // scanned, not yet settled
};

}  // namespace vmproxy::validation
