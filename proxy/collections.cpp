#include "proxy/collections.h"

#include <algorithm>

#include "base/log.h"
#include "journal/rows.h"
#include "model/codec.h"

namespace vmproxy::proxy {
namespace {

constexpr std::string_view catalog_row = "catalog";
constexpr std::string_view claim_rows = "claim/";  // + name on the target -> the source's collection

}  // namespace

Collections::Collections(journal::Journal& journal, protocols::Driver& source, protocols::Driver& target,
                         Included included, std::map<std::string, std::string> names)
    : journal_(journal),
      source_(source),
      target_(target),
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
  if (!*row) return {};
  auto catalog = protocols::decode_catalog(**row);
  if (!catalog) return catalog.error().within("state of the migration");
  for (const auto& schema : catalog->collections) incarnations_ = std::max(incarnations_, schema.incarnation);
  return publish(std::move(*catalog));
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

Result<void> Collections::publish(protocols::Catalog catalog) {
  std::map<std::string, std::shared_ptr<const Collection>> collections;
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
  auto published = std::make_shared<const protocols::Catalog>(std::move(catalog));
  auto written = journal_.commit_rows({{std::string(journal::rows::state), std::string(catalog_row), protocols::encode(*published)}});
  if (!written) return written.error().within("the catalog could not be kept");
  std::lock_guard hold(mutex_);
  catalog_ = std::move(published);
  collections_ = std::move(collections);
  return {};
}

Result<void> Collections::refresh(Deadline deadline, const Explained& explained) {
  std::lock_guard changing(write_mutex_);
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
  auto made = target_.create(schema, deadline);
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
    auto made = source_.create(wanted, deadline);
    if (!made && made.error().code != Code::already_exists) return made.error().within("creating '" + collection.key + "' on the source");
    return {};
  }
  // Partitions made after the promotion: only the target was told of them.
  const auto& known = (*there)->partitions;
  const bool whole = std::ranges::all_of(wanted.partitions, [&](const std::string& name) {
    return name.empty() || std::ranges::find(known, name) != known.end();
  });
  if (whole) return {};
  auto altered = source_.alter(collection.name, wanted, deadline);
  if (!altered) return altered.error().within("making the partitions of '" + collection.key + "' on the source");
  return {};
}

bool Collections::claimed(const Collection& collection) const {
  std::lock_guard hold(mutex_);
  return claimed_.contains(model::to_string(collection.plan->target().name));
}

Result<void> Collections::claim(const Collection& collection) { return change_claims(nullptr, &collection); }
Result<void> Collections::release(const Collection& collection) { return change_claims(&collection, nullptr); }
Result<void> Collections::move_claim(const Collection& from, const Collection& to) { return change_claims(&from, &to); }

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
