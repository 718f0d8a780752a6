#include "proxy/collections.h"

#include <algorithm>
#include <cstdlib>

#include "base/log.h"
#include "journal/rows.h"
#include "model/codec.h"

namespace vmproxy::proxy {
namespace {

constexpr std::string_view catalog_row = "catalog";
constexpr std::string_view carried_row = "carried";  // how each included collection was moved, written with the catalog
constexpr uint8_t carried_format = 1;
constexpr std::string_view doubt_row = "doubt";        // -> milliseconds of its window
constexpr std::string_view claim_rows = "claim/";  // + name on the target -> the source's collection
constexpr Duration ask_every = std::chrono::seconds(5);

struct Carried {
  std::string target;  // its name there
  uint64_t hash = 0;   // of its plan
};
// What TargetBackend notes of changes since the promotion: + what, as people read it.
constexpr std::string_view created_rows = "ddl/created ", renamed_rows = "ddl/renamed ";

bool lacks_partitions(const model::Schema& there, const model::Schema& wanted) {
  return std::ranges::any_of(wanted.partitions, [&](const std::string& name) {
    return !name.empty() && std::ranges::find(there.partitions, name) == there.partitions.end();
  });
}

}  // namespace

Collections::Collections(journal::Journal& journal, protocols::Driver& source, protocols::Driver& target, Clock& clock,
                         Included included, std::map<std::string, std::string> names)
    : journal_(journal),
      source_(source),
      target_(target),
      clock_(clock),
      included_(std::move(included)),
      names_(std::move(names)),
      catalog_(std::make_shared<const protocols::Catalog>()) {}

Result<void> Collections::load() {
  std::lock_guard changing(write_mutex_);
  auto row = journal_.row(journal::rows::state, catalog_row);
  if (!row) return row.error();
  auto claims = journal_.scan_rows(journal::rows::state, claim_rows, "", [this](std::string_view key, std::string_view) {
    claimed_.emplace(key.substr(claim_rows.size()));
    return true;
  });
  if (!claims) return claims;
  auto doubted = journal_.row(journal::rows::state, doubt_row);
  if (!doubted) return doubted.error();
  if (*doubted) doubt(std::chrono::milliseconds(std::strtoll((*doubted)->c_str(), nullptr, 10)));
  if (!*row) return {};
  auto catalog = protocols::decode_catalog(**row);
  if (!catalog) return catalog.error().within("state of the migration");
  for (const auto& schema : catalog->collections) incarnations_ = std::max(incarnations_, schema.incarnation);
  auto collections = collections_of(*catalog);
  if (!collections) return collections.error();
  auto carried = journal_.row(journal::rows::state, carried_row);
  if (!carried) return carried.error();
  // A version that did not keep it has left nothing to compare with.
  if (*carried) {
    auto compared = compare(**carried, *collections);
    if (!compared) return compared;
  }
  std::lock_guard hold(mutex_);
  catalog_ = std::make_shared<const protocols::Catalog>(std::move(*catalog));
  collections_ = std::move(*collections);
  return {};
}

Result<void> Collections::compare(const std::string& carried, const ByKey& now) {
  model::Reader reader(carried);
  const uint8_t format = reader.u8();
  if (format != carried_format) {
    return Error(Code::unsupported, "what the migration moves was written in format " + std::to_string(format) +
                                        ", which this version does not know; use the version that wrote it");
  }
  std::map<std::string, Carried> before;
  const uint64_t count = reader.varint();
  for (uint64_t i = 0; i < count && reader.ok(); ++i) {
    const std::string key = reader.bytes();
    before[key].target = reader.bytes();
    before[key].hash = reader.u64();
  }
  if (!reader.done()) return Error(Code::corrupt, "what the migration moves cannot be read from its state");
  for (const auto& [key, collection] : now) {
    const std::string target = model::to_string(collection->plan->target().name);
    const auto was = before.find(key);
    if (was == before.end()) {
      reconfigured_.push_back({Change::Kind::added, key, "collection '" + key + "' is included now and was not before"});
    } else if (was->second.target != target) {
      reconfigured_.push_back({Change::Kind::renamed, key,
                          "collection '" + key + "' is called '" + target + "' on the target now and was '" + was->second.target + "'"});
    } else if (was->second.hash != collection->plan->hash()) {
      reconfigured_.push_back({Change::Kind::remapped, key, "the records of collection '" + key + "' take another form on the target now"});
    }
  }
  for (const auto& [key, was] : before) {
    if (!now.contains(key)) {
      reconfigured_.push_back({Change::Kind::removed, key, "collection '" + key + "' is no longer included"});
    }
  }
  return {};
}

Result<void> Collections::accept() {
  std::lock_guard changing(write_mutex_);
  std::shared_ptr<const protocols::Catalog> known;
  ByKey collections;
  {
    std::lock_guard hold(mutex_);
    known = catalog_;
    collections = collections_;
  }
  auto kept = keep(*known, collections);
  if (!kept) return kept;
  reconfigured_.clear();
  return {};
}

Result<std::shared_ptr<const Collection>> Collections::make(const model::Schema& schema) const {
  auto target_name = target_.name_for(schema.name);
  const auto chosen = names_.find(model::to_string(schema.name));
  const auto chosen_short = names_.find(schema.name.name);
  if (chosen != names_.end()) {
    target_name.name = chosen->second;
  } else if (chosen_short != names_.end()) {
    target_name.name = chosen_short->second;
  }
  auto plan = mapping::Plan::make(schema, source_.capabilities(), target_name, target_.capabilities());
  if (!plan) return plan.error().within("collection '" + model::to_string(schema.name) + "'");
  auto collection = std::make_shared<Collection>();
  collection->name = schema.name;
  collection->key = model::to_string(schema.name);
  collection->plan = std::move(*plan);
  return std::shared_ptr<const Collection>(std::move(collection));
}

Result<Collections::ByKey> Collections::collections_of(const protocols::Catalog& catalog) const {
  ByKey collections;
  std::map<std::string, std::string> target_names;  // a target name must not serve two collections
  for (const auto& schema : catalog.collections) {
    if (!included_(schema.name)) continue;
    const std::string key = model::to_string(schema.name);
    const auto known = find(key);
    std::shared_ptr<const Collection> collection = known;
    const bool same = known && model::encode_schema(known->plan->source()) == model::encode_schema(schema);
    if (!same) {
      auto made = make(schema);
      if (!made) return made.error();
      collection = *made;
    }
    const auto [at, fresh] = target_names.emplace(model::to_string(collection->plan->target().name), key);
    if (!fresh) {
      return Error(Code::already_exists, "COLLISION: collections '" + at->second + "' and '" + key +
                                             "' would both become '" + at->first +
                                             "' on the target. Give one another name under mapping.names.");
    }
    collections.emplace(key, std::move(collection));
  }
  return collections;
}

// In one step: what the next start compares its own plans with are the plans for this very catalog.
Result<void> Collections::keep(const protocols::Catalog& catalog, const ByKey& collections) {
  model::Writer carried;
  carried.u8(carried_format);
  carried.varint(collections.size());
  for (const auto& [key, collection] : collections) {
    carried.bytes(key);
    carried.bytes(model::to_string(collection->plan->target().name));
    carried.u64(collection->plan->hash());
  }
  auto written = journal_.commit_rows({{std::string(journal::rows::state), std::string(catalog_row), protocols::encode(catalog)},
                                       {std::string(journal::rows::state), std::string(carried_row), carried.take()}});
  if (!written) return written.error().within("the catalog could not be kept");
  return {};
}

Result<void> Collections::publish(protocols::Catalog catalog) {
  auto collections = collections_of(catalog);
  if (!collections) return collections.error();
  auto published = std::make_shared<const protocols::Catalog>(std::move(catalog));
  auto written = keep(*published, *collections);
  if (!written) return written;
  std::lock_guard hold(mutex_);
  catalog_ = std::move(published);
  collections_ = std::move(*collections);
  return {};
}

void Collections::doubt(Duration window) {
  std::lock_guard hold(mutex_);
  const TimePoint now = clock_.now();
  settles_ = std::max(settles_, now + window);
  ++doubts_;
  ask_again_ = {};
  in_doubt_ = true;
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(settles_ - now).count();
  journal_.put_rows({{std::string(journal::rows::state), std::string(doubt_row), std::to_string(ms)}});
}

bool Collections::should_ask() {
  if (!in_doubt_) return false;
  std::lock_guard hold(mutex_);
  const TimePoint now = clock_.now();
  if (now < ask_again_) return false;
  ask_again_ = now + ask_every;
  return true;
}

Result<void> Collections::refresh(Deadline deadline, const Explained& explained) {
  std::lock_guard changing(write_mutex_);
  uint64_t doubts = 0;
  bool settled = false;
  {
    std::lock_guard hold(mutex_);
    doubts = doubts_;
    settled = clock_.now() >= settles_;
  }
  auto refreshed = refresh_locked(deadline, explained);
  if (!refreshed || !settled || !in_doubt_) return refreshed;
  std::lock_guard hold(mutex_);
  if (doubts_ != doubts) return {};
  in_doubt_ = false;
  journal_.put_rows({{std::string(journal::rows::state), std::string(doubt_row), std::nullopt}});
  return {};
}

Result<void> Collections::refresh_locked(Deadline deadline, const Explained& explained) {
  auto server = source_.describe_server(deadline);
  if (!server) return server.error().within("source");
  auto spaces = source_.list_spaces(deadline);
  if (!spaces) return spaces.error().within("source");
  auto listed = source_.list_collections(deadline);
  if (!listed) return listed.error().within("source");
  const auto before = catalog();
  protocols::Catalog next;
  next.server = std::move(server->facts);
  next.spaces = std::move(*spaces);
  std::vector<std::string> reborn;
  for (auto& schema : *listed) {
    const model::Schema* known = before->find(schema.name);
    const bool same = known != nullptr && known->native_id == schema.native_id;
    schema.incarnation = same ? known->incarnation : ++incarnations_;
    if (!same && included_(schema.name)) {
      const std::string key = model::to_string(schema.name);
      if (known != nullptr) reborn.push_back(key);
      auto noted = note_new(schema, known != nullptr, explained);
      if (!noted) return noted;
    }
    next.collections.push_back(std::move(schema));
  }
  auto published = publish(std::move(next));
  if (!published) return published;
  for (const auto& key : reborn) {
    if (reborn_) reborn_(key);
  }
  return {};
}

Result<void> Collections::note_new(const model::Schema& schema, bool reborn, const Explained& explained) {
  const std::string key = model::to_string(schema.name);
  const auto made = make(schema);
  if (reborn || (made && claimed(**made))) {
    return journal_.mark_gap("collection '" + key + "' was dropped and created again; the target holds records of its former life");
  }
  if (explained(schema)) return {};
  return journal_.mark_gap("collection '" + key + "' was made beside the proxy; what it held then was not copied");
}

Result<void> Collections::refresh_one(const model::CollectionName& name, Deadline deadline) {
  auto described = source_.describe(name, deadline);
  if (!described) return described.error().within("source");
  if (!*described) return remove(name);
  const auto before = catalog();
  const model::Schema* known = before->find(name);
  const bool same = known != nullptr && known->native_id == (*described)->native_id;
  return put(std::move(**described), !same);
}

std::shared_ptr<const protocols::Catalog> Collections::catalog() const {
  std::lock_guard hold(mutex_);
  return catalog_;
}

std::shared_ptr<const Collection> Collections::find(const std::string& key) const {
  std::lock_guard hold(mutex_);
  const auto at = collections_.find(key);
  return at == collections_.end() ? nullptr : at->second;
}

std::vector<std::shared_ptr<const Collection>> Collections::all() const {
  std::lock_guard hold(mutex_);
  std::vector<std::shared_ptr<const Collection>> result;
  for (const auto& [key, collection] : collections_) result.push_back(collection);
  return result;
}

Result<void> Collections::put(model::Schema schema, bool new_incarnation) {
  std::lock_guard changing(write_mutex_);
  protocols::Catalog next = *catalog();
  const auto at = std::find_if(next.collections.begin(), next.collections.end(),
                               [&](const auto& known) { return known.name == schema.name; });
  if (at == next.collections.end()) {
    schema.incarnation = ++incarnations_;
    next.collections.push_back(std::move(schema));
  } else {
    schema.incarnation = new_incarnation ? ++incarnations_ : at->incarnation;
    *at = std::move(schema);
  }
  return publish(std::move(next));
}

Result<void> Collections::remove(const model::CollectionName& name) {
  std::lock_guard changing(write_mutex_);
  protocols::Catalog next = *catalog();
  std::erase_if(next.collections, [&](const auto& known) { return known.name == name; });
  return publish(std::move(next));
}

Result<void> Collections::put_space(protocols::Space space) {
  std::lock_guard changing(write_mutex_);
  protocols::Catalog next = *catalog();
  std::erase_if(next.spaces, [&](const auto& known) { return known.path == space.path; });
  next.spaces.push_back(std::move(space));
  return publish(std::move(next));
}

Result<void> Collections::remove_space(const std::string& path) {
  std::lock_guard changing(write_mutex_);
  protocols::Catalog next = *catalog();
  std::erase_if(next.spaces, [&](const auto& known) { return known.path == path; });
  std::erase_if(next.collections, [&](const auto& known) { return known.name.space == path; });
  return publish(std::move(next));
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

Result<void> Collections::create_on_target(const Collection& collection, Deadline deadline, bool take_foreign) {
  const model::Schema& schema = collection.plan->target();
  const std::string name = model::to_string(schema.name);
  bool lost = false;
  if (claimed(collection)) {
    auto there = target_.describe(schema.name, deadline);
    if (!there && there.error().retryable()) return there.error().within("asking the target for '" + name + "'");
    // Noted before it is made: a crash in between may leave a gap too many, never one too few.
    lost = !there || !*there;
    if (lost) {
      auto marked = mark_lost(collection.key, "target");
      if (!marked) return marked;
    } else if (lacks_partitions(**there, schema)) {
      auto altered = target_.alter(schema.name, schema, deadline);
      if (!altered) return altered.error().within("making the partitions of '" + name + "' on the target");
    }
  }
  auto made = target_.create(schema, deadline);
  if (made && lost) log::error("a collection that the target had lost was made anew, empty", {{"collection", collection.key}});
  if (!made && made.error().code != Code::already_exists) return made.error().within("creating '" + name + "' on the target");
  if (claimed(collection)) return {};
  if (!made && !take_foreign) {
    model::Query count;
    count.kind = model::Query::Kind::count;
    count.collection = schema.name;
    auto counted = target_.query(schema, count, deadline);
    if (!counted) return counted.error().within("counting what '" + name + "' holds on the target already");
    if (counted->count > 0) {
      return Error(Code::precondition,
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
    if (!made && made.error().code != Code::already_exists) return made.error().within("creating '" + collection.key + "' on the source");
    if (made && !*never_had) log::error("a collection that the source had lost was made anew, empty", {{"collection", collection.key}});
    return {};
  }
  // Partitions made after the promotion: only the target was told of them.
  if (!lacks_partitions(**there, wanted)) return {};
  auto altered = source_.alter(collection.name, wanted, deadline);
  if (!altered) return altered.error().within("making the partitions of '" + collection.key + "' on the source");
  return {};
}

Result<void> Collections::still_there(journal::Side side, const Collection& collection, Deadline deadline) {
  if (side == journal::Side::source) return create_on_source(collection, deadline);
  if (claimed(collection)) {
    auto there = target_.describe(collection.plan->target().name, deadline);
    if (!there) return there.error().within("asking the target for '" + collection.key + "'");
    if (*there) return {};
  }
  // Dropped, or made again, by the application since the caller looked.
  const auto now = find(collection.key);
  if (!now || now->plan->source().incarnation != collection.plan->source().incarnation) return {};
  return create_on_target(collection, deadline);
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
  auto looked = journal_.scan_latest_rows(journal::rows::state, renamed_rows, "", [&](std::string_view row, std::string_view) {
    renamed = row.ends_with(" to " + key);
    return !renamed;
  });
  if (!looked) return looked.error();
  return renamed;
}

bool Collections::claimed(const Collection& collection) const {
  std::lock_guard hold(mutex_);
  return claimed_.contains(model::to_string(collection.plan->target().name));
}

Result<void> Collections::claim(const Collection& collection) { return change_claims(nullptr, &collection); }
Result<void> Collections::release(const Collection& collection) { return change_claims(&collection, nullptr); }
Result<void> Collections::move_claim(const Collection& from, const Collection& to) { return change_claims(&from, &to); }

Result<void> Collections::release_all() {
  std::lock_guard changing(write_mutex_);
  auto gone = journal_.erase_rows(journal::rows::state, claim_rows);
  if (!gone) return gone.error().within("what the migration owns on the target could not be given up");
  std::lock_guard hold(mutex_);
  claimed_.clear();
  return {};
}

Result<void> Collections::change_claims(const Collection* gone, const Collection* ours) {
  const auto target_name = [](const Collection& collection) { return model::to_string(collection.plan->target().name); };
  const auto row = [](const std::string& name, std::optional<std::string> value) {
    return journal::Row{std::string(journal::rows::state), std::string(claim_rows) + name, std::move(value)};
  };
  std::lock_guard changing(write_mutex_);
  std::vector<journal::Row> rows;
  if (gone != nullptr) rows.push_back(row(target_name(*gone), std::nullopt));
  if (ours != nullptr) rows.push_back(row(target_name(*ours), ours->key));
  auto kept = journal_.commit_rows(std::move(rows));
  if (!kept) return kept.error().within("what the migration owns on the target could not be kept");
  std::lock_guard hold(mutex_);
  if (gone != nullptr) claimed_.erase(target_name(*gone));
  if (ours != nullptr) claimed_.insert(target_name(*ours));
  return {};
}

}  // namespace vmproxy::proxy
