// How fast the journal appends: benchmark_journal DIRECTORY [seconds per line]
// Each line: so many appenders, each with one append under way (as connections have), 8 KB bodies unless
// said.
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <thread>

#include "journal/journal.h"
#include "store/rocksdb_store.h"

using namespace vmproxy;
using Seconds = std::chrono::duration<double>;

namespace {

uint64_t bytes_written_by_us() {
  std::ifstream io("/proc/self/io");
  std::string name;
  uint64_t value;
  while (io >> name >> value) {
    if (name == "write_bytes:") return value;
  }
  return 0;
}

uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total, resident;
  statm >> total >> resident;
  return resident * 4096;
}

// One thread appends; acknowledged ones come back through a queue, as on an io thread.
void measure(const std::string& directory, const char* name, size_t connections, size_t body_bytes,
             double seconds, journal::Durability durability, uint64_t keep) {
  std::filesystem::remove_all(directory);
  SystemClock clock;
  Metrics metrics;
  auto store = store::open_rocksdb(directory).value();
  journal::Options options;
  options.durability = durability;
  auto journal = journal::Journal::open(*store, clock, metrics, options).value();
  const std::string body(body_bytes, 'b');
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<journal::Seq> back;
  uint64_t done = 0, failed = 0;
  const auto append = [&] {
    journal::IntentHead head;
    head.cls = journal::IntentClass::image;
    head.operation = "collection.upsert";
    head.collection = {"default_tenant/default_database", "things"};
    head.keys = {{"", {std::string("document-0123456789")}}};
    journal->append(std::move(head),
                    {"POST", "/api/v2/collections/x/upsert", {{"content-type", "application/json"}}, body},
                    [&](Result<journal::Seq> seq) {
                      std::lock_guard hold(mutex);
                      if (!seq) ++failed;
                      back.push_back(seq ? *seq : 0);
                      if (back.size() == 1) changed.notify_one();
                    });
  };
  const uint64_t before = bytes_written_by_us();
  const auto start = std::chrono::steady_clock::now();
  for (size_t i = 0; i < connections; ++i) append();
  size_t under_way = connections;
  while (under_way > 0) {
    std::deque<journal::Seq> got;
    {
      std::unique_lock hold(mutex);
      changed.wait(hold, [&] { return !back.empty(); });
      got.swap(back);
    }
    const bool go_on = Seconds(std::chrono::steady_clock::now() - start).count() < seconds;
    for (const auto seq : got) {
      ++done;
      journal->outcome(seq, {model::Outcome::applied, {}, {}});
      if (seq % 64 == 0 && seq > keep) journal->trim_below(seq - keep);
      if (go_on)
        append();
      else
        --under_way;
    }
  }
  const double took = Seconds(std::chrono::steady_clock::now() - start).count();
  const auto stats = journal->stats();
  std::printf("%-34s %5zu  %9.0f  %7.1f  %8.0f  %8.0f  %6.2f  %6.0f  %6.0f\n", name, connections,
              static_cast<double>(done) / took, static_cast<double>(done * body_bytes) / took / 1e6,
              stats.sync_seconds_p50 * 1e6, stats.sync_seconds_p99 * 1e6,
              static_cast<double>(bytes_written_by_us() - before) / static_cast<double>(done * body_bytes),
              static_cast<double>(resident_bytes()) / 1e6, static_cast<double>(stats.bytes) / 1e6);
  if (failed > 0) std::printf("  %llu appends failed\n", static_cast<unsigned long long>(failed));
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: benchmark_journal DIRECTORY [seconds per line]\n");
    return 2;
  }
  const std::string directory = argv[1];
  const double seconds = argc > 2 ? std::atof(argv[2]) : 3;
  constexpr uint64_t never = UINT64_MAX - 1;
  std::printf("%-34s %5s  %9s  %7s  %8s  %8s  %6s  %6s  %6s\n", "", "open", "appends/s", "MB/s", "sync p50",
              "sync p99", "amplif", "RSS MB", "disk MB");
  using journal::Durability;
  for (const size_t connections : {1u, 8u, 64u, 512u}) {
    measure(directory, "8 KB, replica keeps up", connections, 8192, seconds, Durability::fsync, 2000);
  }
  measure(directory, "8 KB, replica down", 512, 8192, seconds, Durability::fsync, never);
  measure(directory, "8 KB, replica 50,000 behind", 512, 8192, seconds, Durability::fsync, 50'000);
  measure(directory, "1 KB, replica keeps up", 512, 1024, seconds, Durability::fsync, 2000);
  measure(directory, "8 KB, durability os", 512, 8192, seconds, Durability::os, 2000);
  std::filesystem::remove_all(directory);
}
