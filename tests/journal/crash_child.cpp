// The process that tests/journal/crash_test.cpp kills. Appends intents and rows to the journal in argv[1] as
// fast as it can, and prints every acknowledged seq, in binary, to stdout (a pipe) only after its callback
// came.
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>

#include "journal/journal.h"
#include "store/rocksdb_store.h"

using namespace vmproxy;

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  SystemClock clock;
  Metrics metrics;
  auto store = store::open_rocksdb(argv[1]);
  if (!store) return 3;
  auto journal = journal::Journal::open(**store, clock, metrics, {});
  if (!journal) return 4;
  const size_t body_bytes = static_cast<size_t>(std::atoi(argv[2]));
  std::atomic<int> in_flight{0};
  for (;;) {
    if (in_flight.load() >= 64) {
      std::this_thread::yield();
      continue;
    }
    ++in_flight;
    journal::IntentHead head;
    head.cls = journal::IntentClass::image;
    head.operation = "collection.upsert";
    head.collection = {"", "things"};
    head.keys = {{"", {(*journal)->next()}}};
    (*journal)->append(head, {"POST", "/x", {}, std::string(body_bytes, 'b')}, [&](Result<journal::Seq> seq) {
      if (seq) {
        const uint64_t acknowledged = *seq;
        // One write of 8 bytes to a pipe is atomic: what the reader got was acknowledged.
        if (::write(1, &acknowledged, 8) != 8) ::_exit(5);
        if (*seq % 7 == 0) (*journal)->outcome(*seq, {model::Outcome::applied, {}, {}});
        if (*seq % 64 == 0 && *seq > 5000) (*journal)->trim_below(*seq - 5000);
      }
      --in_flight;
    });
  }
}
