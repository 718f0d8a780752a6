// MigrationHost: one migration of the configuration with all it needs: store, journal, drivers, dialect,
// upstream and the pipelines of its listeners. Made by serve; also by `from`, without listeners.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "base/random.h"
#include "config/config.h"
#include "cutover/migration.h"
#include "net/server.h"
#include "net/upstream.h"
#include "proxy/pipeline.h"
#include "store/store.h"

namespace vmproxy::app {

class MigrationHost {
 public:
  // Opens the store and journal under data_dir/NAME and recovers. Blocking. Errors say what to do.
  static Result<std::unique_ptr<MigrationHost>> make(const config::Config& config, const std::string& name,
                                                     Clock& clock, Random& random, Metrics& metrics);
  ~MigrationHost();

  // Binds every listener of this migration. The handler refers to this object.
  Result<void> listen(const config::Config& config, net::Server& server);
  cutover::Migration& migration() { return *migration_; }
  // A clean end: nothing may use the listeners any more.
  void close();

 private:
  MigrationHost() = default;

  std::string name_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<protocols::Driver> source_, target_;
  std::unique_ptr<protocols::Dialect> dialect_;
  std::unique_ptr<net::Upstream> upstream_;
  std::unique_ptr<cutover::Migration> migration_;
  std::vector<std::unique_ptr<proxy::Pipeline>> pipelines_;
};

// "host:port", "[::1]:port", ":port".
Result<std::pair<std::string, uint16_t>> parse_listen(const std::string& text);

}  // namespace vmproxy::app
