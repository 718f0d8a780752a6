#include "cutover/audit.h"

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "base/log.h"
#include "journal/rows.h"
#include "model/codec.h"

namespace vmproxy::cutover {
namespace {
constexpr uint8_t row_format = 1;
}

std::string rfc3339(WallTime time) {
  const auto seconds = std::chrono::system_clock::to_time_t(time);
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count() % 1000;
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
  model::Object entry{{"at", rfc3339(clock_.wall())}, {"who", actor.who}, {"action", action}, {"result", result}};
  if (!actor.reason.empty()) entry["reason"] = actor.reason;
  if (!forced.empty()) entry["forced"] = forced;
  model::Writer writer;
  writer.u8(row_format);
  writer.value(model::Value(entry));
  std::lock_guard hold(mutex_);
  // Time first, so that the order holds over restarts without a counter of its own.
  const auto now = static_cast<uint64_t>(clock_.wall().time_since_epoch().count());
  last_ = std::max(last_ + 1, now);
  char key[24];
  std::snprintf(key, sizeof key, "%020llu", static_cast<unsigned long long>(last_));
  journal_.put_rows({{std::string(journal::rows::audit), key, writer.take()}});
  log::info("audit", {{"who", actor.who}, {"action", action}, {"result", result}, {"reason", actor.reason}, {"forced", forced}});
}

Result<std::vector<model::Value>> Audit::list() const {
  std::vector<model::Value> entries;
  auto scanned = journal_.scan_rows(journal::rows::audit, "", "", [&](std::string_view, std::string_view value) {
    model::Reader reader(value);
    if (reader.u8() != row_format) return true;
    model::Value entry = reader.value();
    if (reader.done()) entries.push_back(std::move(entry));
    return entries.size() < 10'000;
  });
  if (!scanned) return scanned.error();
  return entries;
}

}  // namespace vmproxy::cutover
