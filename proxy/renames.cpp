#include "proxy/renames.h"

#include <vector>

#include "base/fault.h"
#include "base/log.h"
#include "journal/rows.h"
#include "model/codec.h"
#include "proxy/paused.h"

namespace vmproxy::proxy {
namespace {

constexpr std::string_view intent_rows = "rename/";  // + the old name -> the schema with the new one

journal::Row intent_row(const std::string& from, std::optional<std::string> value) {
  return {std::string(journal::rows::state), std::string(intent_rows) + from, std::move(value)};
}

// As people read it before a rollback.
journal::Row note_row(const std::string& from, const std::string& to, std::optional<std::string> value) {
  return {std::string(journal::rows::state), "ddl/renamed " + from + " to " + to, std::move(value)};
}

}  // namespace

std::string turn_of(const model::CollectionName& name) {
  return std::string("\0change\0", 8) + model::to_string(name);
}

Renames::Renames(journal::Journal& journal, Collections& collections, Transfer& transfer, Mirror& mirror,
                 KeyQueue& keys, Clock& clock)
    : journal_(journal),
      collections_(collections),
      transfer_(transfer),
      mirror_(mirror),
      keys_(keys),
      clock_(clock) {}

Result<void> Renames::load() {
  std::map<std::string, Intent> found;
  std::optional<Error> broken;
  const TimePoint lands_until = clock_.in(mirror_.window_of(Side::target));
  auto scanned = journal_.scan_rows(
      journal::rows::state, intent_rows, "", [&](std::string_view row, std::string_view value) {
        const std::string key(row.substr(intent_rows.size()));
        auto schema = model::decode_schema(value);
        if (!schema) {
          broken = schema.error().within("the rename of '" + key + "' in the state of the migration");
          return false;
        }
        const auto before = collections_.find(key);
        // One that is not included at present keeps its row.
        if (before) found.emplace(key, Intent{before->name, std::move(*schema), lands_until, {}});
        return true;
      });
  if (!scanned) return scanned;
  if (broken) return *broken;
  std::lock_guard hold(mutex_);
  intents_ = std::move(found);
  unanswered_ = intents_.size();
  return {};
}

Result<void> Renames::rename(const Collection& before, const model::Schema& schema, const Routing& routing,
                             Deadline deadline) {
  const auto after = collections_.planned(before.name, schema);
  if (!after) return after.error();
  if (!(*after)->plan->keys_as_in(*before.plan)) {
    return Error(
        Code::unsupported,
        "collection.keys: the records that are there were stored under other keys than this change asks for");
  }
  // Before the target is asked, so that no crash leaves a name that nobody knows of.
  std::vector<journal::Row> rows{intent_row(before.key, model::encode_schema(schema))};
  if (!routing.finalized) rows.push_back(note_row(before.key, (*after)->key, ""));
  {
    std::lock_guard hold(mutex_);
    intents_.insert_or_assign(before.key, Intent{before.name, schema, std::nullopt, {}});
  }
  if (auto intended = journal_.commit_rows(std::move(rows)); !intended) {
    take_back(before.key);  // it may be on the disk all the same
    return intended.error().within("the rename was not begun: the journal cannot be written");
  }
  // Its lanes wait: what is owed to the source under the old name stays owed until the target has answered (C6).
  const Paused paused(mirror_, before.key);
  Result<void> altered = Error(Code::refused_connection, "the target is away");
  try {
    if (!VMPROXY_FAULT_HIT("rename.intended").fails)
      altered = transfer_.driver(Side::target)
                    .alter(before.plan->target().name, (*after)->plan->target(), deadline);
    if (VMPROXY_FAULT_HIT("rename.altered").drops && altered)
      altered = Error(Code::connection_lost, "the target's answer was lost");
    if (altered) return finish(before, **after, routing, deadline);
  } catch (...) {  // no memory, no thread: nobody knows how it ended
    leave_open(before.key, clock_.in(mirror_.window_of(Side::target)));
    throw;
  }
  if (altered.error().surely_not_done()) {
    take_back(before.key);
  } else {
    leave_open(before.key, clock_.in(mirror_.window_of(Side::target)));
  }
  return altered;
}

Result<void> Renames::finish(const Collection& before, const Collection& after, const Routing& routing,
                             Deadline deadline) {
  const auto unfinished = [&](const Error& error) {
    leave_open(before.key, clock_.now());  // the target has answered: settle() goes on from here
    return error
        .within("'" + before.key + "' is called '" + after.key +
                "' on the target, and that could not be kept yet")
        .not_whole(true);
  };
  // A crash in between leaves a gap too many, and whatever is forgotten is covered by it.
  if (!routing.finalized) {
    auto marked = journal_.mark_gap("collection '" + before.key + "' was renamed to '" + after.key +
                                    "' after the promotion; the source has it under its old name");
    if (!marked) return unfinished(marked.error());
  }
  VMPROXY_FAULT("rename.gapped");
  mirror_.forget(before.key);
  auto renamed =
      collections_.rename(before, after.plan->source(), {intent_row(before.key, std::nullopt)}, deadline);
  if (!renamed) return unfinished(renamed.error());
  VMPROXY_FAULT("rename.kept");
  end(before.key);
  return {};
}

bool Renames::open(const std::string& key) const {
  if (unanswered_ == 0) return false;
  std::lock_guard hold(mutex_);
  for (const auto& [from, intent] : intents_) {
    if (intent.open_as(key)) return true;
  }
  return false;
}

bool Renames::should_look(const std::string& key) {
  if (unanswered_ == 0) return false;
  const TimePoint now = clock_.now();
  std::lock_guard hold(mutex_);
  for (auto& [from, intent] : intents_) {
    if (!intent.open_as(key) || now < intent.look_again) continue;
    intent.look_again = now + std::chrono::seconds(1);
    return true;
  }
  return false;
}

void Renames::settle(const std::string& key, const Routing& routing, Deadline deadline) {
  if (unanswered_ == 0) return;
  std::vector<std::string> wanted;
  {
    std::lock_guard hold(mutex_);
    for (const auto& [from, intent] : intents_) {
      if (key.empty() ? intent.lands_until.has_value() : intent.open_as(key)) wanted.push_back(from);
    }
  }
  for (const auto& from : wanted) settle_one(from, routing, deadline);
}

void Renames::settle_one(const std::string& key, const Routing& routing, Deadline deadline) {
  auto intent = find(key);
  if (!intent) return;
  auto turn = keys_.line_up({turn_of(intent->from), turn_of(intent->to.name)});
  if (!turn.wait(deadline)) return;
  intent = find(key);  // another may have settled it meanwhile
  if (!intent || !intent->lands_until) return;
  const auto before = collections_.find(key);
  // What has the names now is somebody else's, or the source has made its own: not ours to change.
  const bool other =
      !before || !collections_.claimed(*before) ||
      (routing.primary == Side::source && collections_.find(model::to_string(intent->to.name)));
  if (other) {
    take_back(key);
    return;
  }
  const auto after = collections_.planned(before->name, intent->to);
  if (!after) {
    log::warn("a rename whose answer was lost cannot be looked at",
              {{"collection", key}, {"error", after.error().message}});
    return;
  }
  auto& target = transfer_.driver(Side::target);
  const model::Schema& was = before->plan->target();
  const model::Schema& becomes = (*after)->plan->target();
  const bool may_land = clock_.now() < *intent->lands_until;  // before we look
  const auto under_old = target.describe(was.name, deadline);
  if (!under_old) return;
  const auto under_new = target.describe(becomes.name, deadline);
  if (!under_new) return;
  if (*under_old || !*under_new) {
    if (!may_land) take_back(key);
    return;
  }
  const Paused paused(mirror_, key);
  if (routing.primary == Side::source) {
    if (target.alter(becomes.name, was, deadline)) take_back(key);
    return;
  }
  // What was cut short after the name, such as partitions that go with it.
  auto whole = target.alter(becomes.name, becomes, deadline);
  if (!whole && whole.error().retryable()) return;
  if (!whole)
    log::warn("a renamed collection is not in all as it was asked for",
              {{"collection", key}, {"error", whole.error().message}});
  auto finished = finish(*before, **after, routing, deadline);
  if (!finished) {
    log::warn("a rename is not finished yet; it is tried again",
              {{"collection", key}, {"error", finished.error().message}});
    return;
  }
  log::info("a rename whose answer was lost has come about", {{"from", key}, {"to", (*after)->key}});
}

void Renames::take_back(const std::string& key) {
  const auto intent = find(key);
  if (!intent) return;
  auto kept = journal_.commit_rows(
      {intent_row(key, std::nullopt), note_row(key, model::to_string(intent->to.name), std::nullopt)});
  VMPROXY_FAULT("rename.back");
  if (kept) {
    end(key);
  } else {
    leave_open(key, clock_.now());
  }
}

void Renames::leave_open(const std::string& key, TimePoint lands_until) {
  std::lock_guard hold(mutex_);
  const auto at = intents_.find(key);
  if (at == intents_.end()) return;
  if (!at->second.lands_until) ++unanswered_;
  at->second.lands_until = lands_until;
}

void Renames::end(const std::string& key) {
  std::lock_guard hold(mutex_);
  const auto at = intents_.find(key);
  if (at == intents_.end()) return;
  if (at->second.lands_until) --unanswered_;
  intents_.erase(at);
}

std::optional<Renames::Intent> Renames::find(const std::string& key) const {
  std::lock_guard hold(mutex_);
  const auto at = intents_.find(key);
  return at == intents_.end() ? std::nullopt : std::optional(at->second);
}

}  // namespace vmproxy::proxy
