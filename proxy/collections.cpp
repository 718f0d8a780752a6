#include "proxy/collections.h"

#include <algorithm>

#include "base/fault.h"
#include "journal/rows.h"
#include "model/codec.h"

namespace vmproxy::proxy {
namespace {

constexpr std::string_view catalog_row = "catalog";

Error asked_already() {
  return {Code::timeout, "source: it is being asked already what exists, and no answer has come in time"};
}

Error not_now() {
  return {Code::cancelled,
          "the source is being asked what exists, and has not answered in time; nothing was changed"};
}

protocols::Catalog renamed(protocols::Catalog catalog, const model::CollectionName& from,
                           model::Schema schema) {
  std::erase_if(catalog.collections,
                [&](const auto& known) { return known.name == from || known.name == schema.name; });
  catalog.collections.push_back(std::move(schema));
  return catalog;
}

Error not_for_the_source() {
  return {Code::precondition,
          "source: the target is the primary, so what exists is not for the source to say"};
}

}  // namespace

Collections::Collections(journal::Journal& journal, protocols::Driver& source, protocols::Driver& target,
                         Clock& clock, Included included, std::map<std::string, std::string> names)
    : journal_(journal),
      source_(source),
      target_(target),
      clock_(clock),
      included_(std::move(included)),
      names_(std::move(names)),
      write_mutex_(clock),
      catalog_(std::make_shared<const protocols::Catalog>()) {}

Result<void> Collections::load() {
  std::lock_guard changing(write_mutex_);
  auto row = journal_.row(journal::rows::state, catalog_row);
  if (!row) return row.error();
  auto claims = load_claims();
  if (!claims) return claims;
  auto left_out = load_left_out();
  if (!left_out) return left_out;
  auto doubted = load_doubt();
  if (!doubted) return doubted;
  if (!*row) return {};
  auto catalog = protocols::decode_catalog(**row);
  if (!catalog) return catalog.error().within("state of the migration");
  for (const auto& schema : catalog->collections) incarnations_ = std::max(incarnations_, schema.incarnation);
  auto collections = collections_of(*catalog);
  if (!collections) return collections.error();
  auto compared = compare(*collections);
  if (!compared) return compared;
  std::lock_guard hold(mutex_);
  catalog_ = std::make_shared<const protocols::Catalog>(std::move(*catalog));
  collections_ = std::move(*collections);
  return {};
}

model::CollectionName Collections::target_name(const model::CollectionName& source) const {
  auto name = target_.name_for(source);
  const auto chosen = names_.find(model::to_string(source));
  const auto chosen_short = names_.find(source.name);
  if (chosen != names_.end()) {
    name.name = chosen->second;
  } else if (chosen_short != names_.end()) {
    name.name = chosen_short->second;
  }
  return name;
}

Result<std::shared_ptr<const Collection>> Collections::make(const model::Schema& schema) const {
  auto plan =
      mapping::Plan::make(schema, source_.capabilities(), target_name(schema.name), target_.capabilities());
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
Result<void> Collections::keep(const protocols::Catalog& catalog, const ByKey& collections,
                               std::vector<journal::Row> with) {
  with.push_back({std::string(journal::rows::state), std::string(catalog_row), protocols::encode(catalog)});
  with.push_back(carried(collections));
  auto written = journal_.commit_rows(std::move(with));
  if (!written) return written.error().within("the catalog could not be kept");
  return {};
}

Result<void> Collections::publish(protocols::Catalog catalog) {
  auto collections = collections_of(catalog);
  if (!collections) return collections.error();
  return publish(std::move(catalog), std::move(*collections), {}, nullptr, nullptr);
}

Result<void> Collections::publish(protocols::Catalog catalog, ByKey collections,
                                  std::vector<journal::Row> with, const Collection* gone,
                                  const Collection* ours) {
  auto published = std::make_shared<const protocols::Catalog>(std::move(catalog));
  auto written = keep(*published, collections, std::move(with));
  if (!written) return written;
  VMPROXY_FAULT("catalog.kept");
  bool names_gone = false;
  {
    std::lock_guard hold(mutex_);
    for (const auto& [key, known] : collections_) names_gone = names_gone || !collections.contains(key);
    catalog_ = std::move(published);
    collections_ = std::move(collections);
    claims_are(gone, ours);
  }
  if (names_gone && source_says_ && gone_) gone_();
  return {};
}

Result<void> Collections::refresh(Deadline deadline, const Explained& explained) {
  std::unique_lock changing(write_mutex_, deadline);
  if (!changing) return asked_already();
  const auto settled = settled_doubts();  // before the source is asked
  auto refreshed = refresh_locked(deadline, explained);
  if (refreshed && settled) end_doubts(*settled);
  return refreshed;
}

Result<void> Collections::refresh_locked(Deadline deadline, const Explained& explained) {
  auto server = source_.describe_server(deadline);
  if (!server) return server.error().within("source");
  auto spaces = source_.list_spaces(deadline);
  if (!spaces) return spaces.error().within("source");
  auto listed = source_.list_all(deadline);
  if (!listed) return listed.error().within("source");
  // Whoever changes the catalog after this waits for us, and goes over what we publish.
  if (!source_says_) return not_for_the_source();
  if (auto kept = keep_left_out(std::move(listed->left_out)); !kept) return kept;
  const auto before = catalog();
  protocols::Catalog next;
  next.server = std::move(server->facts);
  next.spaces = std::move(*spaces);
  std::vector<std::string> reborn, gaps;
  for (auto& schema : listed->collections) {
    const model::Schema* known = before->find(schema.name);
    const bool same = known != nullptr && known->native_id == schema.native_id;
    schema.incarnation = same ? known->incarnation : ++incarnations_;
    if (!same && included_(schema.name)) {
      const std::string key = model::to_string(schema.name);
      if (known != nullptr) reborn.push_back(key);
      auto noted = note_new(schema, known != nullptr, explained);
      if (!noted) return noted.error();
      if (!noted->empty()) gaps.push_back(std::move(*noted));
      VMPROXY_FAULT("catalog.gap");
    }
    next.collections.push_back(std::move(schema));
  }
  auto published = publish(std::move(next));
  if (!published) return published;
  for (const auto& key : reborn) {
    if (reborn_) reborn_(key);
  }
  // A comparison that began in between vouches for the gap, and did not know the collection: then it is another one.
  for (auto& what : gaps) {
    if (auto again = journal_.mark_gap(std::move(what)); !again) return again;
  }
  return {};
}

Result<std::string> Collections::note_new(const model::Schema& schema, bool reborn,
                                          const Explained& explained) {
  const std::string key = model::to_string(schema.name);
  const auto made = make(schema);
  std::string what;
  if (reborn || (made && claimed(**made))) {
    what =
        "collection '" + key + "' was dropped and created again; the target holds records of its former life";
  } else if (!explained(schema)) {
    what = "collection '" + key + "' was made beside the proxy; what it held then was not copied";
  }
  if (what.empty()) return what;
  if (auto marked = journal_.mark_gap(what); !marked) return marked.error();
  return what;
}

Result<void> Collections::refresh_one(const model::CollectionName& name, Deadline deadline) {
  std::unique_lock changing(write_mutex_, deadline);
  if (!changing) return asked_already();
  auto described = source_.describe(name, deadline);
  if (!described) return described.error().within("source");
  if (!source_says_) return not_for_the_source();
  if (!*described) return remove_locked(name);
  const auto before = catalog();
  const model::Schema* known = before->find(name);
  const bool same = known != nullptr && known->native_id == (*described)->native_id;
  if (!same && included_(name)) {
    auto noted = note_new(**described, known != nullptr, [](const model::Schema&) { return true; });
    if (!noted) return noted.error();
    auto put = put_locked(std::move(**described), true);
    if (!put || noted->empty()) return put;
    return journal_.mark_gap(std::move(*noted));  // as in refresh_locked()
  }
  return put_locked(std::move(**described), !same);
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

Result<void> Collections::put(model::Schema schema, bool new_incarnation, Deadline deadline) {
  std::unique_lock changing(write_mutex_, deadline);
  if (!changing) return not_now();
  return put_locked(std::move(schema), new_incarnation);
}

Result<void> Collections::put(model::Schema schema, bool new_incarnation) {
  std::lock_guard changing(write_mutex_);
  return put_locked(std::move(schema), new_incarnation);
}

Result<void> Collections::put_locked(model::Schema schema, bool new_incarnation) {
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

Result<void> Collections::remove(const model::CollectionName& name, Deadline deadline) {
  std::unique_lock changing(write_mutex_, deadline);
  if (!changing) return not_now();
  return remove_locked(name);
}

Result<void> Collections::remove(const model::CollectionName& name) {
  std::lock_guard changing(write_mutex_);
  return remove_locked(name);
}

Result<void> Collections::remove_locked(const model::CollectionName& name) {
  protocols::Catalog next = *catalog();
  std::erase_if(next.collections, [&](const auto& known) { return known.name == name; });
  return publish(std::move(next));
}

Result<std::shared_ptr<const Collection>> Collections::planned(const model::CollectionName& from,
                                                               const model::Schema& schema) const {
  auto collections = collections_of(renamed(*catalog(), from, schema));
  if (!collections) return collections.error();
  const auto at = collections->find(model::to_string(schema.name));
  if (at == collections->end())
    return Error(Code::unsupported, "collection.excluded: the migration does not include the new name");
  return at->second;
}

Result<void> Collections::rename(const Collection& before, model::Schema schema,
                                 std::vector<journal::Row> rows, Deadline deadline) {
  std::unique_lock changing(write_mutex_, deadline);
  if (!changing) return not_now();
  schema.incarnation = ++incarnations_;
  const std::string key = model::to_string(schema.name);
  auto next = renamed(*catalog(), before.name, std::move(schema));
  auto collections = collections_of(next);
  if (!collections) return collections.error();
  const auto at = collections->find(key);
  if (at == collections->end())
    return Error(Code::unsupported, "collection.excluded: the migration does not include the new name");
  const auto after = at->second;
  std::lock_guard claiming(claims_mutex_);
  for (auto& row : rows_of_claims(&before, after.get())) rows.push_back(std::move(row));
  return publish(std::move(next), std::move(*collections), std::move(rows), &before, after.get());
}

Result<void> Collections::drop(const Collection& gone, std::vector<journal::Row> rows) {
  std::lock_guard changing(write_mutex_);
  protocols::Catalog next = *catalog();
  std::erase_if(next.collections, [&](const auto& known) { return known.name == gone.name; });
  auto collections = collections_of(next);
  if (!collections) return collections.error();
  std::lock_guard claiming(claims_mutex_);
  for (auto& row : rows_of_claims(&gone, nullptr)) rows.push_back(std::move(row));
  return publish(std::move(next), std::move(*collections), std::move(rows), &gone, nullptr);
}

Result<void> Collections::put_space(protocols::Space space, Deadline deadline) {
  std::unique_lock changing(write_mutex_, deadline);
  if (!changing) return not_now();
  protocols::Catalog next = *catalog();
  std::erase_if(next.spaces, [&](const auto& known) { return known.path == space.path; });
  next.spaces.push_back(std::move(space));
  return publish(std::move(next));
}

Result<void> Collections::remove_space(const std::string& path, Deadline deadline) {
  std::unique_lock changing(write_mutex_, deadline);
  if (!changing) return not_now();
  protocols::Catalog next = *catalog();
  std::erase_if(next.spaces, [&](const auto& known) { return known.path == path; });
  std::erase_if(next.collections, [&](const auto& known) { return known.name.space == path; });
  return publish(std::move(next));
}

}  // namespace vmproxy::proxy
