#include "backfill/id_map.h"

#include <map>

#include "journal/rows.h"

namespace vmproxy::backfill {

Result<void> IdMap::enter(std::span<const model::Key> keys, Deadline deadline) {
  std::lock_guard hold(mutex_);
  const std::string prefix = model::to_string(schema_.name) + '\0';
  std::vector<const model::Key*> newcomers;
  std::vector<model::Key> there;
  std::vector<std::string> names;
  for (const auto& key : keys) {
    auto mapped = to_target_(key);
    if (!mapped) continue;  // has no place there: the lanes put it into quarantine by name
    newcomers.push_back(&key);
    names.push_back(prefix + model::encode(*mapped));
    there.push_back(std::move(*mapped));
  }
  auto known = journal_.rows_exist(journal::rows::idmap, names);
  if (!known) return known.error();

  std::vector<journal::Row> rows;
  std::map<std::string, const model::Key*> entered;  // of this page
  for (size_t i = 0; i < names.size(); ++i) {
    std::optional<model::Key> holder;
    if (const auto found = entered.find(names[i]); found != entered.end()) {
      holder = *found->second;
    } else if ((*known)[i]) {
      auto row = journal_.row(journal::rows::idmap, names[i]);
      if (!row) return row.error();
      if (*row) holder = model::decode_key(**row);
      if (*row && !holder) {
        return Error(Code::corrupt, "the map of ids of collection '" + model::to_string(schema_.name) +
                                        "' cannot be read; abandon the migration and start it again");
      }
    }
    if (holder == *newcomers[i]) continue;  // the same record again: a retry, or a duplicate
    if (holder) {
      if (auto free = settle(there[i], *newcomers[i], *holder, deadline); !free) return free;
    }
    entered[names[i]] = newcomers[i];
    rows.push_back({std::string(journal::rows::idmap), names[i], model::encode(*newcomers[i])});
  }
  if (!rows.empty()) journal_.put_rows(std::move(rows));
  return {};
}

// Another key has the id. It may have been deleted since it was entered; then the newcomer takes its place.
Result<void> IdMap::settle(const model::Key& there, const model::Key& newcomer, const model::Key& holder,
                           Deadline deadline) {
  const model::Key keys[] = {holder};
  auto exists = source_.read(schema_, keys, {false, false}, deadline);
  if (!exists) return exists.error();
  if (exists->empty()) return {};
  return Error(Code::precondition, "COLLISION in collection '" + model::to_string(schema_.name) +
                                       "': the records '" + model::to_string(holder.id) + "' and '" +
                                       model::to_string(newcomer.id) + "' of the source both become '" +
                                       model::to_string(there.id) +
                                       "' on the target, and one of them would be lost. Nothing was "
                                       "overwritten. Rename one of them in the "
                                       "source, or change the mapping of ids, then start again");
}

}  // namespace vmproxy::backfill
