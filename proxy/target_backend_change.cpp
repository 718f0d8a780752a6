// Changes of collections, partitions and spaces after the promotion: made on the target, noted for a rollback.
#include <algorithm>
#include <utility>

#include "base/fault.h"
#include "journal/rows.h"
#include "model/codec.h"
#include "proxy/target_backend.h"

namespace vmproxy::proxy {
namespace {

std::vector<std::string> only_in(const model::Schema& here, const model::Schema& there) {
  std::vector<std::string> partitions;
  for (const auto& name : here.partitions) {
    if (!name.empty() && std::ranges::find(there.partitions, name) == there.partitions.end())
      partitions.push_back(name);
  }
  return partitions;
}

std::string drop_of(const std::string& partition, const std::string& collection) {
  return "dropped partition '" + partition + "' of '" + collection + "'";
}

}  // namespace

void TargetBackend::renew_catalog() {
  did_something_ = true;
  older_.push_back(std::move(catalog_));
  catalog_ = context_.collections.catalog();
}

void TargetBackend::await_writes(const std::string& key) {
  (void)context_.keys.wait_for_all(key + '\0',
                                   std::min(deadline_, context_.clock.in(std::chrono::seconds(2))));
}

void TargetBackend::note_ddl(const std::string& what) {
  if (routing_->finalized) return;
  // Shown at rollback: the source does not have this. Synced while the change is inside the gate: the fence of a rollback,
  // which waits for it, looks at what is on the disk.
  auto kept = context_.journal.commit_rows({{std::string(journal::rows::state), "ddl/" + what, ""}});
  if (!kept)
    context_.journal.record_gap("a change of collections after the promotion could not be noted: " + what);
}

void TargetBackend::take_back_ddl(const std::string& what) {
  (void)context_.journal.commit_rows(
      {{std::string(journal::rows::state), "ddl/" + what, std::nullopt}});  // else it says too much
}

bool TargetBackend::noted_ddl(const std::string& what) {
  const auto row = context_.journal.row(journal::rows::state, "ddl/" + what);
  return !row || *row;  // what the disk does not say may be
}

bool TargetBackend::dropped_before(const model::CollectionName& name) {
  if (routing_->finalized || !noted_ddl("dropped " + model::to_string(name))) return false;
  const auto there = context_.transfer.driver(Side::source)
                         .describe(name, std::min(deadline_, context_.clock.in(std::chrono::seconds(2))));
  return !there || *there;
}

Result<model::Schema> TargetBackend::change(const model::SchemaChange& change) {
  using Change = model::SchemaChange::Kind;
  if (change.kind != Change::create_collection && change.kind != Change::drop_collection &&
      change.kind != Change::alter_collection) {
    return Error(Code::unsupported, "ddl.kind: this change cannot be made on the target");
  }
  std::vector<model::CollectionName> names;
  if (change.kind != Change::create_collection) names.push_back(change.name);
  if (change.kind != Change::drop_collection) names.push_back(change.schema.name);
  std::vector<std::string> turns;
  for (const auto& name : names) {
    const std::string key = model::to_string(name);
    if (context_.renames.open(key)) context_.renames.settle(key, *routing_, deadline_);
    // Another drop is the answer to a drop without one.
    if (change.kind != Change::drop_collection) context_.drops.settle(key, *routing_, deadline_);
    turns.push_back(turn_of(name));
  }
  auto turn = context_.keys.line_up(std::move(turns));
  if (!turn.wait(deadline_))
    return Error(Code::cancelled, "other changes of the same collection took too long");
  for (const auto& name : names) {
    if (!context_.renames.open(model::to_string(name))) continue;
    return Error(Code::cancelled, "a rename from or to '" + model::to_string(name) +
                                      "' had no answer from the target, and may still be done; "
                                      "nothing was changed, ask again in a minute");
  }
  if (change.kind == Change::create_collection) return create(change.schema);
  auto found = whole(change.name);
  if (!found) return found.error();
  return change.kind == Change::drop_collection ? drop(**found) : alter(**found, change.schema);
}

Result<model::Schema> TargetBackend::create(const model::Schema& schema) {
  if (!context_.collections.included(schema.name)) {
    return Error(Code::unsupported, "collection.excluded: the migration does not include it");
  }
  const std::string key = model::to_string(schema.name);
  if (context_.collections.find(key)) {
    // Made by another request since ours looked.
    auto there = whole(schema.name);
    if (!there) return there.error();
    renew_catalog();
    return (*there)->plan->source();
  }
  await_writes(key);
  // Both before anything is made: a crash may come at any time.
  const std::string note = "created " + key;
  note_ddl(note);
  VMPROXY_FAULT("create.noted");
  if (dropped_before(schema.name)) {
    context_.journal.record_gap(
        "collection '" + key +
        "' was dropped and created again after the promotion; the source holds records of its former life");
  }
  auto done = clear_remains(schema);
  if (done) done = context_.collections.put(schema, true, deadline_);
  if (!done) {
    take_back_ddl(note);
    return done.error();
  }
  VMPROXY_FAULT("create.kept");
  const auto made = context_.collections.find(key);
  auto created = context_.collections.create_on_target(*made, deadline_);
  if (created && VMPROXY_FAULT_HIT("create.made").drops)
    created = Error(Code::connection_lost, "the target's answer was lost");
  if (!created) {
    (void)context_.collections.remove(schema.name);
    if (created.error().surely_not_done()) take_back_ddl(note);
    return created.error();
  }
  renew_catalog();
  return made->plan->source();
}

// Ours, and of no collection that is left: what the application dropped before the promotion, when drops were not mirrored. It
// goes, and so does its claim, before the catalog has the new one: a crash in between must not make the new one's of it.
Result<void> TargetBackend::clear_remains(const model::Schema& schema) {
  const auto planned = context_.collections.planned(schema.name, schema);
  if (!planned || !context_.collections.claimed(**planned))
    return {};  // what is wrong with the plan, put() says
  auto dropped = context_.transfer.driver(Side::target).drop((*planned)->plan->target().name, deadline_);
  if (!dropped && dropped.error().code != Code::not_found) return dropped;
  VMPROXY_FAULT("create.cleared");
  return context_.collections.release(**planned);
}

Result<model::Schema> TargetBackend::drop(const Collection& gone) {
  auto dropped = context_.drops.drop(gone, *routing_, deadline_);
  if (!dropped) return dropped.error();
  renew_catalog();
  return gone.plan->source();
}

Result<model::Schema> TargetBackend::alter(const Collection& before, const model::Schema& schema) {
  const bool renamed = !(schema.name == before.name);
  if (renamed && !context_.collections.included(schema.name)) {
    return Error(Code::unsupported, "collection.excluded: the migration does not include the new name");
  }
  if (renamed && context_.collections.find(model::to_string(schema.name))) {
    return Error(Code::already_exists,
                 "another collection has the name '" + model::to_string(schema.name) + "'");
  }
  // What the dialect worked out from an older snapshot would undo what another request has changed since.
  const auto* asked = catalog_->find(before.name);
  const std::string now_there = model::encode_schema(before.plan->source());
  if (asked == nullptr || model::encode_schema(*asked) != now_there) {
    if (model::encode_schema(schema) == now_there) {  // it has done the same
      renew_catalog();
      return before.plan->source();
    }
    overtaken_ = !did_something_;
    return Error(Code::cancelled, "another request has changed collection '" + before.key +
                                      "' just now; nothing was changed, ask again");
  }
  // Before it is: a crash in between leaves a note too many. The source keeps the partition, empty.
  const auto dropped = only_in(before.plan->source(), schema);
  for (const auto& name : dropped) note_ddl(drop_of(name, before.key));
  VMPROXY_FAULT("alter.noted");
  if (renamed) {
    await_writes(before.key);
    await_writes(model::to_string(schema.name));
  }
  bool undone = false;
  auto altered = renamed ? context_.renames.rename(before, schema, *routing_, deadline_)
                         : alter_in_place(before, schema, undone);
  if (!altered) {
    // What the catalog has again the source has, too, and it is as empty there: also when nobody knows what the target did.
    if (undone || altered.error().surely_not_done()) {
      for (const auto& name : dropped) take_back_ddl(drop_of(name, before.key));
    }
    return altered.error();
  }
  const auto now = context_.collections.find(model::to_string(schema.name));
  // Its records went first, on both sides: the source's is as empty as this one.
  for (const auto& name : only_in(now->plan->source(), before.plan->source()))
    take_back_ddl(drop_of(name, now->key));
  renew_catalog();
  return now->plan->source();
}

// The target first: a crash in between leaves the catalog behind it, and who asks again is not told that it was done.
Result<void> TargetBackend::alter_in_place(const Collection& before, const model::Schema& schema,
                                           bool& undone) {
  undone = true;  // until the catalog may have it
  const auto now = context_.collections.planned(before.name, schema);
  if (!now) return now.error();
  if (!(*now)->plan->keys_as_in(*before.plan)) {
    return Error(
        Code::unsupported,
        "collection.keys: the records that are there were stored under other keys than this change asks for");
  }
  auto& target = context_.transfer.driver(Side::target);
  const model::Schema& wanted = (*now)->plan->target();
  const bool anew = target.capabilities().metric_fixed && !model::same_metrics(before.plan->target(), wanted);
  auto altered = anew ? drop_empty(before) : target.alter(before.plan->target().name, wanted, deadline_);
  if (VMPROXY_FAULT_HIT("alter.altered").drops)
    altered = Error(Code::connection_lost, "the target's answer was lost");
  if (!altered) return altered;
  undone = false;
  // However long it takes: the target has it.
  auto put = context_.collections.put(schema, false);
  VMPROXY_FAULT("alter.kept");
  if (!put)
    return put.error().within("the target has the change, and that could not be kept").not_whole(true);
  if (!anew) return {};
  auto made = context_.collections.create_on_target(**now, deadline_);
  if (!made) return made.error().within("it is made anew by the next call that needs it").not_whole(true);
  return {};
}

// Once it is given up, whoever needs it next makes it, as the catalog has it then: a crash or an error leaves nothing half done.
Result<void> TargetBackend::drop_empty(const Collection& before) {
  auto& target = context_.transfer.driver(Side::target);
  const auto holds_nothing = [&]() -> Result<void> {
    model::Query count;
    count.kind = model::Query::Kind::count;
    count.collection = before.name;
    count.consistency = model::Consistency::session;
    auto counted = context_.transfer.query(Side::target, before, count, deadline_);
    if (!counted) return counted.error();
    if (counted->count == 0) return {};
    return Error(Code::unsupported,
                 "index.metric: the collection holds records already and was made for another metric");
  };
  if (auto empty = holds_nothing(); !empty) return empty;
  const Duration lands = target.capabilities().max_zombie;
  if (auto given = context_.collections.give_up(before, deadline_ + lands); !given) return given;
  const auto keep = [&](const Error& why) {
    context_.collections.dropped(before);
    (void)context_.collections.claim(before);  // else whoever needs it next does
    return why;
  };
  // The turns of its records; who gets one from now on gives it back (write()).
  if (!context_.keys.wait_for_all(before.key + '\0', deadline_))
    return keep(Error(Code::cancelled, "other writes of the same collection took too long"));
  if (auto empty = holds_nothing(); !empty) return keep(empty.error());  // now that nobody writes
  auto dropped = target.drop(before.plan->target().name, deadline_);
  if (dropped || dropped.error().code == Code::not_found) {
    context_.collections.dropped(before);
    return {};
  }
  const Error why = dropped.error().within("dropping it, to make it anew for another metric");
  return why.surely_not_done() ? keep(why) : why;
}

Result<void> TargetBackend::change_space(model::SchemaChange::Kind kind, const protocols::Space& space) {
  Result<void> done;
  if (kind == model::SchemaChange::Kind::create_space) {
    done = context_.collections.put_space(space, deadline_);
    if (done) note_ddl("created space " + space.path);
  } else {
    const auto before = catalog_;
    for (const auto& schema : before->collections) {
      if (schema.name.space != space.path) continue;
      model::SchemaChange drop;
      drop.kind = model::SchemaChange::Kind::drop_collection;
      drop.name = schema.name;
      auto dropped = change(drop);
      if (!dropped) return dropped.error();
    }
    done = context_.collections.remove_space(space.path, deadline_);
    if (done) note_ddl("dropped space " + space.path);
  }
  renew_catalog();
  return done;
}

}  // namespace vmproxy::proxy
