// What of the target is ours: claims, each durable before the first record goes there; and the making of what one of the sides
// lacks, which claims it, or is a gap when it was there before.
#include <algorithm>
#include <set>

#include "base/fault.h"
#include "base/log.h"
#include "journal/rows.h"
#include "proxy/collections.h"

namespace vmproxy::proxy {
namespace {

constexpr std::string_view claim_rows = "claim/";  // + name on the target -> the source's collection
// + name on the target, which did not have it then: being made by us. Its answer may be lost, and what was sent to a former life of
// the collection may land on it before it is claimed; all of that is ours.
constexpr std::string_view making_rows = "making/";
constexpr std::string_view given_up =
    "given up";  // such a row where a drop of ours may land as well, else it is empty
constexpr std::string_view late_drop_rows = "late-drop/";  // + the source's collection: drop_may_land()
// What TargetBackend notes of changes since the promotion: + what, as people read it.
constexpr std::string_view created_rows = "ddl/created ", renamed_rows = "ddl/renamed ";

journal::Row claim_row(const std::string& on_target, std::optional<std::string> key) {
  return {std::string(journal::rows::state), std::string(claim_rows) + on_target, std::move(key)};
}
journal::Row making_row(const std::string& on_target, std::optional<std::string> value) {
  return {std::string(journal::rows::state), std::string(making_rows) + on_target, std::move(value)};
}

// As little ours as a collection that holds records, and no fault of a record: somebody has to make room.
Error no_room(const std::string& name, const Error& why) {
  return {Code::precondition, "what the target has under the name '" + name +
                                  "' cannot hold this collection, and nothing is written to it: " +
                                  why.message + ". Move it away, or choose another name under mapping.names"};
}

bool lacks_partitions(const model::Schema& there, const model::Schema& wanted) {
  return std::ranges::any_of(wanted.partitions, [&](const std::string& name) {
    return !name.empty() && std::ranges::find(there.partitions, name) == there.partitions.end();
  });
}

}  // namespace

Result<void> Collections::load_claims() {
  auto loaded = journal_.scan_rows(journal::rows::state, claim_rows, "",
                                   [this](std::string_view row, std::string_view key) {
                                     claimed_.emplace(row.substr(claim_rows.size()), key);
                                     return true;
                                   });
  if (!loaded) return loaded;
  loaded = journal_.scan_rows(journal::rows::state, late_drop_rows, "",
                              [this](std::string_view row, std::string_view) {
                                late_drops_[std::string(row.substr(late_drop_rows.size()))] =
                                    clock_.in(target_.capabilities().max_zombie);
                                return true;
                              });
  if (!loaded) return loaded;
  late_drops_count_ = late_drops_.size();
  return journal_.scan_rows(journal::rows::state, making_rows, "",
                            [this](std::string_view row, std::string_view value) {
                              const std::string name(row.substr(making_rows.size()));
                              making_.insert(name);
                              if (value == given_up)
                                landing_[name] = clock_.in(target_.capabilities().max_zombie);
                              return true;
                            });
}

Result<void> Collections::create_on_target(Deadline deadline, bool take_foreign) {
  std::string foreign;
  for (const auto& collection : all()) {
    auto made = create_on_target(*collection, deadline, take_foreign);
    if (made) continue;
    if (made.error().code != Code::precondition) return made;
    foreign += (foreign.empty() ? "" : "; ") + made.error().message;
  }
  if (foreign.empty()) return {};
  return Error(Code::precondition, foreign);
}

Result<void> Collections::create_on_target(const Collection& collection, Deadline deadline,
                                           bool take_foreign) {
  const model::Schema& schema = collection.plan->target();
  const std::string name = model::to_string(schema.name);
  if (may_be_dropped(name) || drop_may_land(collection.key))
    return Error(Code::unavailable,
                 "'" + name +
                     "' is being made anew on the target, and what was there before may still be dropped; "
                     "nothing was written to it, ask again in a minute");
  const bool ours = owned(collection);
  bool lost = false, began = false, away = false;
  if (ours || !making(name)) {
    auto there = target_.describe(schema.name, deadline);
    if (!there && there.error().code == Code::unsupported) return no_room(name, there.error());
    if (!there && there.error().code != Code::not_found)
      return there.error().within("asking the target for '" + name + "'");
    const bool absent = !there || !*there;
    // Noted before it is made: a crash in between may leave a gap too many, never one too few.
    lost = absent && ours;
    began = absent && !ours;
    if (lost) {
      if (auto marked = mark_lost(collection.key, "target"); !marked) return marked;
      VMPROXY_FAULT("claim.lost");
    } else if (began) {
      if (auto noted = note_making(name, true); !noted) return noted;
      away = VMPROXY_FAULT_HIT("claim.making").fails;
    } else if (ours && lacks_partitions(**there, schema)) {
      auto altered = target_.alter(schema.name, schema, deadline);
      if (!altered) return altered.error().within("making the partitions of '" + name + "' on the target");
    }
  }
  auto made = away ? Error(Code::refused_connection, "the target is away") : target_.create(schema, deadline);
  if (VMPROXY_FAULT_HIT("claim.made").drops && made)
    made = Error(Code::connection_lost, "the target's answer was lost");
  if (made && lost)
    log::error("a collection that the target had lost was made anew, empty",
               {{"collection", collection.key}});
  if (!made && made.error().code != Code::already_exists) {
    if (began && made.error().surely_not_done()) (void)note_making(name, false);
    return made.error().within("creating '" + name + "' on the target");
  }
  if (claimed(collection)) return {};
  if (owned(collection)) return claim(collection);
  if (!made && !take_foreign && !making(name)) {
    model::Query count;
    count.kind = model::Query::Kind::count;
    count.collection = schema.name;
    auto counted = target_.query(schema, count, deadline);
    if (!counted) return counted.error().within("counting what '" + name + "' holds on the target already");
    // Claimed meanwhile: another request or lane was making it too, and these are ours.
    if (counted->count > 0 && !claimed(collection)) {
      return Error(
          Code::precondition,
          "'" + name + "' on the target holds " + std::to_string(counted->count) +
              " records that are not of this migration; nothing was written to it. Move them away, choose another name under "
              "mapping.names, or give them up (they will be overwritten or erased): vmproxy start --force target_not_empty");
    }
  }
  return claim(collection);
}

Result<void> Collections::create_on_source(const Collection& collection, Deadline deadline) {
  auto there = source_.describe(collection.name, deadline);
  if (!there) return there.error().within("asking the source for '" + collection.key + "'");
  const model::Schema& wanted = collection.plan->source();
  if (!*there) {
    const auto never_had = made_since_promotion(collection.key);
    if (!never_had) return never_had.error();
    if (!*never_had) {
      auto marked = mark_lost(collection.key, "source");
      if (!marked) return marked;
    }
    auto made = source_.create(wanted, deadline);
    if (VMPROXY_FAULT_HIT("source.made").drops && made)
      made = Error(Code::connection_lost, "the source's answer was lost");
    if (!made && made.error().code != Code::already_exists)
      return made.error().within("creating '" + collection.key + "' on the source");
    if (made && !*never_had)
      log::error("a collection that the source had lost was made anew, empty",
                 {{"collection", collection.key}});
    return {};
  }
  // Partitions made after the promotion: only the target was told of them.
  if (!lacks_partitions(**there, wanted)) return {};
  auto altered = source_.alter(collection.name, wanted, deadline);
  if (!altered)
    return altered.error().within("making the partitions of '" + collection.key + "' on the source");
  return {};
}

Result<void> Collections::still_there(journal::Side side, const Collection& collection, Deadline deadline,
                                      bool take_foreign) {
  if (side == journal::Side::source) return create_on_source(collection, deadline);
  if (claimed(collection)) {
    auto there = target_.describe(collection.plan->target().name, deadline);
    if (!there) return there.error().within("asking the target for '" + collection.key + "'");
    if (*there) return {};
  }
  // Dropped, or made again, by the application since the caller looked.
  const auto now = find(collection.key);
  if (!now || now->plan->source().incarnation != collection.plan->source().incarnation) return {};
  return create_on_target(collection, deadline, take_foreign);
}

Result<void> Collections::mark_lost(const std::string& key, std::string_view side) {
  const std::string what = "collection '" + key + "' was missing on the " + std::string(side) +
                           ", where it had been made before: what it held is not there";
  auto marked = journal_.mark_gap(what);
  if (!marked) return marked.error().within("a capture gap could not be recorded, so nothing was made anew");
  return {};
}

Result<bool> Collections::made_since_promotion(const std::string& key) {
  auto created = journal_.row(journal::rows::state, std::string(created_rows) + key);
  if (!created) return created.error();
  if (*created) return true;
  bool renamed = false;
  auto looked = journal_.scan_latest_rows(journal::rows::state, renamed_rows, "",
                                          [&](std::string_view row, std::string_view) {
                                            renamed = row.ends_with(" to " + key);
                                            return !renamed;
                                          });
  if (!looked) return looked.error();
  return renamed;
}

bool Collections::making(const std::string& on_target) const {
  std::lock_guard hold(mutex_);
  return making_.contains(on_target);
}

bool Collections::may_be_dropped(const std::string& on_target) const {
  std::lock_guard hold(mutex_);
  const auto at = landing_.find(on_target);
  return at != landing_.end() && clock_.now() < at->second;
}

Result<void> Collections::give_up(const Collection& collection, TimePoint lands_until) {
  const std::string name = model::to_string(collection.plan->target().name);
  std::lock_guard changing(claims_mutex_);
  if (may_be_dropped(name))
    return Error(Code::unavailable,
                 "'" + name + "' is being made anew by another change of the same collection");
  auto kept = journal_.commit_rows({claim_row(name, std::nullopt), making_row(name, std::string(given_up))});
  std::lock_guard hold(mutex_);
  if (!kept) {
    unsure_.insert(name);
    return kept.error().within("what the migration owns on the target could not be kept");
  }
  claimed_.erase(name);
  making_.insert(name);
  landing_[name] = lands_until;
  return {};
}

void Collections::drop_may_land(const std::string& key, TimePoint until) {
  std::lock_guard hold(mutex_);
  auto& late = late_drops_[key];
  late = std::max(late, until);
  late_drops_count_ = late_drops_.size();
  journal_.put_rows({{std::string(journal::rows::state), std::string(late_drop_rows) + key, ""}});
}

bool Collections::drop_may_land(const std::string& key) {
  if (late_drops_count_ == 0) return false;
  std::lock_guard hold(mutex_);
  const auto at = late_drops_.find(key);
  if (at == late_drops_.end()) return false;
  if (clock_.now() < at->second) return true;
  late_drops_.erase(at);
  late_drops_count_ = late_drops_.size();
  journal_.put_rows({{std::string(journal::rows::state), std::string(late_drop_rows) + key, std::nullopt}});
  return false;
}

void Collections::dropped(const Collection& collection) {
  std::lock_guard hold(mutex_);
  landing_.erase(model::to_string(collection.plan->target().name));
}

Result<void> Collections::note_making(const std::string& on_target, bool begun) {
  std::lock_guard changing(claims_mutex_);
  const auto value = begun ? std::optional<std::string>("") : std::nullopt;
  auto kept = journal_.commit_rows({making_row(on_target, value)});
  if (!kept) return kept.error().within("what is being made on the target could not be kept");
  std::lock_guard hold(mutex_);
  if (begun) {
    making_.insert(on_target);
  } else {
    making_.erase(on_target);
  }
  return {};
}

bool Collections::claimed(const Collection& collection) const {
  std::lock_guard hold(mutex_);
  const std::string name = model::to_string(collection.plan->target().name);
  return claimed_.contains(name) && !unsure_.contains(name);
}
bool Collections::owned(const Collection& collection) const {
  std::lock_guard hold(mutex_);
  return claimed_.contains(model::to_string(collection.plan->target().name));
}

Result<void> Collections::claim(const Collection& collection) {
  return change_claims(nullptr, &collection);
}
Result<void> Collections::release(const Collection& collection) {
  return change_claims(&collection, nullptr);
}
Result<void> Collections::rename_on_target(const Collection& from, const Collection& to, Deadline deadline) {
  const model::Schema& schema = to.plan->target();
  const std::string name = model::to_string(schema.name);
  bool noted = false;
  if (claimed(from) && !claimed(to) && !making(name)) {
    auto there = target_.describe(schema.name, deadline);
    if (!there && there.error().code != Code::not_found)
      return there.error().within("asking the target for '" + name + "'");
    if (!there || !*there) {
      if (auto kept = note_making(name, true); !kept) return kept;
      noted = true;
    }
  }
  auto altered = target_.alter(from.plan->target().name, schema, deadline);
  if (!altered) {
    if (noted && altered.error().surely_not_done()) (void)note_making(name, false);
    return altered.error().within("renaming '" + model::to_string(from.plan->target().name) +
                                  "' on the target");
  }
  VMPROXY_FAULT("ddl.renamed");
  return change_claims(&from, &to);  // one step: no crash leaves ours without its claim
}

std::vector<Collections::LeftBehind> Collections::left_behind() const {
  std::lock_guard hold(mutex_);
  std::set<std::string> known, in_use;
  for (const auto& schema : catalog_->collections) known.insert(model::to_string(schema.name));
  for (const auto& [key, collection] : collections_)
    in_use.insert(model::to_string(collection->plan->target().name));
  std::vector<LeftBehind> result;
  for (const auto& [target, key] : claimed_) {
    if (!known.contains(key) && !in_use.contains(target)) result.push_back({key, target});
  }
  return result;
}

Result<void> Collections::release(const LeftBehind& gone) {
  std::lock_guard changing(claims_mutex_);
  auto kept =
      journal_.commit_rows({claim_row(gone.target, std::nullopt), making_row(gone.target, std::nullopt)});
  if (kept) VMPROXY_FAULT("claim.kept");
  std::lock_guard hold(mutex_);
  if (!kept) {
    unsure_.insert(gone.target);
    return kept.error().within("what the migration owns on the target could not be kept");
  }
  claimed_.erase(gone.target);
  unsure_.erase(gone.target);
  making_.erase(gone.target);
  landing_.erase(gone.target);
  return {};
}

Result<void> Collections::release_all() {
  std::lock_guard changing(claims_mutex_);
  auto gone = journal_.erase_rows(journal::rows::state, claim_rows);
  if (gone) gone = journal_.erase_rows(journal::rows::state, making_rows);
  if (gone) gone = journal_.erase_rows(journal::rows::state, late_drop_rows);
  if (!gone) return gone.error().within("what the migration owns on the target could not be given up");
  VMPROXY_FAULT("claim.released");
  std::lock_guard hold(mutex_);
  claimed_.clear();
  unsure_.clear();
  making_.clear();
  landing_.clear();
  late_drops_.clear();
  late_drops_count_ = 0;
  return {};
}

Result<void> Collections::change_claims(const Collection* gone, const Collection* ours) {
  std::lock_guard changing(claims_mutex_);
  auto kept = journal_.commit_rows(rows_of_claims(gone, ours));
  if (kept) VMPROXY_FAULT("claim.kept");
  std::lock_guard hold(mutex_);
  if (!kept) {
    if (gone != nullptr) unsure_.insert(model::to_string(gone->plan->target().name));
    return kept.error().within("what the migration owns on the target could not be kept");
  }
  claims_are(gone, ours);
  return {};
}

std::vector<journal::Row> Collections::rows_of_claims(const Collection* gone, const Collection* ours) {
  const auto on_target = [](const Collection* each) { return model::to_string(each->plan->target().name); };
  std::vector<journal::Row> rows;
  if (gone != nullptr) rows.push_back(claim_row(on_target(gone), std::nullopt));
  if (ours != nullptr) rows.push_back(claim_row(on_target(ours), ours->key));
  for (const auto* each : {gone, ours}) {
    if (each != nullptr) rows.push_back(making_row(on_target(each), std::nullopt));
  }
  return rows;
}

void Collections::claims_are(const Collection* gone, const Collection* ours) {
  for (const auto* each : {gone, ours}) {
    if (each == nullptr) continue;
    making_.erase(model::to_string(each->plan->target().name));
    unsure_.erase(model::to_string(each->plan->target().name));
    landing_.erase(model::to_string(each->plan->target().name));
  }
  if (gone != nullptr) claimed_.erase(model::to_string(gone->plan->target().name));
  if (ours != nullptr) claimed_.insert_or_assign(model::to_string(ours->plan->target().name), ours->key);
}

}  // namespace vmproxy::proxy
