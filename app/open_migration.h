// OpenMigration: one migration with everything it stands on, in the order in which it must go away again.
// serve makes one for each migration of the configuration, `from` makes one for its copy.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/metrics.h"
#include "base/random.h"
#include "config/config.h"
#include "cutover/migration.h"
#include "journal/journal.h"
#include "net/upstream.h"
#include "protocols/api/system.h"
#include "store/store.h"

namespace vmproxy::app {

struct OpenMigration {
  std::unique_ptr<store::Store> store;
  std::unique_ptr<journal::Journal> journal;
  std::unique_ptr<protocols::Driver> source, target;
  std::unique_ptr<protocols::Dialect> dialect;  // nullptr: the source has none; it can be copied, not proxied
  std::unique_ptr<net::Upstream> upstream;
  std::unique_ptr<cutover::Migration> migration;

  // Background work stops and the journal gets its clean mark.
  Result<void> close();
};

// What all migrations of a process share. Outlives them.
struct Shared {
  Clock& clock;
  Random& random;
  Metrics& metrics;
  std::span<const protocols::System> systems;
};

// Opens the journal at its place below data_dir, and goes on where the last run stopped. The configuration
// was validated: names exist. `unwatched`: nobody follows the source while this is not open.
Result<std::unique_ptr<OpenMigration>> open_migration(const config::Config& config, const std::string& name,
                                                      Shared shared, bool unwatched = false);

}  // namespace vmproxy::app
