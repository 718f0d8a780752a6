#include "proxy/collections.h"

#include <algorithm>
#include <iterator>

#include "base/fault.h"
#include "base/log.h"
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
  auto carried = load_carried();
  if (!carried) return carried.error();
  std::set<std::string> moved_before;
  if (*carried) {
    for (const auto& [key, was] : **carried) moved_before.insert(key);
  }
  auto plans = plans_of(*catalog, moved_before);
  if (!plans) return plans.error();
  if (*carried) compare(**carried, plans->moved);
  std::lock_guard hold(mutex_);
  catalog_ = std::make_shared<const protocols::Catalog>(std::move(*catalog));
  collections_ = std::move(plans->moved);
  refused_ = std::move(plans->refused);
  return {};
}

// In one step: what the next start compares its own plans with are the plans for this very catalog.
Result<void> Collections::keep(const protocols::Catalog& catalog, const Plans& plans,
                               std::vector<journal::Row> with) {
  with.push_back({std::string(journal::rows::state), std::string(catalog_row), protocols::encode(catalog)});
  with.push_back(carried(plans.moved));
  with.push_back(row_of_refused(plans.refused));
  auto written = journal_.commit_rows(std::move(with));
  if (!written) return written.error().within("the catalog could not be kept");
  return {};
}

Result<void> Collections::publish(protocols::Catalog catalog) {
  auto plans = plans_of(catalog);
  if (!plans) return plans.error();
  return publish(std::move(catalog), std::move(*plans), {}, nullptr, nullptr);
}

Result<void> Collections::publish(protocols::Catalog catalog, Plans plans, std::vector<journal::Row> with,
                                  const Collection* gone, const Collection* ours) {
  auto published = std::make_shared<const protocols::Catalog>(std::move(catalog));
  auto written = keep(*published, plans, std::move(with));
  if (!written) return written;
  VMPROXY_FAULT("catalog.kept");
  bool names_gone = false;
  std::vector<protocols::LeftOut> left_out;  // now, and not before
  {
    std::lock_guard hold(mutex_);
    for (const auto& [key, known] : collections_) names_gone = names_gone || !plans.moved.contains(key);
    std::ranges::copy_if(plans.refused, std::back_inserter(left_out),
                         [&](const auto& one) { return std::ranges::find(refused_, one) == refused_.end(); });
    catalog_ = std::move(published);
    collections_ = std::move(plans.moved);
    refused_ = std::move(plans.refused);
    claims_are(gone, ours);
  }
  for (const auto& one : left_out)
    log::warn("a collection that the target cannot hold is left out",
              {{"name", model::to_string(one.name)}, {"why", one.why}, {"remedy", one.remedy}});
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
  std::vector<std::string> reborn;
  for (auto& schema : listed->collections) {
    const model::Schema* known = before->find(schema.name);
    const bool same = known != nullptr && known->native_id == schema.native_id;
    schema.incarnation = same ? known->incarnation : ++incarnations_;
    if (!same && known != nullptr && included_(schema.name)) reborn.push_back(model::to_string(schema.name));
    next.collections.push_back(std::move(schema));
  }
  return take_over(std::move(next), explained, reborn);
}

Result<void> Collections::take_over(protocols::Catalog next, const Explained& explained,
                                    const std::vector<std::string>& reborn) {
  auto plans = plans_of(next);
  if (!plans) return plans.error();
  if (rekeyed_ && rekeys(plans->moved)) rekeyed_();
  const auto gaps = gaps_of(next, plans->moved, explained);
  for (const auto& what : gaps) {
    if (auto marked = journal_.mark_gap(what); !marked) return marked;
  }
  VMPROXY_FAULT("catalog.gap");
  auto published = publish(std::move(next), std::move(*plans), {}, nullptr, nullptr);
  if (!published) return published;
  for (const auto& key : reborn) {
    if (reborn_) reborn_(key);
  }
  // A comparison that began in between vouches for the gap, and did not know what it is about: then it is another one.
  for (const auto& what : gaps) {
    if (auto again = journal_.mark_gap(what); !again) return again;
  }
  return {};
}

Result<void> Collections::refresh_one(const model::CollectionName& name, Deadline deadline) {
  std::unique_lock changing(write_mutex_, deadline);
  if (!changing) return asked_already();
  auto described = source_.describe(name, deadline);
  if (!described) return described.error().within("source");
  if (!source_says_) return not_for_the_source();
  const auto before = catalog();
  const model::Schema* known = before->find(name);
  const bool same = known != nullptr && *described && known->native_id == (*described)->native_id;
  return take_over(*described ? with(std::move(**described), !same) : without(name),
                   [](const model::Schema&) { return true; }, {});
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

protocols::Catalog Collections::with(model::Schema schema, bool new_incarnation) {
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
  return next;
}

Result<void> Collections::put_locked(model::Schema schema, bool new_incarnation) {
  return publish(with(std::move(schema), new_incarnation));
}

Result<void> Collections::remove(const model::CollectionName& name, Deadline deadline) {
  std::unique_lock changing(write_mutex_, deadline);
  if (!changing) return not_now();
  return publish(without(name));
}

Result<void> Collections::remove(const model::CollectionName& name) {
  std::lock_guard changing(write_mutex_);
  return publish(without(name));
}

protocols::Catalog Collections::without(const model::CollectionName& name) const {
  protocols::Catalog next = *catalog();
  std::erase_if(next.collections, [&](const auto& known) { return known.name == name; });
  return next;
}

Result<std::shared_ptr<const Collection>> Collections::planned(const model::CollectionName& from,
                                                               const model::Schema& schema) const {
  auto plans = plans_of(renamed(*catalog(), from, schema));
  if (!plans) return plans.error();
  const auto at = plans->moved.find(model::to_string(schema.name));
  if (at == plans->moved.end())
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
  auto plans = plans_of(next);
  if (!plans) return plans.error();
  const auto at = plans->moved.find(key);
  if (at == plans->moved.end())
    return Error(Code::unsupported, "collection.excluded: the migration does not include the new name");
  const auto after = at->second;
  std::lock_guard claiming(claims_mutex_);
  for (auto& row : rows_of_claims(&before, after.get())) rows.push_back(std::move(row));
  return publish(std::move(next), std::move(*plans), std::move(rows), &before, after.get());
}

Result<void> Collections::drop(const Collection& gone, std::vector<journal::Row> rows) {
  std::lock_guard changing(write_mutex_);
  auto next = without(gone.name);
  auto plans = plans_of(next);
  if (!plans) return plans.error();
  std::lock_guard claiming(claims_mutex_);
  for (auto& row : rows_of_claims(&gone, nullptr)) rows.push_back(std::move(row));
  return publish(std::move(next), std::move(*plans), std::move(rows), &gone, nullptr);
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
