#include "store/rocksdb_store.h"

#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/experimental.h>
#include <rocksdb/perf_level.h>
#include <rocksdb/write_batch.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <shared_mutex>

#include "base/fault.h"
#include "store/rocksdb_options.h"
#include "store/slot_file.h"

namespace vmproxy::store {
namespace {

namespace fs = std::filesystem;

rocksdb::Slice slice(std::string_view bytes) {
  return {bytes.data(), bytes.size()};
}

Error error_of(const rocksdb::Status& status, const std::string& directory) {
  const std::string where = "journal directory " + directory + ": ";
  if (status.IsNoSpace() || status.subcode() == rocksdb::Status::SubCode::kNoSpace) {
    return {Code::io,
            where + "the disk is full (" + status.ToString() + "). Free space; nothing acknowledged is lost"};
  }
  if (status.IsCorruption()) {
    return {Code::corrupt,
            where + "damaged (" + status.ToString() +
                "). Writes recorded there may be missing on the replica: keep a copy of the directory, "
                "start with a new one, and copy and validate again"};
  }
  return {Code::io, where + status.ToString()};
}

Error held_by_another(const std::string& directory) {
  return {Code::precondition,
          "journal directory " + directory +
              " is in use by another process. Stop that one, or give this one its own data_dir"};
}

// Neighbours one after the other: RocksDB then finds each one's place in its memory from the place of the one before,
// and searches from the top only where a new stretch of keys begins. Operations on one key keep their order, and nothing
// passes a range that is erased.
std::vector<const Batch::Operation*> in_order_of_keys(const Batch& batch) {
  std::vector<const Batch::Operation*> sorted;
  sorted.reserve(batch.operations().size());
  for (const auto& operation : batch.operations()) sorted.push_back(&operation);
  const auto end_of_range = [](const auto* operation) { return operation->kind == Batch::Kind::erase_range; };
  for (auto begin = sorted.begin(); begin != sorted.end();) {
    const auto end = std::find_if(begin, sorted.end(), end_of_range);
    std::sort(begin, end,
              [](const auto* a, const auto* b) { return a->key != b->key ? a->key < b->key : a < b; });
    begin = end == sorted.end() ? end : end + 1;
  }
  return sorted;
}

class RocksDb final : public Store {
 public:
  explicit RocksDb(std::string directory) : directory_(std::move(directory)) {}
  ~RocksDb() override { close(); }

  Result<void> open() {
    std::error_code failed;
    fs::create_directories(directory_, failed);
    if (failed)
      return Error(Code::io, "cannot make the journal directory " + directory_ + ": " + failed.message());
    if (auto space = check_space(); !space) return space;
    // Before the files beside it, because it takes the lock of the directory: they belong to whoever has that.
    if (auto opened = open_db(); !opened) return opened;
    VMPROXY_FAULT("store.opened");
    const bool fresh =
        db_->GetLatestSequenceNumber() == 0;  // nothing was ever committed, so nothing can be lost
    if (auto slot = slot_.open(directory_ + "/slot", fresh); !slot) return slot;
    if (auto synced = synced_.open(directory_ + "/synced", fresh); !synced) return synced;
    return check_end();
  }

  Result<void> commit(const Batch& batch, Sync sync) override {
    std::shared_lock hold(mutex_);
    if (!db_) return not_open();
    if (failed_) return failed_before();
    auto written = write(batch, sync);
    if (!written) failed_ = true;
    return written;
  }

  Result<std::optional<std::string>> get(std::string_view key) override {
    std::shared_lock hold(mutex_);
    if (!db_) return not_open();
    if (VMPROXY_FAULT_HIT("store.read").fails) return error_of(rocksdb::Status::IOError(), directory_);
    std::string value;
    auto status = db_->Get({}, slice(key), &value);
    if (status.IsNotFound()) return std::optional<std::string>();
    if (!status.ok()) return error_of(status, directory_);
    return std::optional<std::string>(std::move(value));
  }

  Result<std::vector<std::optional<std::string>>> get_many(const std::vector<std::string>& keys) override {
    std::shared_lock hold(mutex_);
    if (!db_) return not_open();
    if (VMPROXY_FAULT_HIT("store.read").fails) return error_of(rocksdb::Status::IOError(), directory_);
    std::vector<rocksdb::Slice> slices(keys.begin(), keys.end());
    std::vector<rocksdb::PinnableSlice> values(keys.size());
    std::vector<rocksdb::Status> statuses(keys.size());
    db_->MultiGet({}, db_->DefaultColumnFamily(), keys.size(), slices.data(), values.data(), statuses.data());
    std::vector<std::optional<std::string>> result(keys.size());
    for (size_t i = 0; i < keys.size(); ++i) {
      if (statuses[i].ok()) {
        result[i] = values[i].ToString();
      } else if (!statuses[i].IsNotFound()) {
        return error_of(statuses[i], directory_);
      }
    }
    return result;
  }

  Result<void> scan(std::string_view from, std::string_view to, const Visit& visit) override {
    std::shared_lock hold(mutex_);
    if (!db_) return not_open();
    const rocksdb::Slice end = slice(to);
    rocksdb::ReadOptions options;
    options.iterate_upper_bound = &end;
    std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator(options));
    const bool fails = VMPROXY_FAULT_HIT("store.read").fails;
    for (at->Seek(slice(from)); at->Valid(); at->Next()) {
      if (!visit(at->key().ToStringView(), at->value().ToStringView())) return {};
      if (fails) break;
    }
    if (fails) return error_of(rocksdb::Status::IOError(), directory_);
    if (!at->status().ok()) return error_of(at->status(), directory_);
    return {};
  }

  Result<uint64_t> bytes_on_disk() override {
    uint64_t bytes = 0;
    std::error_code failed;
    for (fs::directory_iterator at(directory_ + "/db", failed), end; !failed && at != end;
         at.increment(failed)) {
      std::error_code gone;  // files come and go meanwhile
      const auto size = at->file_size(gone);
      if (!gone) bytes += size;
    }
    if (failed) return Error(Code::io, "cannot list " + directory_ + ": " + failed.message());
    return bytes;
  }

  Result<void> reclaim(std::string_view from, std::string_view to) override {
    std::shared_lock hold(mutex_);
    if (!db_) return not_open();
    const rocksdb::Slice begin = slice(from);
    const rocksdb::Slice end = slice(to);
    const rocksdb::RangePtr range(&begin, &end);
    auto* family = db_->DefaultColumnFamily();
    // Files wholly inside go at once; the rest when compaction, asked for here, gets to them in the
    // background.
    if (auto s = rocksdb::DeleteFilesInRanges(db_.get(), family, &range, 1, false); !s.ok())
      return error_of(s, directory_);
    if (VMPROXY_FAULT_HIT("store.reclaim").fails) return error_of(rocksdb::Status::IOError(), directory_);
    if (auto s = rocksdb::experimental::SuggestCompactRange(db_.get(), family, &begin, &end); !s.ok()) {
      return error_of(s, directory_);
    }
    return {};
  }

  Result<void> reopen() override {
    // A close that cannot be followed by an open would take the reads away as well: look for space before.
    if (auto space = check_space(); !space) return space;
    std::unique_lock hold(mutex_);
    db_.reset();
    if (VMPROXY_FAULT_HIT("store.closed").fails) return error_of(rocksdb::Status::IOError(), directory_);
    if (auto opened = open_db(); !opened) return opened;
    if (auto whole = check_end(); !whole) return whole;
    failed_ = false;
    return {};
  }

  Result<void> write_slot(std::string_view bytes) override { return slot_.write(bytes); }
  Result<std::string> read_slot() override { return slot_.value(); }

  std::optional<std::string> doubt() override {
    if (slot_.found() != SlotFile::Found::whole) {
      return "the file 'slot' of the journal was missing or damaged: capture gaps recorded there while the disk failed may be lost";
    }
    if (synced_.found() == SlotFile::Found::nothing) {
      return "the file 'synced' of the journal was missing or damaged: whether the end of its log was lost cannot be told";
    }
    return std::nullopt;
  }

  std::string boot_id() override {
    std::ifstream file("/proc/sys/kernel/random/boot_id");
    std::string id;
    std::getline(file, id);
    return id;
  }

 private:
  // mutex_ held, db_ open.
  Result<void> write(const Batch& batch, Sync sync) {
    size_t bytes = 16;
    for (const auto& operation : batch.operations())
      bytes += operation.key.size() + operation.value.size() + 16;
    rocksdb::WriteBatch out(bytes);
    for (const auto* operation : in_order_of_keys(batch)) {
      switch (operation->kind) {
        case Batch::Kind::put: out.Put(operation->key, operation->value); break;
        case Batch::Kind::erase: out.Delete(operation->key); break;
        case Batch::Kind::erase_range:
          out.DeleteRange(db_->DefaultColumnFamily(), operation->key, operation->value);
          break;
      }
    }
    // Its counters cost two look-ups of a thread-local for each comparison of keys, and nobody reads them.
    rocksdb::SetPerfLevel(rocksdb::PerfLevel::kDisable);
    rocksdb::WriteOptions options;
    options.sync = sync == Sync::yes;
    const auto fault = VMPROXY_FAULT_HIT("store.write");
    if (fault.full) return error_of(rocksdb::Status::NoSpace(), directory_);
    if (fault.fails) return error_of(rocksdb::Status::IOError(), directory_);
    if (auto status = db_->Write(options, &out); !status.ok()) return error_of(status, directory_);
    if (VMPROXY_FAULT_HIT("store.written").fails) return error_of(rocksdb::Status::IOError(), directory_);
    if (sync == Sync::yes) {
      // Not synced: as a lower bound it only has to be not newer than what is on disk.
      const rocksdb::SequenceNumber sequence = db_->GetLatestSequenceNumber();
      char mark[8];
      std::memcpy(mark, &sequence, 8);
      if (auto written = synced_.write({mark, 8}); !written) return written;
      VMPROXY_FAULT("store.marked");
    }
    return {};
  }

  Result<void> open_db() {
    rocksdb::DB* opened = nullptr;
    auto status = rocksdb::DB::Open(journal_options(), directory_ + "/db", &opened);
    if (!status.ok()) {
      if (status.IsIOError() && status.ToString().find("LOCK") != std::string::npos)
        return held_by_another(directory_);
      return error_of(status, directory_);
    }
    db_.reset(opened);
    return {};
  }

  // The log reaches as far as it was synced.
  Result<void> check_end() {
    const std::string mark = synced_.value();
    if (mark.size() == 8) {
      rocksdb::SequenceNumber synced;
      std::memcpy(&synced, mark.data(), 8);
      const auto found = db_->GetLatestSequenceNumber();
      if (found < synced) {
        db_.reset();
        return error_of(
            rocksdb::Status::Corruption("the log ends at " + std::to_string(found) +
                                        " although it was synced up to " + std::to_string(synced)),
            directory_);
      }
    }
    return {};
  }

  void close() {
    std::unique_lock hold(mutex_);
    db_.reset();
  }

  Result<void> check_space() {
    struct statvfs facts{};
    if (::statvfs(directory_.c_str(), &facts) != 0) {
      return Error(Code::io, "cannot examine " + directory_ + ": " + std::strerror(errno));
    }
    const uint64_t free_bytes = static_cast<uint64_t>(facts.f_bavail) * facts.f_frsize;
    if (free_bytes < reopen_space_min) {
      return Error(
          Code::io,
          "journal directory " + directory_ + ": the disk has " + std::to_string(free_bytes >> 20) +
              " MiB free, at least 4 MiB are needed to go on. Free space; nothing acknowledged is lost");
    }
    return {};
  }

  Error not_open() const {
    return {Code::io, "journal directory " + directory_ + " could not be opened again after a failure"};
  }

  Error failed_before() const {
    return {Code::io, "journal directory " + directory_ +
                          ": a write failed before; nothing is written until it is opened again"};
  }

  static constexpr uint64_t reopen_space_min = 4u << 20;

  const std::string directory_;
  SlotFile slot_{SlotFile::Writes::both_halves};
  SlotFile synced_{SlotFile::Writes::in_turn};
  std::shared_mutex mutex_;  // exclusive while db_ changes
  std::unique_ptr<rocksdb::DB> db_;
  std::atomic<bool> failed_{false};  // a commit has, since db_ was opened
};

}  // namespace

Result<std::unique_ptr<Store>> open_rocksdb(const std::string& directory) {
  auto store = std::make_unique<RocksDb>(directory);
  if (auto opened = store->open(); !opened) return opened.error();
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace vmproxy::store
