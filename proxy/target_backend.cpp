#include "proxy/target_backend.h"

#include <algorithm>
#include <future>

#include "base/log.h"
#include "journal/rows.h"
#include "model/codec.h"
#include "proxy/images.h"

namespace vmproxy::proxy {

using Kind = model::Write::Kind;

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

Result<std::shared_ptr<const Collection>> TargetBackend::collection(const model::CollectionName& name) const {
  auto found = context_.collections.find(model::to_string(name));
  // Before a promotion the source answers for what is not claimed.
  if (found && (routing_->primary == Side::source || context_.collections.claimed(*found))) return found;
  if (!found) return whole(name);
  auto turn = context_.keys.line_up({turn_of(name)});
  if (!turn.wait(deadline_))
    return Error(Code::cancelled,
                 "'" + model::to_string(name) + "' is being created or dropped, and that takes too long");
  return whole(name);
}

Result<std::shared_ptr<const Collection>> TargetBackend::whole(const model::CollectionName& name) const {
  auto found = context_.collections.find(model::to_string(name));
  if (!found)
    return Error(Code::not_found,
                 "collection '" + model::to_string(name) + "' is not part of this migration");
  // A crash came while it was being made.
  if (routing_->primary == Side::target && !context_.collections.claimed(*found)) {
    auto ours = context_.collections.create_on_target(*found, deadline_);
    if (!ours) return ours.error();
  }
  return found;
}

Result<model::QueryResult> TargetBackend::query(const model::Query& query) {
  auto found = collection(query.collection);
  if (!found) return found.error();
  return context_.transfer.query(Side::target, **found, query, deadline_);
}

Result<std::vector<model::Key>> TargetBackend::matching(const Collection& collection,
                                                        const model::Write& write) {
  model::Query query;
  query.kind = model::Query::Kind::get;
  query.collection = collection.name;
  query.filter = write.filter;
  query.partitions = write.partitions;
  if (!write.keys.empty()) query.keys = write.keys;
  query.limit = write.limit;
  query.with_document = false;
  query.with_metadata = false;
  auto found = context_.transfer.query(Side::target, collection, query, deadline_);
  if (!found) return found.error();
  std::vector<model::Key> keys;
  for (auto& record : found->records) keys.push_back(std::move(record.key));
  return keys;
}

Result<TargetBackend::State> TargetBackend::current(const Collection& collection,
                                                    const std::vector<model::Key>& keys) {
  State state;
  for (const auto& key : keys) state[model::encode(key)] = std::nullopt;
  auto records = context_.transfer.read(Side::target, collection, keys, deadline_);
  if (!records) return records.error();
  for (auto& record : *records) state[model::encode(record.key)] = std::move(record);
  return state;
}

Result<model::WriteResult> TargetBackend::write(const model::Write& write) {
  if (const std::string key = model::to_string(write.collection); context_.renames.should_look(key)) {
    context_.renames.settle(key, *routing_, deadline_);
  }
  auto found = collection(write.collection);
  if (!found) return found.error();
  const Collection& c = **found;
  std::vector<model::Key> keys = write.keys;
  for (const auto& patch : write.patches) keys.push_back(patch.key);
  if (write.kind == Kind::delete_where) {
    auto hit = matching(c, write);
    if (!hit) return hit.error();
    keys = std::move(*hit);
  }
  std::vector<std::string> names;
  for (const auto& key : keys) names.push_back(c.key + '\0' + model::encode(key));
  auto turn = context_.keys.line_up(std::move(names));
  if (!turn.wait(deadline_)) return Error(Code::cancelled, "other writes of the same record took too long");

  model::WriteResult result;
  std::vector<journal::Image> images;
  if (write.kind == Kind::delete_where) {
    // Again, now that nobody else can write these records.
    model::Write again = write;
    again.keys = keys;
    auto hit = keys.empty() ? Result<std::vector<model::Key>>(std::vector<model::Key>()) : matching(c, again);
    if (!hit) return hit.error();
    for (auto& key : *hit) images.push_back({key, std::nullopt});
    result.deleted = std::move(*hit);
    result.affected = images.size();
  } else if (write.kind == Kind::delete_keys) {
    for (const auto& key : keys) images.push_back({key, std::nullopt});
    result.affected = images.size();
  } else {
    State state;
    if (write.kind != Kind::replace) {
      auto read = current(c, keys);
      if (!read) return read.error();
      state = std::move(*read);
    }
    std::map<std::string, size_t> changed;  // encoded key -> index in images
    for (const auto& patch : write.patches) {
      const std::string name = model::encode(patch.key);
      auto& before = state[name];
      if (write.kind == Kind::insert && before) {
        return Error(Code::already_exists, "record '" + model::to_string(patch.key.id) + "' exists already");
      }
      if (write.kind == Kind::insert_if_absent && before) continue;
      if (write.kind == Kind::update_existing && !before) continue;
      const model::Record base =
          before && write.kind != Kind::replace ? *before : model::Record{patch.key, {}, {}, {}};
      before = model::apply(patch, base);
      const auto [at, fresh] = changed.emplace(name, images.size());
      if (fresh) {
        images.push_back({patch.key, before});
        ++result.affected;
      } else {
        images[at->second].record = before;
      }
    }
  }
  if (images.empty()) return result;
  auto done = execute(c, images);
  if (!done) return done.error();
  return result;
}

Result<void> TargetBackend::send(const Collection& c, const std::vector<journal::Image>& images,
                                 std::vector<model::Outcome>& items) {
  std::vector<model::Record> records;
  std::vector<size_t> record_index;
  std::vector<model::Key> gone;
  std::vector<size_t> gone_index;
  for (size_t i = 0; i < images.size(); ++i) {
    if (images[i].record) {
      records.push_back(*images[i].record);
      record_index.push_back(i);
    } else {
      gone.push_back(images[i].key);
      gone_index.push_back(i);
    }
  }
  items.assign(images.size(), model::Outcome::uncertain);
  std::optional<Error> refused;
  const auto account = [&](const Result<protocols::ApplyResult>& applied,
                           const std::vector<size_t>& index) -> Result<void> {
    if (!applied) {
      for (const size_t i : index)
        items[i] = applied.error().surely_not_done() ? model::Outcome::rejected : model::Outcome::uncertain;
      return applied.error();
    }
    for (const size_t i : index) items[i] = model::Outcome::applied;
    for (const auto& refusal : applied->refused) {
      items[index[refusal.index]] =
          refusal.error.surely_not_done() ? model::Outcome::rejected : model::Outcome::uncertain;
      refused = refusal.error;
    }
    return {};
  };
  Result<void> sent;
  if (!records.empty()) {
    sent = account(
        context_.transfer.upsert(Side::target, c, records, protocols::UpsertMode::replace_all, deadline_),
        record_index);
  }
  if (sent && !gone.empty()) {
    sent = account(context_.transfer.erase(Side::target, c, gone, deadline_), gone_index);
  } else if (!sent) {
    for (const size_t i : gone_index) items[i] = model::Outcome::rejected;  // never sent
  }
  if (sent && refused) sent = *refused;
  if (sent) return sent;
  // The application must not be told that nothing was done once a part of it is, or may be.
  return sent.error().not_whole(
      std::ranges::any_of(items, [](model::Outcome item) { return item != model::Outcome::rejected; }));
}

Result<void> TargetBackend::execute(const Collection& c, const std::vector<journal::Image>& images) {
  did_something_ = true;
  std::vector<model::Outcome> items;
  if (routing_->finalized) return send(c, images, items);
  std::vector<model::Key> keys;
  for (const auto& image : images) keys.push_back(image.key);
  Ticket ticket = context_.mirror.begin_keyed(*routing_, operation_, c.name, std::move(keys),
                                              journal::IntentClass::image);
  journal::IntentBody body;
  body.body = encode_images(images);
  std::promise<Result<journal::Seq>> promise;
  context_.mirror.journal(ticket, std::move(body),
                          [&promise](Result<journal::Seq> seq) { promise.set_value(std::move(seq)); });
  auto seq = promise.get_future().get();
  if (!seq) {
    // After promotion the journal is what makes a rollback lossless: without it the write is refused, unless the user
    // chose to go on and have the gap marked.
    if (context_.options.refuse_on_capture_failure ||
        !context_.journal.mark_gap("the journal could not be written")) {
      context_.mirror.drop(std::move(ticket));
      return seq.error().within("the write was not done: the journal cannot be written");
    }
  } else {
    ticket.seq = *seq;
  }
  auto sent = send(c, images, items);
  journal::OutcomeRecord outcome;
  outcome.whole =
      sent ? model::Outcome::applied
           : (sent.error().surely_not_done() ? model::Outcome::rejected : model::Outcome::uncertain);
  outcome.items = std::move(items);
  context_.mirror.finish(std::move(ticket), std::move(outcome));
  return sent;
}

void TargetBackend::renew_catalog() {
  did_something_ = true;
  older_.push_back(std::move(catalog_));
  catalog_ = context_.collections.catalog();
}

void TargetBackend::note_ddl(const std::string& what) {
  if (routing_->finalized) return;
  // Shown at rollback: the source does not have this. Synced while the change is inside the gate: the fence of a rollback,
  // which waits for it, looks at what is on the disk.
  auto kept = context_.journal.commit_rows({{std::string(journal::rows::state), "ddl/" + what, ""}});
  if (!kept)
    (void)context_.journal.mark_gap("a change of collections after the promotion could not be noted: " +
                                    what);
}

void TargetBackend::take_back_ddl(const std::string& what) {
  (void)context_.journal.commit_rows(
      {{std::string(journal::rows::state), "ddl/" + what, std::nullopt}});  // else it says too much
}

bool TargetBackend::dropped_before(const model::CollectionName& name) {
  if (routing_->finalized) return false;
  const auto row = context_.journal.row(journal::rows::state, "ddl/dropped " + model::to_string(name));
  if (!row || !*row) return false;
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
    if (const std::string key = model::to_string(name); context_.renames.open(key))
      context_.renames.settle(key, *routing_, deadline_);
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
  // Both before anything is made: a crash may come at any time.
  const std::string note = "created " + key;
  note_ddl(note);
  if (dropped_before(schema.name)) {
    (void)context_.journal.mark_gap(
        "collection '" + key +
        "' was dropped and created again after the promotion; the source holds records of its former life");
  }
  auto put = context_.collections.put(schema, true, deadline_);
  if (!put) {
    take_back_ddl(note);
    return put.error();
  }
  const auto made = context_.collections.find(key);
  auto created = create_on_target(*made);
  if (!created) {
    (void)context_.collections.remove(schema.name);
    if (created.error().surely_not_done()) take_back_ddl(note);
    return created.error();
  }
  renew_catalog();
  return made->plan->source();
}

Result<void> TargetBackend::create_on_target(const Collection& made) {
  // Also what a create left whose answer was lost: it is there, holds nothing, and is claimed now.
  if (!context_.collections.claimed(made)) return context_.collections.create_on_target(made, deadline_);
  auto& target = context_.transfer.driver(Side::target);
  auto created = target.create(made.plan->target(), deadline_);
  if (created || created.error().code != Code::already_exists) return created;
  // Ours, and of no collection that is left: what the application dropped before the promotion, when drops were not mirrored.
  auto dropped = target.drop(made.plan->target().name, deadline_);
  if (!dropped) return dropped;
  return target.create(made.plan->target(), deadline_);
}

Result<model::Schema> TargetBackend::drop(const Collection& gone) {
  context_.mirror.pause(gone.key);
  auto dropped = context_.transfer.driver(Side::target).drop(gone.plan->target().name, deadline_);
  if (dropped || dropped.error().code == Code::not_found) {
    context_.mirror.forget(gone.key);
    (void)context_.collections.release(gone);  // before somebody can make it anew
    (void)context_.collections.remove(gone.name);
    dropped = Result<void>();
    note_ddl("dropped " + gone.key);
  }
  context_.mirror.resume(gone.key);
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

Result<void> TargetBackend::alter_in_place(const Collection& before, const model::Schema& schema,
                                           bool& undone) {
  auto put = context_.collections.put(schema, false, deadline_);
  if (!put) return put;
  const auto now = context_.collections.find(before.key);
  Result<void> altered;
  if (!now->plan->keys_as_in(*before.plan)) {
    altered = Error(
        Code::unsupported,
        "collection.keys: the records that are there were stored under other keys than this change asks for");
  } else {
    altered = context_.transfer.driver(Side::target)
                  .alter(before.plan->target().name, now->plan->target(), deadline_);
  }
  if (!altered) undone = context_.collections.put(before.plan->source(), false).has_value();
  return altered;
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

model::Uuid TargetBackend::new_uuid() {
  model::Uuid uuid;
  for (size_t i = 0; i < 16; i += 8) {
    const uint64_t random = context_.random.next();
    for (size_t j = 0; j < 8; ++j) uuid.bytes[i + j] = static_cast<uint8_t>(random >> (8 * j));
  }
  uuid.bytes[6] = static_cast<uint8_t>((uuid.bytes[6] & 0x0f) | 0x40);
  uuid.bytes[8] = static_cast<uint8_t>((uuid.bytes[8] & 0x3f) | 0x80);
  return uuid;
}

}  // namespace vmproxy::proxy
