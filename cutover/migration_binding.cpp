// What the state promises ("copied", "validated", "the target is the primary") is promised of certain collections of two
// certain databases. A start with another configuration keeps no such promise: this looks what changed, before anything
// runs, and makes the state say what still holds (docs/decisions/0014).
#include "base/fault.h"
#include "cutover/migration.h"

#include "base/log.h"
#include "journal/rows.h"
#include "model/codec.h"
#include "proxy/images.h"

namespace vmproxy::cutover {

using journal::Side;
using Change = proxy::Collections::Change;

namespace {

constexpr std::string_view places_row = "places";
constexpr uint8_t places_format = 2;  // 1: the values of an address's parameters were left out
constexpr Duration look_max = std::chrono::seconds(5);

struct Places {
  Place source, target;
  bool without_values = false;  // of parameters; what comes before them is compared then
};

// Nothing: no start has kept them yet.
Result<std::optional<Places>> kept_places(journal::Journal& journal) {
  auto row = journal.row(journal::rows::state, places_row);
  if (!row) return row.error();
  if (!*row) return std::optional<Places>();
  model::Reader reader(**row);
  const uint8_t format = reader.u8();
  if (format == 0 || format > places_format) {
    return Error(Code::unsupported, "the databases of the migration were written in format " +
                                        std::to_string(format) +
                                        ", which this version does not know; use the version that wrote it");
  }
  Places places;
  for (Place* place : {&places.source, &places.target}) {
    place->system = reader.bytes();
    place->address = reader.bytes();
  }
  places.without_values = format == 1;
  if (!reader.done())
    return Error(Code::corrupt, "the databases of the migration cannot be read from its state");
  return std::optional<Places>(std::move(places));
}

journal::Row row_of(const Places& places) {
  model::Writer writer;
  writer.u8(places_format);
  for (const Place* place : {&places.source, &places.target}) {
    writer.bytes(place->system);
    writer.bytes(place->address);
  }
  return {std::string(journal::rows::state), std::string(places_row), writer.take()};
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const auto& part : parts) text += (text.empty() ? "" : "; ") + part;
  return text;
}

Error refused(const std::string& what, const std::string& remedy) {
  return {Code::precondition, "the configuration changed and the migration cannot go on with it: " + what +
                                  ". Nothing was changed. " + remedy};
}

Result<void> same_system(const std::string& side, const Place& was, const Place& is) {
  if (was.system == is.system) return {};
  return refused("the " + side + " is " + is.system + " now and was " + was.system,
                 "Put it back, or give the other move another name under `migrations`");
}

bool same_address(const Places& kept, const Place& was, const Place& is) {
  const auto base = [](const std::string& address) { return address.substr(0, address.find('?')); };
  return kept.without_values ? base(was.address) == base(is.address) : was.address == is.address;
}

// Empty: it is where it was.
std::string moved(const std::string& side, const Places& kept, const Place& was, const Place& is) {
  if (same_address(kept, was, is)) return "";
  return "the address of the " + side + " is " + is.address + " now and was " + was.address;
}

}  // namespace

Result<void> Migration::bind(State& state) {
  auto kept = kept_places(journal_);
  if (!kept) return kept.error();
  const Places now{options_.source_place, options_.target_place};
  const Places was = *kept ? **kept : now;
  if (!state.capture && state.primary == Side::source) {
    // Nothing is promised yet, or any more; but what was ours at another target is not ours at this one.
    const bool same = was.target.system == now.target.system && same_address(was, was.target, now.target);
    return same ? Result<void>() : collections_.release_all();
  }
  if (auto same = same_system("source", was.source, now.source); !same) return same;
  if (auto same = same_system("target", was.target, now.target); !same) return same;
  const std::string source_moved = moved("source", was, was.source, now.source);
  const std::string target_moved = moved("target", was, was.target, now.target);
  if (collections_.reconfigured().empty() && source_moved.empty() && target_moved.empty()) return {};
  return state.primary == Side::source ? bind_before_promotion(state, source_moved, target_moved)
                                       : bind_after_promotion(state, source_moved, target_moved);
}

// The source has everything, so the way is only longer: what is not known to be on the target is copied and compared again.
Result<void> Migration::bind_before_promotion(State& state, const std::string& source_moved,
                                              const std::string& target_moved) {
  std::vector<std::string> said;
  for (const auto& text : {source_moved, target_moved}) {
    if (!text.empty()) said.push_back(text);
  }
  bool copies = !said.empty();  // arms anew, too: what exists there, and whose it is, is asked again
  for (const Change& change : collections_.reconfigured()) {
    if (change.kind == Change::Kind::removed) continue;  // what is left is as whole as it was
    said.push_back(change.text);
    if (change.kind == Change::Kind::remapped)
      continue;  // the comparison finds what has the former form, and mends it
    copies = true;
    const auto collection = collections_.find(change.key);
    // It is copied from its beginning: neither pages nor live writes of another time or place count.
    auto forgotten = backfill_.forget(state.copy_generation, collection->name);
    if (!forgotten) return forgotten;
    VMPROXY_FAULT("bind.forgotten");
    auto touched = journal_.erase_rows(journal::rows::touched,
                                       proxy::touched_key(state.copy_generation, change.key, ""));
    if (!touched) return touched;
  }
  if (said.empty()) return {};
  const std::string what = "the configuration changed: " + joined(said);
  auto marked = journal_.mark_gap(what);
  if (!marked) return marked;
  VMPROXY_FAULT("bind.gapped");
  // Somebody else's collection may have the name of one of ours there.
  if (!target_moved.empty()) {
    auto released = collections_.release_all();
    if (!released) return released;
    VMPROXY_FAULT("bind.released");
    for (const auto& collection : jobs()) {
      auto forgotten = backfill_.forget_indexes(state.copy_generation, collection->name);
      if (!forgotten) return forgotten;
    }
  }
  state.validated = false;
  state.validating_full = false;
  if (copies) state.copied = state.settled = false;
  if (state.phase >= Phase::ready) {
    state.rolled_back_at = rfc3339(clock_.wall());
    state.rolled_back_reason = what;
  }
  state.phase = Phase::mirroring;
  state.reads_percent = 0;
  state.started = true;
  ++state.routing_generation;
  log::warn("the configuration of the migration changed; what it moves is copied and compared again",
            {{"migration", options_.name}, {"changes", joined(said)}});
  audit_.note({"vmproxy", "", {}}, "start with another configuration", what);
  return {};
}

// The target has the newest of everything: a start that would answer from another place, or leave collections out, is none.
Result<void> Migration::bind_after_promotion(State& state, const std::string& source_moved,
                                             const std::string& target_moved) {
  std::vector<std::string> lost, doubted;
  for (const Change& change : collections_.reconfigured()) {
    (change.kind == Change::Kind::remapped ? doubted : lost).push_back(change.text);
  }
  if (!lost.empty()) {
    return refused(
        joined(lost) + ", while the target is the primary",
        "Put `collections` and `mapping.names` back as they were; another move of the others is another migration");
  }
  // A database that has another address is common; one that lacks our collections is another one.
  if (!target_moved.empty()) {
    const Deadline deadline = clock_.in(look_max);
    for (const auto& collection : collections_.all()) {
      const auto& name = collection->plan->target().name;
      if (!collections_.claimed(*collection)) continue;
      const auto there = target_.describe(name, deadline);
      if (!there) break;  // it does not answer now: nothing is known against it
      if (*there) continue;
      return refused(target_moved + ", and there is no '" + model::to_string(name) +
                         "' there, while the target is the primary",
                     "Name the database that was promoted");
    }
    log::warn("the target, which is the primary, has another address",
              {{"migration", options_.name}, {"change", target_moved}});
    audit_.note({"vmproxy", "", {}}, "start with another configuration", target_moved);
  }
  if (state.phase == Phase::finalized) return {};
  if (!source_moved.empty()) doubted.push_back(source_moved);
  if (doubted.empty()) return {};
  audit_.note({"vmproxy", "", {}}, "start with another configuration", joined(doubted));
  // Not on the way back before both sides were compared.
  state.validated = state.validating_full = false;
  return journal_.mark_gap("the configuration changed: " + joined(doubted));
}

Result<void> Migration::keep_binding() {
  auto accepted = collections_.accept();
  if (!accepted) return accepted;
  VMPROXY_FAULT("bind.accepted");
  return journal_.commit_rows({row_of({options_.source_place, options_.target_place})});
}

}  // namespace vmproxy::cutover
