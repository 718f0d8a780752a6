// Peek: what the model sees of the real machines' private state, and the steps of threads that it takes itself.
#pragma once

#include <string>

#include "proxy/mirror.h"
#include "tests/model/inline_journal.h"

namespace vmproxy::proxy {

struct Peek {
  // --- steps
  static bool lane_step(Mirror& mirror);
  static bool lane_may_step(Mirror& mirror);  // something is queued, and nothing but time holds the lane back
  static void chores(Mirror& mirror);         // what the mirror's own thread does
  static bool chores_wait(Mirror& mirror);    // it has something to do now
  static void flush(Mirror& mirror) { mirror.ledger_.flush(); }
  static TimePoint not_before(Mirror& mirror) { return mirror.not_before_; }
  static TimePoint retry_at(Mirror& mirror);
  static size_t owed(Mirror& mirror) { return mirror.debts_.count(); }
  static bool queued(Mirror& mirror, const std::string& collection, const std::string& key) {
    return mirror.lanes_.has(collection, key);
  }
  static bool lanes_empty(Mirror& mirror) { return mirror.lanes_.size() == 0; }
  static bool time_matters(Mirror& mirror);  // something falls due later
  static void touch(Mirror& mirror, const std::vector<std::string>& keys, const std::string& collection) {
    mirror.touch(collection, keys);
  }
  // --- what no code does: rules that hold by construction are broken by hand
  static void forget_debts(Mirror& mirror, const std::string& collection, const std::string& key);
  static void forget_entry(Mirror& mirror, const std::string& collection, const std::string& key);
  static void forget_windows(Mirror& mirror);
  static void stop_lanes(Mirror& mirror) { mirror.lanes_.stop(); }  // a call of theirs goes on
  static void bring_forward(Mirror& mirror, const std::string& key, TimePoint due);  // its window closes then
  static void strike_suspect(Mirror& mirror, const std::string& collection, const std::string& key) {
    mirror.suspects_.strike({{collection, key}});
  }
  static long long ticks_until(TimePoint time, TimePoint now);
  // --- the state, as text in which only what matters later differs
  static void dump(Mirror& mirror, const model_check::InlineJournal& journal, bool may_crash, TimePoint now,
                   std::string& out);
};

}  // namespace vmproxy::proxy
