// Strays: what the target holds under keys that no key of the source becomes, so that no lane ever has them: the former places of
// records whose keys a change of their collection has changed, or what somebody wrote there beside vmproxy.
#include <algorithm>
#include <iterator>
#include <span>

#include "proxy/mirror.h"

namespace vmproxy::proxy {

Result<void> Mirror::erase_strays(const model::CollectionName& name, const std::vector<model::Key>& keys) {
  const std::string key = model::to_string(name);
  const auto collection = collections_.find(key);
  if (primary_ != Side::source || !collection || !collections_.claimed(*collection)) return {};
  if (paused(key)) return Error(Code::unavailable, "a change of collection '" + key + "' is under way");
  std::vector<model::Key> strays;  // as it is now: the comparison may have begun with another plan
  std::ranges::copy_if(keys, std::back_inserter(strays),
                       [&](const auto& stray) { return !collection->plan->key_to_source(stray); });
  auto& target = transfer_.driver(Side::target);
  const size_t step = std::max<size_t>(1, target.capabilities().batch_records_max);
  Result<void> erased;
  for (size_t from = 0; erased && from < strays.size(); from += step) {
    const std::span<const model::Key> part(strays.data() + from, std::min(step, strays.size() - from));
    auto done = target.erase(collection->plan->target(), part, clock_.in(options_.lanes.apply_timeout));
    if (!done) erased = done.error();
  }
  const auto now = collections_.find(key);
  const bool as_it_was = now && now->plan->source().incarnation == collection->plan->source().incarnation &&
                         now->plan->keys_as_in(*collection->plan);
  const bool may_land = !erased && !erased.error().surely_not_done();
  if (strays.empty() || (as_it_was && !may_land)) return erased;
  // Such a key may be a record's by the time that it is erased.
  gaps_act_late(Side::target);
  auto marked =
      journal_.mark_gap("what the target held of '" + key +
                        "' under keys of no record was erased, or may still be, while its keys changed");
  return marked ? erased : marked;
}

}  // namespace vmproxy::proxy
