// SimDisk: what survives a crash. SimStore: one process's store on it, with a disk's faults. Used by threads of one run: one
// goes on at a time, and gives way only at pause points, so nothing here is locked.
#pragma once

#include <functional>
#include <map>
#include <set>

#include "store/store.h"
#include "tests/sim/scheduler.h"

namespace vmproxy::sim {

class SimDisk {
 public:
  using Map = std::map<std::string, std::string, std::less<>>;

  explicit SimDisk(Scheduler& run) : run_(run) {}

  double fault_chance = 0;       // of each commit
  double read_fault_chance = 0;  // of each read and scan; some of a scan may have been shown
  Time reads_fail_until = 0;     // all of them
  bool full = false;             // every commit fails, and reopening too

  // The machine died: of what was not synced a beginning is there.
  void machine_ended();
  uint64_t faults() const { return faults_; }
  uint64_t read_faults() const { return read_faults_; }

  // Of what was ever asked to be written, whether it stayed or not.
  struct Seen {
    bool expected = false;       // from now on, whatever is written
    std::set<std::string> gaps;  // open ones: the sides may differ until a validation has closed them
    bool slot = false;           // one stands in the slot
    bool may_differ() const { return expected || slot || !gaps.empty(); }
    std::vector<std::string>
        healed;  // differences that vmproxy found and repaired by itself, while there had been no gap
  };
  const Seen& seen() const { return seen_; }
  void expect_differences() { seen_.expected = true; }
  // A write is under way of which nobody can say what it changes: it is a gap when it has ended.
  std::function<bool()> unfollowed = [] { return false; };

 private:
  friend class SimStore;
  Scheduler& run_;
  Map data_;    // as the process sees it
  Map synced_;  // without those of:
  std::vector<store::Batch> unsynced_;
  std::string slot_;
  uint64_t boot_ = 1;
  uint64_t faults_ = 0, read_faults_ = 0;
  Seen seen_;
  void look_at(const store::Batch& batch);
};

class SimStore final : public store::Store {
 public:
  explicit SimStore(SimDisk& disk) : disk_(disk), run_(disk.run_) {}

  Result<void> commit(const store::Batch& batch, store::Sync sync) override;
  Result<std::optional<std::string>> get(std::string_view key) override;
  Result<std::vector<std::optional<std::string>>> get_many(const std::vector<std::string>& keys) override;
  Result<void> scan(std::string_view from, std::string_view to, const Visit& visit) override;
  Result<uint64_t> bytes_on_disk() override;
  Result<void> reclaim(std::string_view, std::string_view) override { return {}; }
  Result<void> reopen() override;
  Result<void> write_slot(std::string_view bytes) override;
  Result<std::string> read_slot() override { return disk_.slot_; }
  std::optional<std::string> doubt() override { return std::nullopt; }
  std::string boot_id() override { return "boot " + std::to_string(disk_.boot_); }

 private:
  SimDisk& disk_;
  Scheduler& run_;
  bool failed_ = false;
  bool closed_ = false;  // a reopening has failed
  bool read_fails();
};

}  // namespace vmproxy::sim
