// Life: one life of a process that stands between two fake databases whose rows outlive it: a journal on RocksDB, a whole
// migration, its pipeline, an application that writes all the while, and the calls of an operator who tries again until it is so.
// A thread of its own runs the clock, about fifteen times as fast as real time. What fails throws std::runtime_error.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <thread>

#include "tests/faults/truth.h"
#include "tests/hazards/fake_exchange.h"

namespace vmproxy::support {

// A start or a stop that the disk refused: vmproxy ends with its reason, and is started again.
struct DiskError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Life {
 public:
  // What is in the directory is what earlier lives left; nothing: the source gets its first records.
  explicit Life(std::filesystem::path directory);
  ~Life();

  // Options may be changed before open(). Again after close(): a restart without a crash.
  void open();
  void close();

  // --- the operator: gives the order until `reached`; gaps that a crash left are closed by a full validation
  void until(
      const std::string& what, const std::function<bool()>& reached,
      const std::function<Result<void>()>& order = [] { return Result<void>(); });
  void validate();
  void ready();
  void percent(double percent);
  void promote();
  void roll_back();
  void no_gap();  // validates until none is open

  // --- the application
  void writes(int64_t count);  // waits for so many more acknowledged writes
  void rest();                 // no write is under way, none begins
  void go_on();
  // Outside its loop: rest() first. The status of the answer; 0: none.
  int send(const net::Request& request);
  // "things" and all that is in it goes from the source, as `how` does it, until it is gone; and is made again.
  void drop_things(const std::function<void()>& how);
  void make_things();
  // The source does the application's next write, and its answer is lost.
  void lose_answer() { loses_answer_ = true; }
  // After the promotion, as the dialect of a system with such calls would.
  Result<model::Schema> change(const model::SchemaChange& change);

  // Both sides hold the same in these collections, and "things" what the application was told.
  void compare(const std::vector<std::string>& collections);

  cutover::Status status() { return migration->status(); }
  bool target_is_primary() { return status().primary == "target"; }
  bool knows(const std::string& collection) {
    return migration->context().collections.find(collection) != nullptr;
  }
  void wait(Duration time);

  const std::filesystem::path directory;
  FakeClock clock;
  Random random{17};
  Metrics metrics;
  FakeDriver source, target;
  FakeDialect dialect;
  cutover::MigrationOptions options;
  journal::Options journal_options;
  Truth truth;
  net::Upstream upstream{net::UpstreamOptions{}};
  std::unique_ptr<store::Store> store;
  std::unique_ptr<journal::Journal> journal;
  std::unique_ptr<cutover::Migration> migration;
  std::unique_ptr<proxy::Pipeline> pipeline;
  std::atomic<bool> was_opened{false};

 private:
  void write_forever();
  void write_once();
  void put(const std::string& path, const std::string& id, int64_t value);
  void erase_below(int64_t version);
  Result<net::Response> asked(const net::Request& request);

  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(io_);
  std::atomic<bool> ends_{false}, stopping_{false}, resting_{true}, at_rest_{false};
  std::atomic<bool> loses_answer_{false};
  std::atomic<int64_t> acked_{0};
  std::thread ticker_, application_;
  std::string broken_;  // what ended the application; of its thread until it is joined
  std::atomic<bool> is_broken_{false};
};

}  // namespace vmproxy::support
