// One side of a copy alone, by vmproxy's own driver: how fast a collection can be scanned, or written.
//
//   bench_driver scan   SYSTEM URL COLLECTION PARALLEL         reads every record, keeps none
//   bench_driver ingest SYSTEM URL COLLECTION PARALLEL BATCH   reads all into memory, then (measured) writes them to a
//                                                              new collection of the same schema
// Prints {"records", "seconds", "cpu_seconds"}; seconds and CPU of this process are of the measured part.
#include <sys/resource.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "app/registry.h"
#include "cli/databases.h"

using namespace vmproxy;

namespace {

template <class T>
T good(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "bench_driver: %s\n", result.error().message.c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void in_parallel(size_t threads, const std::function<void()>& work) {
  std::vector<std::thread> all;
  for (size_t i = 0; i < threads; ++i) all.emplace_back(work);
  for (auto& thread : all) thread.join();
}

}  // namespace

int main(int argc, char** argv) {
  const bool ingest = argc == 7 && std::string_view(argv[1]) == "ingest";
  if (!ingest && (argc != 6 || std::string_view(argv[1]) != "scan")) {
    std::fprintf(stderr, "usage: %s scan SYSTEM URL COLLECTION PARALLEL | ingest ... PARALLEL BATCH\n",
                 argv[0]);
    return 2;
  }
  SystemClock clock;
  const auto soon = [&] { return clock.in(std::chrono::minutes(5)); };
  const auto* system = cli::find_system(app::systems(), argv[2]);
  if (system == nullptr) return 2;
  protocols::Endpoint endpoint;
  endpoint.name = argv[2];
  endpoint.url = argv[3];
  const auto driver = good(system->make_driver(endpoint, clock));
  std::optional<model::Schema> schema;
  for (auto& found : good(driver->list_collections(soon()))) {
    if (found.name.name == argv[4]) schema = found;
  }
  if (!schema) {
    std::fprintf(stderr, "bench_driver: there is no collection %s\n", argv[4]);
    return 1;
  }
  const size_t parallel = static_cast<size_t>(std::atoi(argv[5]));

  auto begun = clock.now();
  double cpu = cpu_seconds();
  const auto ranges = good(driver->plan_scan(*schema, parallel * 4, soon()));
  std::atomic<size_t> next{0}, records{0};
  std::mutex mutex;
  std::vector<model::Record> kept;
  in_parallel(parallel, [&] {
    for (size_t i; (i = next++) < ranges.size();) {
      for (std::string cursor;;) {
        auto page = good(driver->scan(*schema, ranges[i], cursor, 1000, {}, soon()));
        records += page.records.size();
        if (ingest) {
          std::lock_guard hold(mutex);
          for (auto& record : page.records) kept.push_back(std::move(record));
        }
        cursor = page.cursor;
        if (page.done) break;
      }
    }
  });

  if (ingest) {
    model::Schema copy = *schema;
    copy.name.name += "_again";
    copy.native_id.clear();
    good(driver->create(copy, soon()));
    copy = *good(driver->describe(copy.name, soon()));
    const size_t batch = static_cast<size_t>(std::atoi(argv[6]));
    begun = clock.now();
    cpu = cpu_seconds();
    std::atomic<size_t> at{0};
    in_parallel(parallel, [&] {
      for (size_t from; (from = at.fetch_add(batch)) < kept.size();) {
        const std::span<const model::Record> part(kept.data() + from, std::min(batch, kept.size() - from));
        if (!good(driver->upsert(copy, part, protocols::UpsertMode::insert_only, soon())).refused.empty())
          std::exit(1);
      }
    });
  }
  std::printf("{\"records\": %zu, \"seconds\": %.6f, \"cpu_seconds\": %.6f}\n", records.load(),
              std::chrono::duration<double>(clock.now() - begun).count(), cpu_seconds() - cpu);
}
