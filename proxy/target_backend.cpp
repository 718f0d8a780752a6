#include "proxy/target_backend.h"

#include <algorithm>
#include <future>

#include "base/fault.h"
#include "model/codec.h"
#include "proxy/images.h"

namespace vmproxy::proxy {

using Kind = model::Write::Kind;

namespace {

// All writes of the target go through its driver, the mirror's and ours.
constexpr auto consistency = model::Consistency::session;

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
  model::Query asked = query;
  asked.consistency = consistency;
  return context_.transfer.query(Side::target, **found, asked, deadline_);
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
  query.consistency = consistency;
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
  auto records = context_.transfer.read(Side::target, collection, keys, deadline_, consistency);
  if (!records) return records.error();
  for (auto& record : *records) state[model::encode(record.key)] = std::move(record);
  return state;
}

Result<model::WriteResult> TargetBackend::write(const model::Write& write) {
  const std::string into = model::to_string(write.collection);
  if (context_.renames.should_look(into)) context_.renames.settle(into, *routing_, deadline_);
  if (context_.drops.should_look(into)) context_.drops.settle(into, *routing_, deadline_);
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
  // What has the name by now, if anything, is not what the dialect took it for.
  const auto now = context_.collections.find(c.key);
  if (!now || now->plan->source().incarnation != c.plan->source().incarnation) {
    overtaken_ = !did_something_;
    return Error(Code::cancelled,
                 "another request has dropped or renamed collection '" + c.key + "' just now, ask again")
        .not_whole(did_something_);
  }
  // It is about to be dropped (drop_empty), by somebody who waits for our turn to end.
  if (routing_->primary == Side::target && !context_.collections.claimed(c)) {
    std::optional<KeyQueue::Turn> given_back(std::move(turn));
    given_back.reset();
    return this->write(write);
  }

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
  // The target may do it late, when others have written what was not there: an insert leaves that alone, where there is one.
  const bool inserts = write.kind == Kind::insert || write.kind == Kind::insert_if_absent;
  auto done =
      execute(c, images, inserts ? protocols::UpsertMode::insert_all : protocols::UpsertMode::replace_all);
  if (!done) return done.error();
  return result;
}

Result<void> TargetBackend::send(const Collection& c, const std::vector<journal::Image>& images,
                                 protocols::UpsertMode mode, std::vector<model::Outcome>& items) {
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
    sent = account(context_.transfer.upsert(Side::target, c, records, mode, deadline_), record_index);
  }
  if (sent && !records.empty() && !gone.empty()) VMPROXY_FAULT("target.half");
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

Result<void> TargetBackend::execute(const Collection& c, const std::vector<journal::Image>& images,
                                    protocols::UpsertMode mode) {
  did_something_ = true;
  std::vector<model::Outcome> items;
  if (routing_->finalized) return send(c, images, mode, items);
  std::vector<model::Key> keys;
  for (const auto& image : images) keys.push_back(image.key);
  Ticket ticket = context_.mirror.begin_keyed(*routing_, operation_, c.name, std::move(keys),
                                              journal::IntentClass::image);
  VMPROXY_FAULT("target.begun");
  journal::IntentBody body;
  body.body = encode_images(images);
  std::promise<Result<journal::Seq>> promise;
  context_.mirror.journal(ticket, std::move(body),
                          [&promise](Result<journal::Seq> seq) { promise.set_value(std::move(seq)); });
  auto seq = promise.get_future().get();
  if (!seq) {
    // After promotion the journal is what makes a rollback lossless: without it the write is refused, unless the user
    // chose to go on and have the gap marked.
    ticket.unjournaled = std::make_shared<Unjournaled>(context_.mirror, ticket.primary);
    if (context_.options.refuse_on_capture_failure ||
        !context_.journal.mark_gap("the journal could not be written")) {
      context_.mirror.drop(std::move(ticket));
      return seq.error().within("the write was not done: the journal cannot be written");
    }
  } else {
    ticket.seq = *seq;
  }
  VMPROXY_FAULT("target.intended");
  Result<void> sent;
  try {
    sent = send(c, images, mode, items);
  } catch (...) {
    // No memory for the answer, say: the write may be done.
    context_.mirror.finish(std::move(ticket), {model::Outcome::uncertain, {}, {}});
    throw;
  }
  if (VMPROXY_FAULT_HIT("target.sent").drops) {
    sent = Error(Code::connection_lost, "the target's answer was lost");
    items.assign(images.size(), model::Outcome::uncertain);
  }
  journal::OutcomeRecord outcome;
  outcome.whole =
      sent ? model::Outcome::applied
           : (sent.error().surely_not_done() ? model::Outcome::rejected : model::Outcome::uncertain);
  outcome.items = std::move(items);
  if (sent) {
    context_.mirror.finish(std::move(ticket), std::move(outcome));
    VMPROXY_FAULT("target.finished");
    return sent;
  }
  // An intent without an outcome may be written to the source when the target is dead (Entry::journaled): nobody is told of a
  // refusal that a kill could take away.
  std::promise<Result<void>> promised;
  context_.mirror.finish(std::move(ticket), std::move(outcome),
                         [&promised](Result<void> kept) { promised.set_value(std::move(kept)); });
  const auto kept = promised.get_future().get();
  VMPROXY_FAULT("target.finished");
  if (!kept && sent.error().surely_not_done()) {
    return Error(Code::unavailable,
                 sent.error().message +
                     "; the journal could not record that it was not done: should vmproxy end "
                     "before it can, a rollback may write it (" +
                     kept.error().message + ")");
  }
  return sent;
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
