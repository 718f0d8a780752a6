#include "tests/sim/sim_disk.h"

#include "journal/layout.h"
#include "journal/rows.h"

namespace vmproxy::sim {

using store::Batch;

namespace {

void apply_batch(const Batch& batch, SimDisk::Map& to) {
  for (const auto& operation : batch.operations()) {
    switch (operation.kind) {
      case Batch::Kind::put: to[operation.key] = operation.value; break;
      case Batch::Kind::erase: to.erase(operation.key); break;
      case Batch::Kind::erase_range:
        if (operation.key < operation.value)
          to.erase(to.lower_bound(operation.key), to.lower_bound(operation.value));
        break;
    }
  }
}

Error failure() {
  return {Code::io, "the simulated disk failed"};
}

}  // namespace

void SimDisk::machine_ended() {
  const size_t kept = run_.below(unsynced_.size() + 1);
  for (size_t i = 0; i < kept; ++i) apply_batch(unsynced_[i], synced_);
  unsynced_.clear();
  data_ = synced_;
  ++boot_;
}

void SimDisk::look_at(const Batch& batch) {
  const std::string gaps = journal::row_key(journal::rows::gaps, ""),
                    audit = journal::row_key(journal::rows::audit, "");
  for (const auto& operation : batch.operations()) {
    if (operation.kind == Batch::Kind::erase) seen_.gaps.erase(operation.key);
    if (operation.kind == Batch::Kind::erase_range)
      seen_.gaps.erase(seen_.gaps.lower_bound(operation.key), seen_.gaps.lower_bound(operation.value));
    if (operation.kind != Batch::Kind::put) continue;
    if (operation.key.starts_with(gaps)) seen_.gaps.insert(operation.key);
    if (seen_.may_differ() || !operation.key.starts_with(audit) || unfollowed()) continue;
    for (const std::string_view words : {"differed and are repaired", "validation found differences"}) {
      if (const auto at = operation.value.find(words); at != std::string::npos)
        seen_.healed.push_back(operation.value.substr(at, 200));
    }
  }
}

Result<void> SimStore::commit(const Batch& batch, store::Sync sync) {
  disk_.look_at(batch);
  // Before it a kill finds nothing of the batch; after it all.
  run_.sleep_until(run_.now() + run_.between(0, 200 * microsecond));
  if (failed_) return failure();
  if (disk_.full) {
    ++disk_.faults_;
    failed_ = true;
    return failure();
  }
  const bool fails = run_.chance(disk_.fault_chance);
  const bool applied = !fails || run_.chance(0.5);
  if (fails) ++disk_.faults_;
  failed_ = fails;
  if (applied) {
    apply_batch(batch, disk_.data_);
    disk_.unsynced_.push_back(batch);
    if (sync == store::Sync::yes && !fails) {
      for (const auto& earlier : disk_.unsynced_) apply_batch(earlier, disk_.synced_);
      disk_.unsynced_.clear();
    }
  }
  run_.note(fails ? "disk: a commit failed" : "disk: commit");
  run_.sleep_until(run_.now() + run_.between(0, (sync == store::Sync::yes ? 3000 : 50) * microsecond));
  if (fails) return failure();
  return {};
}

bool SimStore::read_fails() {
  run_.pause_point();
  const bool fails = closed_ || run_.now() < disk_.reads_fail_until || run_.chance(disk_.read_fault_chance);
  if (fails) ++disk_.read_faults_;
  return fails;
}

Result<std::optional<std::string>> SimStore::get(std::string_view key) {
  if (read_fails()) return failure();
  const auto found = disk_.data_.find(key);
  if (found == disk_.data_.end()) return std::optional<std::string>();
  return std::optional(found->second);
}

Result<std::vector<std::optional<std::string>>> SimStore::get_many(const std::vector<std::string>& keys) {
  std::vector<std::optional<std::string>> values;
  values.reserve(keys.size());
  for (const auto& key : keys) {
    auto value = get(key);
    if (!value) return value.error();
    values.push_back(std::move(*value));
  }
  return values;
}

Result<void> SimStore::scan(std::string_view from, std::string_view to, const Visit& visit) {
  // It may break off in the middle.
  const bool fails = read_fails();
  std::vector<std::pair<std::string, std::string>> snapshot;
  for (auto at = disk_.data_.lower_bound(from); at != disk_.data_.end() && at->first < to; ++at)
    snapshot.push_back(*at);
  size_t shown = fails ? run_.below(snapshot.size() + 1) : SIZE_MAX;
  for (const auto& [key, value] : snapshot) {
    if (shown-- == 0) return failure();
    if (!visit(key, value)) return {};
  }
  if (fails) return failure();
  return {};
}

Result<uint64_t> SimStore::bytes_on_disk() {
  uint64_t bytes = 0;
  for (const auto& [key, value] : disk_.data_) bytes += key.size() + value.size();
  return bytes;
}

Result<void> SimStore::reopen() {
  run_.sleep_until(run_.now() + run_.between(0, 5 * millisecond));
  if (disk_.full) {
    closed_ = run_.chance(0.5);  // before it looks whether there is room, or after it has closed what it had
    return failure();
  }
  // What was synced is there again; the rest may be, as after the machine's end but without one.
  const size_t kept = run_.below(disk_.unsynced_.size() + 1);
  for (size_t i = 0; i < kept; ++i) apply_batch(disk_.unsynced_[i], disk_.synced_);
  disk_.unsynced_.clear();
  disk_.data_ = disk_.synced_;
  failed_ = closed_ = false;
  run_.note("disk: reopened");
  return {};
}

Result<void> SimStore::write_slot(std::string_view bytes) {
  run_.pause_point();
  if (bytes.size() > slot_bytes_max) return Error(Code::invalid, "the slot holds at most 3500 bytes");
  if (run_.chance(disk_.fault_chance)) {
    ++disk_.faults_;
    return failure();
  }
  disk_.slot_ = bytes;
  disk_.seen_.slot = !bytes.empty();
  run_.note("disk: slot");
  return {};
}

}  // namespace vmproxy::sim
