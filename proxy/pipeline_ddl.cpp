// After a change of collections at the source: what exists now is asked, and the replica follows.
#include <algorithm>
#include <map>

#include "base/fault.h"
#include "base/log.h"
#include "model/codec.h"
#include "proxy/pipeline.h"

namespace vmproxy::proxy {

namespace asio = boost::asio;

// A collection that lives on changed: a metric became known with its index, a partition was made.
void Pipeline::follow(const Collection& before, const Collection& now, Deadline deadline) {
  if (model::encode_schema(before.plan->target()) == model::encode_schema(now.plan->target())) return;
  auto& target = context_.transfer.driver(Side::target);
  const model::Schema& wanted = now.plan->target();
  const bool anew = target.capabilities().metric_fixed &&
                    !model::same_metrics(before.plan->target(), wanted) &&
                    context_.collections.claimed(before) && holds_nothing_there(before, deadline);
  // With records in it, it keeps its metric: searches go to the source (search.metric).
  auto altered =
      anew ? make_anew(before, now, deadline) : target.alter(before.plan->target().name, wanted, deadline);
  if (!altered) {
    log::warn("a change of a collection could not be made on the target",
              {{"collection", now.key}, {"error", altered.error().message}});
  }
}

bool Pipeline::holds_nothing_there(const Collection& collection, Deadline deadline) {
  model::Query count;
  count.kind = model::Query::Kind::count;
  count.collection = collection.name;
  const auto counted = context_.transfer.query(Side::target, collection, count, deadline);
  return counted && counted->count == 0;
}

// It was made on the target before anybody said by which metric it is searched.
Result<void> Pipeline::make_anew(const Collection& before, const Collection& now, Deadline deadline) {
  auto& target = context_.transfer.driver(Side::target);
  const Deadline lands_until = deadline + target.capabilities().max_zombie;
  if (auto given = context_.collections.give_up(before, lands_until); !given) return given;
  const auto dropped = target.drop(before.plan->target().name, deadline);
  const bool may_land =
      !dropped && dropped.error().code != Code::not_found && !dropped.error().surely_not_done();
  if (!may_land) context_.collections.dropped(before);
  auto made = may_land ? dropped : context_.collections.create_on_target(now, deadline);
  // What was on its way since it was counted goes with it. The source is not asked: that might load the collection there.
  const auto written = context_.mirror.written().any(now.key);
  if (may_land) context_.mirror.gaps_act_late(Side::target);
  if (may_land || context_.mirror.copying() || !written || *written)
    context_.journal.record_gap("'" + now.key + "' was made anew on the target for another metric");
  return made;
}

// The collection stays paused on the replica until the source was asked what exists now (H43, H60).
asio::awaitable<void> Pipeline::after_ddl(net::Exchange& exchange, Captured& captured,
                                          model::Outcome outcome) {
  const model::CollectionName name = captured.operation.collection;
  const std::string key = model::to_string(name);
  const std::string row(captured.operation.row->name);
  if (captured.operation.drops_records && context_.collections.included(name)) {
    // The replica keeps them until a full validation has repaired it, once they are gone for good.
    if (outcome == model::Outcome::uncertain) context_.mirror.gaps_act_late(Side::source);
    gap("records of '" + key + "' were dropped without being named (" + row + ")");
  }
  if (captured.unseen)
    gap("collection '" + key + "' may have been made beside the proxy before (" + row +
        "); what it held then was not copied");
  const bool drops = captured.operation.drops_collection, creates = captured.operation.creates_collection;
  const std::function<Result<void>()> look = [this, name, drops, creates, &captured]() -> Result<void> {
    const Deadline asks_until = context_.clock.in(std::chrono::seconds(10));
    std::map<std::string, std::shared_ptr<const Collection>> before;  // by the source's own id
    for (const auto& c : context_.collections.all()) before[c->plan->source().native_id + '\0' + c->key] = c;
    const auto was_there = [&](const model::Schema& now) {
      return std::any_of(before.begin(), before.end(), [&](const auto& known) {
        return !now.native_id.empty() && known.second->plan->source().native_id == now.native_id;
      });
    };
    auto refreshed = context_.collections.refresh(asks_until, [&](const model::Schema& appeared) {
      if (appeared.name == name) return creates;
      return context_.mirror.paused(model::to_string(appeared.name)) || was_there(appeared);
    });
    if (!refreshed) return refreshed;
    VMPROXY_FAULT("ddl.asked");
    // The source has done it and the application waits for the answer, not for the target: what takes longer there is done
    // afterwards, by the lanes, by SourceDrops::settle(), or by the comparison that a gap asks for.
    Deadline deadline = context_.clock.in(std::chrono::seconds(2));
    // Since the call began, not since just now: somebody else may have asked what exists in between.
    for (const auto& old : captured.before) {
      const auto now = context_.collections.find(old->key);
      if (now && now->plan->source().incarnation == old->plan->source().incarnation)
        follow(*old, *now, deadline);
    }
    deadline = context_.clock.in(std::chrono::seconds(2));
    bool moved = false;  // it lives on under another name
    for (const auto& [id, old] : before) {
      const auto now = context_.collections.find(old->key);
      if (now && now->plan->source().incarnation == old->plan->source().incarnation) continue;
      context_.mirror.forget(old->key);
      VMPROXY_FAULT("ddl.forgot");
      std::shared_ptr<const Collection> renamed;
      for (const auto& c : context_.collections.all()) {
        if (!old->plan->source().native_id.empty() &&
            c->plan->source().native_id == old->plan->source().native_id)
          renamed = c;
      }
      if (renamed) {
        // What the lanes have under the old name they find nowhere: all that was under way is found by a full validation.
        moved = moved || old->name == name;
        (void)context_.collections.rename_on_target(*old, *renamed, deadline);
        context_.journal.record_gap("collection '" + old->key + "' was renamed to '" + renamed->key + "'");
      } else if (now && drops && context_.options.mirror_drops) {
        auto dropped = context_.transfer.driver(Side::target).drop(old->plan->target().name, deadline);
        if (!dropped && dropped.error().code != Code::not_found) {
          if (!dropped.error().surely_not_done()) context_.source_drops.may_land(old->key);
          context_.journal.record_gap(
              "collection '" + old->key +
              "' was dropped and the target still holds it: " + dropped.error().message);
        } else {
          (void)context_.collections.release(*old);
        }
      } else if (now) {
        context_.journal.record_gap(
            "collection '" + old->key +
            "' was dropped and created again; the target holds records of its former life");
      }
    }
    if (drops && !moved) {
      auto followed = context_.source_drops.follow(name, deadline);
      // What only takes too long now is followed later (executed()), without a full comparison.
      const bool late = !followed && captured.dropping &&
                        (followed.error().code == Code::timeout || followed.error().code == Code::cancelled);
      if (!followed && !late) context_.journal.record_gap(followed.error().message);
      captured.followed = static_cast<bool>(followed);
    }
    for (const auto& c : context_.collections.all()) {
      bool known = false;
      for (const auto& [id, old] : before)
        known =
            known || (old->key == c->key && old->plan->source().incarnation == c->plan->source().incarnation);
      // Not on the application's time when the target is down: the lanes create what they find missing.
      if (known) continue;
      const auto created = context_.collections.create_on_target(*c, deadline);
      if (!created && created.error().code == Code::precondition)
        context_.journal.record_gap(created.error().message);
    }
    return {};
  };
  Result<void> settled =
      Error(Code::overloaded, "other changes of collections took until this one's deadline");
  if (co_await wait_for_change_slot(exchange)) {
    const ByteBudget::Share slot(context_.change_slots, 1);
    settled = co_await on_pool<void>(exchange, look);
  }
  // Once more, as Collections::refresh() does: a comparison may have begun before the catalog had it.
  if (captured.unseen)
    gap("collection '" + key + "' may have been made beside the proxy before (" + row +
        "); what it held then was not copied");
  const bool moved_late = captured.operation.moves_name && outcome == model::Outcome::uncertain;
  if (moved_late || !settled)
    context_.collections.doubt(moved_late ? context_.mirror.window_of(Side::source) : Duration::zero());
  if (captured.operation.moves_name && (moved_late || !context_.mirror.alone(captured.ticket))) {
    context_.mirror.names_changed();
    gap("a name was given to another collection (" + row + " of '" + key +
        "') while writes were under way, or nobody knows when; one by that name may be on the wrong collection of the replica");
  }
  if (!settled) {
    log::warn(
        "the source could not be asked what exists after a change of collections; it is asked again when the next request comes",
        {{"collection", key}, {"error", settled.error().message}});
    gap("what exists after a change of '" + key + "' could not be asked");
  }
  // Else it is followed later: also what is not known to be done, or done, and not to be seen yet.
  if (captured.dropping && outcome == model::Outcome::applied) {
    if (!captured.followed) {
      captured.dropping->executed();
    } else if (!context_.collections.find(key)) {
      captured.dropping->settled();
    }
  }
  captured.dropping.reset();
  VMPROXY_FAULT("ddl.settled");
}

}  // namespace vmproxy::proxy
