// The process that disk_fault_test.cpp watches: the store on RocksDB does the same work again and again, each time on a new
// directory and with the next of the disk's calls failing, until a whole run has no call left that could. It says on stdout which
// run begins, and what is wrong; a run that takes too long ends it by SIGALRM.
//   disk_fault_run DIRECTORY FAULT FIRST-CALL STEP VALUE-BYTES WRITERS
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <thread>

#include "store/rocksdb_store.h"
#include "tests/store/bad_disk.h"

using namespace vmproxy;
using namespace vmproxy::store;
namespace fs = std::filesystem;
using bad_disk::complain;
using bad_disk::give_up;

namespace {

class Run {
 public:
  Run(std::string directory, size_t value_bytes, int writers)
      : directory_(std::move(directory)), value_bytes_(value_bytes), writers_(writers) {}

  void operator()() {
    open();
    write();
    // What was written lies in tables from here on.
    if (auto reopened = store_->reopen(); !reopened) recover("reopen()");
    write();
    erase();
    if (!store_->reclaim("w", "x")) recover("reclaim()");
    write();
    if (!store_->write_slot("gap")) {
      bad_disk::heal();
      if (!store_->write_slot("gap")) complain("the slot cannot be written although the disk is well");
    }
    store_.reset();
    bad_disk::heal();
    open();
    check("opened at the end");
    if (store_->read_slot().value() != "gap") complain("the slot lost what it took");
    store_.reset();
  }

 private:
  void open() {
    auto opened = open_rocksdb(directory_);
    if (!opened) {
      bad_disk::heal();
      opened = open_rocksdb(directory_);
    }
    if (!opened) give_up("cannot be opened although the disk is well: " + opened.error().message);
    store_ = std::move(*opened);
  }

  // Each writer goes on until a commit of its own is refused.
  void write() {
    std::vector<std::thread> threads;
    for (int writer = 0; writer < writers_; ++writer) {
      threads.emplace_back([this] {
        for (int i = 0; i < commits; ++i) {
          const int number = next_++;
          const bool after = refused_.load();
          Batch batch;
          batch.put(key(number, "first"), value(number));
          batch.put(key(number, "last"), value(number));
          const bool done = store_->commit(batch, i % 3 == 1 ? Sync::no : Sync::yes).has_value();
          std::lock_guard hold(mutex_);
          if (done && after) complain("a commit after a refused one was taken before reopen()");
          if (!done) refused_ = true;
          writes_[number] = done;
          if (!done) return;
        }
      });
    }
    for (auto& thread : threads) thread.join();
    if (!refused_) return;
    refuses_still();
    recover("a refused commit");
    check("opened again");
  }

  // One batch: everything goes, and a mark comes.
  void erase() {
    Batch batch;
    batch.erase_range("w", "x");
    batch.put("mark", "erased");
    if (!store_->commit(batch, Sync::yes)) {
      refuses_still();
      recover("a refused commit");
      if (!store_->get("mark").value()) return check("opened again");
    }
    writes_.clear();
    auto scanned = store_->scan("w", "x", [](auto, auto) {
      complain("of a batch that erases and puts, half is there");
      return false;
    });
    if (!scanned) complain("cannot be read: " + scanned.error().message);
  }

  void refuses_still() {
    Batch batch;
    batch.put("z", "after a refused commit");
    if (store_->commit(batch, Sync::yes)) complain("a commit after a refused one was taken before reopen()");
  }

  // As the journal does it: tries while the disk is bad, and again when it is well.
  void recover(const std::string& after) {
    if (!store_->reopen()) {
      refuses_still();
      bad_disk::heal();
      const auto well = std::chrono::steady_clock::now();
      if (auto reopened = store_->reopen(); !reopened)
        give_up("after " + after +
                " not opened again although the disk is well: " + reopened.error().message);
      if (std::chrono::steady_clock::now() - well > std::chrono::seconds(5))
        complain("opened again too late");
    }
    bad_disk::heal();
    refused_ = false;
  }

  // An acknowledged write is there, a refused one whole or not at all.
  void check(const std::string& when) {
    for (const auto& [number, acknowledged] : writes_) {
      const auto first = store_->get(key(number, "first")), last = store_->get(key(number, "last"));
      if (!first || !last)
        return complain(when + ": cannot be read: " + (first ? last : first).error().message);
      if (first->has_value() != last->has_value()) complain(when + ": half of a batch is there");
      if (acknowledged && !*first) complain(when + ": an acknowledged write is gone");
      for (const auto* found : {&*first, &*last}) {
        if (*found && **found != value(number)) complain(when + ": a write is damaged");
      }
    }
  }

  static std::string key(int number, const char* part) { return "w" + std::to_string(10000 + number) + part; }
  std::string value(int number) const {
    return std::string(value_bytes_, static_cast<char>('a' + number % 26)) + std::to_string(number);
  }

  static constexpr int commits = 6;
  const std::string directory_;
  const size_t value_bytes_;
  const int writers_;
  std::unique_ptr<Store> store_;
  std::atomic<int> next_{0};
  std::atomic<bool> refused_{false};
  std::mutex mutex_;
  std::map<int, bool> writes_;  // acknowledged?
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) return 2;
  const std::string directory = argv[1];
  const auto fault = static_cast<bad_disk::Fault>(std::atoi(argv[2]));
  const uint64_t step = std::strtoull(argv[4], nullptr, 10);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  for (uint64_t nth = std::strtoull(argv[3], nullptr, 10);; nth += step) {
    std::printf("RUN %llu %s\n", static_cast<unsigned long long>(nth), bad_disk::name_of(fault));
    ::alarm(60);
    fs::remove_all(directory);
    bad_disk::arm(directory, fault, nth);
    Run(directory, std::strtoull(argv[5], nullptr, 10), std::atoi(argv[6]))();
    if (!bad_disk::struck()) return 0;
  }
}
