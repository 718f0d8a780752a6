#include "proxy/drops.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/fault.h"
#include "base/log.h"
#include "journal/rows.h"
#include "journal/unknown_format.h"
#include "model/codec.h"
#include "proxy/paused.h"
#include "proxy/renames.h"

namespace vmproxy::proxy {
namespace {

constexpr std::string_view intent_rows = "drop/";  // + the name -> format, whether the note came with it
constexpr uint8_t intent_format = 1;

journal::Row intent_end(const std::string& key) {
  return {std::string(journal::rows::state), std::string(intent_rows) + key, std::nullopt};
}

journal::Row intent_row(const std::string& key, bool noted) {
  model::Writer writer;
  writer.u8(intent_format);
  writer.u8(noted ? 1 : 0);
  return {std::string(journal::rows::state), std::string(intent_rows) + key, writer.take()};
}

// As people read it before a rollback.
std::string note_of(const std::string& key) {
  return "ddl/dropped " + key;
}

}  // namespace

Drops::Drops(journal::Journal& journal, Collections& collections, Transfer& transfer, Mirror& mirror,
             KeyQueue& keys, Clock& clock)
    : journal_(journal),
      collections_(collections),
      transfer_(transfer),
      mirror_(mirror),
      keys_(keys),
      clock_(clock) {}

Result<void> Drops::load() {
  std::map<std::string, Intent> found;
  std::optional<Error> broken;
  const TimePoint lands_until = clock_.in(mirror_.window_of(Side::target));
  auto scanned = journal_.scan_rows(
      journal::rows::state, intent_rows, "", [&](std::string_view row, std::string_view value) {
        const std::string key(row.substr(intent_rows.size()));
        model::Reader reader(value);
        const uint8_t format = reader.u8();
        const bool noted = reader.u8() != 0;
        if (format != intent_format) {
          broken = journal::unknown_format("the drop of '" + key + "'", format, intent_format);
          return false;
        }
        if (!reader.done()) {
          broken = Error(Code::corrupt,
                         "the drop of '" + key + "' cannot be read from the state of the migration");
          return false;
        }
        const auto gone = collections_.find(key);
        // One that is not included at present keeps its row.
        if (gone) found.emplace(key, Intent{gone->name, noted, lands_until, {}});
        return true;
      });
  if (!scanned) return scanned;
  if (broken) return *broken;
  std::lock_guard hold(mutex_);
  intents_ = std::move(found);
  known_ = intents_.size();
  return {};
}

Result<void> Drops::drop(const Collection& gone, const Routing& routing, Deadline deadline) {
  const std::string& key = gone.key;
  const auto not_begun = [](const Error& error) {
    return error.within("the drop was not begun: the journal cannot be written");
  };
  const auto note = journal_.row(journal::rows::state, note_of(key));
  if (!note) return not_begun(note.error());
  const auto earlier = find(key);  // nobody knows how it ended
  Intent intent{gone.name, (earlier && earlier->noted) || (!*note && !routing.finalized), std::nullopt, {}};
  // Before the target is asked, so that no crash leaves a collection half gone of which nobody knows.
  std::vector<journal::Row> rows{intent_row(key, intent.noted)};
  if (intent.noted) rows.push_back({std::string(journal::rows::state), note_of(key), ""});
  {
    std::lock_guard hold(mutex_);
    intents_.insert_or_assign(key, std::move(intent));
    known_ = intents_.size();
  }
  const auto not_done = [&] {
    if (earlier && earlier->lands_until && clock_.now() < *earlier->lands_until) {
      leave_open(key, *earlier->lands_until);
    } else {
      take_back(key);
    }
  };
  if (auto intended = journal_.commit_rows(std::move(rows)); !intended) {
    not_done();  // it may be on the disk all the same
    return not_begun(intended.error());
  }
  // What is owed to the source stays owed until the target has answered (C6).
  const Paused paused(mirror_, key);
  Result<void> dropped = Error(Code::refused_connection, "the target is away");
  try {
    if (!VMPROXY_FAULT_HIT("drop.noted").fails)
      dropped = transfer_.driver(Side::target).drop(gone.plan->target().name, deadline);
    if (dropped && VMPROXY_FAULT_HIT("drop.dropped").drops)
      dropped = Error(Code::connection_lost, "the target's answer was lost");
    if (dropped || dropped.error().code == Code::not_found) return finish(gone);
  } catch (...) {  // no memory, no thread: nobody knows how it ended
    leave_open(key, clock_.in(mirror_.window_of(Side::target)));
    throw;
  }
  if (dropped.error().surely_not_done()) {
    not_done();
  } else {
    leave_open(key, clock_.in(mirror_.window_of(Side::target)));
  }
  return dropped;
}

Result<void> Drops::finish(const Collection& gone) {
  mirror_.forget(gone.key);
  auto kept = collections_.drop(gone, {intent_end(gone.key)});
  if (!kept) {
    leave_open(gone.key, clock_.now());  // the target has answered: settle() goes on from here
    return kept.error()
        .within("'" + gone.key + "' is dropped on the target, and that could not be kept yet")
        .not_whole(true);
  }
  VMPROXY_FAULT("drop.kept");
  end(gone.key);
  return {};
}

bool Drops::open(const std::string& key) const {
  if (known_ == 0) return false;
  const auto intent = find(key);
  return intent && intent->lands_until;
}

bool Drops::any_open() const {
  if (known_ == 0) return false;
  std::lock_guard hold(mutex_);
  return std::ranges::any_of(intents_, [](const auto& item) { return item.second.lands_until.has_value(); });
}

bool Drops::should_look(const std::string& key) {
  if (known_ == 0) return false;
  const TimePoint now = clock_.now();
  std::lock_guard hold(mutex_);
  const auto at = intents_.find(key);
  if (at == intents_.end() || !at->second.lands_until || now < at->second.look_again) return false;
  at->second.look_again = now + std::chrono::seconds(1);
  return true;
}

void Drops::settle(const std::string& key, const Routing& routing, Deadline deadline) {
  if (known_ == 0) return;
  std::vector<std::string> wanted;
  {
    std::lock_guard hold(mutex_);
    for (const auto& [name, intent] : intents_) {
      if (intent.lands_until && (key.empty() || key == name)) wanted.push_back(name);
    }
  }
  for (const auto& name : wanted) settle_one(name, routing, deadline);
}

void Drops::settle_one(const std::string& key, const Routing& routing, Deadline deadline) {
  auto intent = find(key);
  if (!intent) return;
  auto turn = keys_.line_up({turn_of(intent->name)});
  if (!turn.wait(deadline)) return;
  intent = find(key);  // another may have settled it meanwhile
  if (!intent || !intent->lands_until) return;
  const auto gone = collections_.find(key);
  if (!gone || routing.primary == Side::source) {
    take_back(key);
    return;
  }
  const bool may_land = clock_.now() < *intent->lands_until;  // before we look
  const auto there = transfer_.driver(Side::target).describe(gone->plan->target().name, deadline);
  if (!there) return;
  if (*there) {
    if (!may_land) take_back(key);
    return;
  }
  const Paused paused(mirror_, key);
  if (auto finished = finish(*gone); !finished) {
    log::warn("a drop is not finished yet; it is tried again",
              {{"collection", key}, {"error", finished.error().message}});
    return;
  }
  log::info("a drop whose answer was lost has come about", {{"collection", key}});
}

void Drops::take_back(const std::string& key) {
  const auto intent = find(key);
  if (!intent) return;
  std::vector<journal::Row> rows{intent_end(key)};
  if (intent->noted) rows.push_back({std::string(journal::rows::state), note_of(key), std::nullopt});
  if (journal_.commit_rows(std::move(rows))) {
    end(key);
  } else {
    leave_open(key, clock_.now());
  }
}

void Drops::leave_open(const std::string& key, TimePoint lands_until) {
  std::lock_guard hold(mutex_);
  const auto at = intents_.find(key);
  if (at != intents_.end()) at->second.lands_until = lands_until;
}

void Drops::end(const std::string& key) {
  std::lock_guard hold(mutex_);
  intents_.erase(key);
  known_ = intents_.size();
}

std::optional<Drops::Intent> Drops::find(const std::string& key) const {
  std::lock_guard hold(mutex_);
  const auto at = intents_.find(key);
  return at == intents_.end() ? std::nullopt : std::optional(at->second);
}

}  // namespace vmproxy::proxy
