// The comparison of what was written lately (correctness.md 6, PRE-DRAIN and DELTA; 8, continuous until finalize).
#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "base/log.h"
#include "cutover/migration.h"

namespace vmproxy::cutover {

namespace {

constexpr size_t keys_at_once = 500;
constexpr uint64_t beside_max = 500;  // keys a second, so that the databases hardly notice
constexpr Duration beside_time = std::chrono::seconds(5);

}  // namespace

Result<Migration::Delta> Migration::compare_written(uint64_t max, Deadline deadline,
                                                    const std::function<Result<void>()>& follower_ready) {
  auto& written = mirror_.written();
  Delta delta;
  if (written.count() == 0) return delta;
  auto round = written.begin_round();
  if (!round) return round.error();
  const auto primary = state().primary;
  std::optional<proxy::WrittenKey> last;
  while (delta.compared < max) {
    if (give_way_ && primary == journal::Side::source) return gives_way();
    if (!waiting(Duration::zero())) return Error(Code::cancelled, "the proxy is stopping");
    const size_t wanted = static_cast<size_t>(std::min<uint64_t>(keys_at_once, max - delta.compared));
    auto batch = written.before(*round, wanted, last ? &*last : nullptr);
    if (!batch) return batch.error();
    if (batch->empty()) return delta;
    last = batch->back();
    std::map<std::string, std::set<model::Key>> keys;  // of rounds: the same key may stand in several
    for (const auto& w : *batch) {
      if (auto key = model::decode_key(w.key)) keys[w.collection].insert(std::move(*key));
    }
    for (const auto& [name, set] : keys) {
      const auto collection = collections_.find(name);
      if (!collection) continue;  // dropped: nothing to compare
      auto report = validation_.compare_keys({collection->name, collection->plan}, {set.begin(), set.end()},
                                             primary, deadline, follower_ready);
      if (!report) return report.error();
      delta.compared += report->compared;
      delta.different += report->different_keys.size();
      delta.unsettled += report->unsettled_keys.size();
      if (delta.example.empty()) delta.example = report->example;
      std::vector<std::string> again;
      for (const auto& key : report->unsettled_keys) again.push_back(model::encode(key));
      for (const auto& key : report->different_keys) again.push_back(model::encode(key));
      written.note(name, again);
      if (report->different_keys.empty()) continue;
      log::error(
          "records that were written lately differ between the sides; they are read from the primary again",
          {{"migration", options_.name},
           {"records", report->different_keys.size()},
           {"first", report->example}});
      audit_.note({"vmproxy", "", {}}, "comparison of what was written lately",
                  std::to_string(report->different_keys.size()) +
                      " records differed and are repaired: " + report->example);
      auto owed = mirror_.repair(collection->name, report->different_keys);
      if (!owed) return owed.error();
    }
    written.strike(*batch);
  }
  return delta;
}

void Migration::compare_written_beside() {
  const State now = state();
  const bool both_sides =
      now.capture && now.validated && now.phase >= Phase::ready && now.phase <= Phase::promoted;
  if (!both_sides || mirror_.written().count() == 0) return;
  std::unique_lock comparing(comparing_, std::try_to_lock);
  if (!comparing) return;
  (void)compare_written(beside_max,
                        clock_.in(beside_time));  // a database that is away now is asked again in a second
}

}  // namespace vmproxy::cutover
