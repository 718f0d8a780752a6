// What RocksDB does by itself while its disk fails, taken out of its hands (decision 16). Internal to store/.
#pragma once

#include <rocksdb/env.h>
#include <rocksdb/listener.h>

#include <cstdarg>
#include <cstdio>

#include "base/log.h"

namespace vmproxy::store {

// Its own log is a file beside the data that fails with them; the line after a failed one ends the process where RocksDB is
// built with assertions, as Debian's is. Here lines go to vmproxy's log. What matters in them comes as a status, too.
class LogWithoutFile final : public rocksdb::Logger {
 public:
  LogWithoutFile() : Logger(rocksdb::InfoLogLevel::WARN_LEVEL) {}
  using Logger::Logv;
  void Logv(const char* format, va_list arguments) override {
    if (!log::enabled(log::Level::debug)) return;
    char line[1000];
    std::vsnprintf(line, sizeof line, format, arguments);
    log::debug("RocksDB", {{"text", line}});
  }
};

// On a full disk it goes on by itself once it believes that there is space. Where it has nothing to flush then, that is on the
// log that has failed: an assertion, or an error again. Going on is for whoever calls reopen(), which begins a new log.
class NoRecovery final : public rocksdb::EventListener {
 public:
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status, bool* automatic) override {
    *automatic = false;
  }
};

}  // namespace vmproxy::store
