#include "cutover/audit.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <iterator>

#include "base/log.h"
#include "journal/rows.h"
#include "model/codec.h"

namespace vmproxy::cutover {
namespace {
constexpr uint8_t row_format = 1;
}

std::string rfc3339(WallTime time) {
  const auto seconds = std::chrono::system_clock::to_time_t(time);
  const auto millis =
      std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count() % 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char date[32];
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
  char whole[48];
  std::snprintf(whole, sizeof whole, "%s.%03dZ", date, static_cast<int>(millis));
  return whole;
}

void Audit::note(const Actor& actor, const std::string& action, const std::string& result) {
  std::string forced;
  for (const auto& gate : actor.force) forced += (forced.empty() ? "" : ",") + gate;
  model::Object entry{
      {"at", rfc3339(clock_.wall())}, {"who", actor.who}, {"action", action}, {"result", result}};
  if (!actor.reason.empty()) entry["reason"] = actor.reason;
  if (!forced.empty()) entry["forced"] = forced;
  model::Writer writer;
  writer.u8(row_format);
  writer.value(model::Value(entry));
  std::lock_guard hold(mutex_);
  learn();
  // Time first, so that the order holds over restarts without a counter of its own.
  const auto now = static_cast<uint64_t>(clock_.wall().time_since_epoch().count());
  last_ = std::max(last_ + 1, now);
  char key[24];
  std::snprintf(key, sizeof key, "%020llu", static_cast<unsigned long long>(last_));
  const std::string table(journal::rows::audit);
  std::vector<journal::Row> rows{{table, key, writer.take()}};
  keys_.emplace_back(key);
  while (keys_.size() > entries_max_) {
    rows.push_back({table, keys_.front(), std::nullopt});
    keys_.pop_front();
  }
  journal_.put_rows(std::move(rows));
  log::info("audit", {{"who", actor.who},
                      {"action", action},
                      {"result", result},
                      {"reason", actor.reason},
                      {"forced", forced}});
}

void Audit::learn() {
  if (learned_) return;
  std::deque<std::string> found;
  auto scanned =
      journal_.scan_latest_rows(journal::rows::audit, "", "", [&](std::string_view key, std::string_view) {
        found.emplace_back(key);
        return true;
      });
  if (!scanned) return;  // asked again at the next note; until then nothing is displaced
  learned_ = true;
  keys_ = std::move(found);
  if (!keys_.empty()) last_ = std::max<uint64_t>(last_, std::strtoull(keys_.back().c_str(), nullptr, 10));
}

Result<std::vector<model::Value>> Audit::list() const {
  std::deque<model::Value> entries;  // those of an older version may be more
  auto scanned =
      journal_.scan_latest_rows(journal::rows::audit, "", "", [&](std::string_view, std::string_view value) {
        model::Reader reader(value);
        if (reader.u8() != row_format) return true;
        model::Value entry = reader.value();
        if (reader.done()) entries.push_back(std::move(entry));
        if (entries.size() > entries_max_) entries.pop_front();
        return true;
      });
  if (!scanned) return scanned.error();
  return std::vector<model::Value>(std::make_move_iterator(entries.begin()),
                                   std::make_move_iterator(entries.end()));
}

}  // namespace vmproxy::cutover
