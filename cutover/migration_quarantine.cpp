// Changes that the replica refused for good: what an operator sees of them, and what becomes of them.
#include "base/fault.h"
#include "cutover/migration.h"

namespace vmproxy::cutover {

Result<std::vector<QuarantineEntry>> Migration::quarantine() {
  auto items = mirror_.quarantine().list(1000);
  if (!items) return items.error();
  std::vector<QuarantineEntry> result;
  for (const auto& item : *items) {
    const auto key = model::decode_key(item.key);
    result.push_back({item.number, item.collection, key ? model::to_string(key->id) : "?", item.reason,
                      rfc3339(WallTime(std::chrono::milliseconds(item.since_unix_ms)))});
  }
  return result;
}

Result<model::Value> Migration::quarantine_show(uint64_t number) {
  auto found = mirror_.quarantine().find(number);
  if (!found) return found.error();
  if (!*found)
    return Error(Code::not_found, "there is no quarantined change number " + std::to_string(number));
  const auto& item = **found;
  const auto key = model::decode_key(item.key);
  model::Object shown{{"number", item.number},
                      {"collection", item.collection},
                      {"key", key ? model::to_string(key->id) : "?"},
                      {"reason", item.reason},
                      {"since", rfc3339(WallTime(std::chrono::milliseconds(item.since_unix_ms)))},
                      {"change", item.unread   ? "unread"
                                 : item.record ? "write"
                                               : "delete"}};
  if (item.record) {
    if (item.record->document) shown["document"] = *item.record->document;
    if (item.record->metadata) shown["metadata"] = model::Value(*item.record->metadata);
    model::Object dimensions;
    for (const auto& [name, vector] : item.record->vectors) {
      const auto* dense = std::get_if<model::DenseVector>(&vector);
      dimensions[name.empty() ? "vector" : name] =
          static_cast<uint64_t>(dense != nullptr ? dense->size() : 0);
    }
    shown["dimensions"] = model::Value(dimensions);
  }
  return model::Value(shown);
}

Result<void> Migration::quarantine_retry(std::optional<uint64_t> number, const Actor& actor) {
  // An entry that a change of the primary finds in its lane would clear the row of what only the former primary has (H46).
  auto turn = transition_.ask("quarantine retry");
  if (!turn) return turn.error();
  auto retried = mirror_.retry_quarantined(number);
  audit_.note(actor, "quarantine retry", retried ? "ok" : retried.error().message);
  return retried;
}

Result<void> Migration::quarantine_drop(uint64_t number, const Actor& actor) {
  // Not behind a change of the primary: that may have made the record's last copy of what the operator has seen.
  auto turn = transition_.ask("quarantine drop");
  if (!turn) return turn.error();
  auto found = mirror_.quarantine().find(number);
  if (!found) return found.error();
  if (!*found)
    return Error(Code::not_found, "there is no quarantined change number " + std::to_string(number));
  // Both sides differ there from now on, on purpose: only a full validation that begins later may say otherwise. One that
  // runs now may have passed the record while quarantine stood for it. Durable before that is gone.
  State next = state();
  // At risk, its key was neither read nor compared: what was written to it since may be on one side only. And once the target is
  // the primary the source lacks what it refused: a rollback would lose that, and the repair after it the target's copy.
  std::string uncompared;
  if ((*found)->primary != next.primary) {
    uncompared =
        "were at risk and therefore not compared, until they were dropped from quarantine; what was written to them "
        "since may be missing on the other side";
  } else if (next.primary == Side::target) {
    uncompared = "were dropped from quarantine: the source lacks what the target has of them";
  }
  if (!uncompared.empty()) {
    auto marked = journal_.mark_gap("records of '" + (*found)->collection + "' " + uncompared);
    if (!marked) return marked.error().within("nothing changed");
  }
  next.validated = false;
  next.validating_full = false;
  next.doubted_pass = next.validation_pass;
  auto moved = move(next, actor, "quarantine drop " + std::to_string(number) + ", validation needed");
  if (!moved) return moved;
  VMPROXY_FAULT("quarantine.doubted");
  mirror_.quarantine().remove({number});
  return {};
}

}  // namespace vmproxy::cutover
