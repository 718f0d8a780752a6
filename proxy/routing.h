// Routing: which side is primary and who answers reads. One immutable snapshot, replaced as a whole.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "journal/journal.h"

namespace vmproxy::proxy {

using journal::Side;

struct Routing {
  uint64_t generation = 0;  // grows with each published snapshot
  uint64_t epoch = 1;       // grows with each change of the primary
  Side primary = Side::source;
  bool capture = false;  // writes are journaled and mirrored
  // Of reads that may go to the target. While the target is primary: 100, or 0 when a rollback has begun; then the source
  // answers each read for which it has every acknowledged write.
  double reads_percent = 0;
  uint64_t salt = 0;           // of the percent router; fixed for the migration
  bool finalized = false;      // the other side is no longer written
  bool reads_guarded = false;  // after a restart: reads stay on the primary until the journal was replayed
};

// Readers load, one writer (cutover) publishes. Thread-safe.
class RoutingTable {
 public:
  explicit RoutingTable(Routing first) : current_(std::make_shared<const Routing>(first)) {}
  std::shared_ptr<const Routing> get() const { return std::atomic_load(&current_); }
  void publish(Routing next) { publish(std::make_shared<const Routing>(next)); }
  void publish(std::shared_ptr<const Routing> next) noexcept {
    std::atomic_store(&current_, std::move(next));
  }

 private:
  std::shared_ptr<const Routing> current_;
};

}  // namespace vmproxy::proxy
