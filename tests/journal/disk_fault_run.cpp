// The process that disk_fault_test.cpp watches, as tests/store/disk_fault_run.cpp with a journal on the store: appends, gaps,
// rows, trims, and the journal's own reopen().
//   journal_disk_fault_run DIRECTORY FAULT FIRST-CALL STEP
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <map>

#include "journal/journal.h"
#include "store/rocksdb_store.h"
#include "tests/store/bad_disk.h"

using namespace vmproxy;
using namespace vmproxy::journal;
namespace fs = std::filesystem;
using bad_disk::complain;
using bad_disk::give_up;

namespace {

class Run {
 public:
  explicit Run(std::string directory) : directory_(std::move(directory)) {}

  void operator()() {
    begin();
    append(8);
    journal_->put_rows({{"d", "lazy", "1"}});
    append(8);
    journal_->trim_below(4);
    trimmed_ = 4;
    append(8);
    if (!journal_->close()) bad_disk::heal();
    begin();
    append(8);
    end();
    bad_disk::heal();
    begin();
    check();
    end();
  }

 private:
  void begin() {
    if (open()) return;
    bad_disk::heal();
    if (auto opened = open(); !opened)
      give_up("cannot be opened although the disk is well: " + opened.error().message);
  }

  Result<void> open() {
    end();
    auto store = store::open_rocksdb(directory_);
    if (!store) return store.error();
    store_ = std::move(*store);
    auto journal = Journal::open(*store_, clock_, metrics_, {.reopen_every = Duration::zero()});
    if (!journal) return journal.error();
    journal_ = std::move(*journal);
    return {};
  }

  void end() {
    journal_.reset();
    store_.reset();
  }

  // Several wait at once: they become groups.
  void append(int count) {
    std::map<uint64_t, std::future<Result<Seq>>> results;
    for (int i = 0; i < count; ++i) {
      const uint64_t id = next_id_++;
      auto promise = std::make_shared<std::promise<Result<Seq>>>();
      results.emplace(id, promise->get_future());
      IntentHead head;
      head.cls = IntentClass::image;
      head.operation = "collection.upsert";
      head.collection = {"", "things"};
      head.keys = {{"", {id}}};
      journal_->append(std::move(head), {"POST", "/x", {}, body(id)},
                       [promise](Result<Seq> seq) { promise->set_value(std::move(seq)); });
    }
    bool refused = false;
    for (auto& [id, result] : results) {
      if (result.wait_for(std::chrono::seconds(20)) != std::future_status::ready)
        give_up("an append was not answered");
      if (auto seq = result.get()) {
        acknowledged_[id] = *seq;
      } else {
        refused = true;
      }
    }
    if (refused || journal_->failure()) recover();
  }

  // As the policy pass_and_mark does it, but for the waiting.
  void recover() {
    const bool marked = journal_->mark_gap("the disk failed").has_value();
    (void)journal_->reopen();
    bad_disk::heal();
    const auto well = std::chrono::steady_clock::now();
    if (auto reopened = journal_->reopen(); !reopened)
      give_up("not recording again although the disk is well: " + reopened.error().message);
    if (std::chrono::steady_clock::now() - well > std::chrono::seconds(5))
      complain("recording again too late");
    if (journal_->failure()) complain("reopened, and has failed");
    if (marked && !journal_->has_gaps()) complain("the gap is gone");
    append(1);
    check();
  }

  // What was acknowledged is there, and nothing else.
  void check() {
    const auto report = journal_->verify();
    if (!report) return complain("cannot be verified: " + report.error().message);
    for (const auto& problem : report->problems) complain(problem);
    std::map<uint64_t, Seq> found;
    auto scanned = journal_->scan(1, [&](const IntentHead& head, const auto&) {
      found[std::get<uint64_t>(head.keys.at(0).id.value)] = head.seq;
      return true;
    });
    if (!scanned) return complain("cannot be read: " + scanned.error().message);
    for (const auto& [id, seq] : acknowledged_) {
      if (seq < trimmed_) continue;
      const auto at = found.find(id);
      if (at == found.end() || at->second != seq) {
        complain("an acknowledged intent is gone");
        continue;
      }
      const auto read = journal_->body(seq);
      if (!read || read->body != body(id)) complain("an acknowledged intent lost its body");
    }
    for (const auto& [id, seq] : found) {
      if (!acknowledged_.contains(id)) complain("a refused intent is there");
    }
  }

  static std::string body(uint64_t id) { return std::string(3000, 'b') + std::to_string(id); }

  const std::string directory_;
  SystemClock clock_;
  Metrics metrics_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Journal> journal_;
  uint64_t next_id_ = 1;
  Seq trimmed_ = 1;
  std::map<uint64_t, Seq> acknowledged_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const std::string directory = argv[1];
  const auto fault = static_cast<bad_disk::Fault>(std::atoi(argv[2]));
  const uint64_t step = std::strtoull(argv[4], nullptr, 10);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  for (uint64_t nth = std::strtoull(argv[3], nullptr, 10);; nth += step) {
    std::printf("RUN %llu %s\n", static_cast<unsigned long long>(nth), bad_disk::name_of(fault));
    ::alarm(60);
    fs::remove_all(directory);
    bad_disk::arm(directory, fault, nth);
    Run{directory}();
    if (!bad_disk::struck()) return 0;
  }
}
