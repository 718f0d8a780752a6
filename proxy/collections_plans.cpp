// Which collections are moved, and how: the plans for a catalog. What the target cannot hold is left out where the source makes it,
// which nobody can refuse there: everything else goes on. Where the target is the primary, whoever asks for it is refused.
#include <algorithm>

#include "model/codec.h"
#include "proxy/collections.h"

namespace vmproxy::proxy {

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

Result<std::shared_ptr<const Collection>> Collections::plan(const model::Schema& schema) const {
  const std::string key = model::to_string(schema.name);
  const auto known = find(key);
  if (known && model::encode_schema(known->plan->source()) == model::encode_schema(schema)) return known;
  auto plan =
      mapping::Plan::make(schema, source_.capabilities(), target_name(schema.name), target_.capabilities());
  if (!plan) return plan.error();
  auto collection = std::make_shared<Collection>();
  collection->name = schema.name;
  collection->key = key;
  collection->plan = std::move(*plan);
  return std::shared_ptr<const Collection>(std::move(collection));
}

Result<Collections::Plans> Collections::plans_of(const protocols::Catalog& catalog) const {
  std::set<std::string> moved;
  {
    std::lock_guard hold(mutex_);
    for (const auto& [key, known] : collections_) moved.insert(key);
  }
  return plans_of(catalog, moved);
}

// Once the target is the primary, what was left out stays so: its records are at the source only, and an empty collection of the
// target would count as the truth.
Result<std::optional<protocols::LeftOut>> Collections::stays_out(const model::Schema& schema) const {
  std::optional<protocols::LeftOut> left;
  if (source_says_) return left;
  std::lock_guard hold(mutex_);
  const auto at = std::ranges::find(refused_, schema.name, &protocols::LeftOut::name);
  if (at == refused_.end()) return left;
  const auto* known = catalog_->find(schema.name);
  if (known != nullptr && model::encode_schema(*known) != model::encode_schema(schema))
    return Error(Code::unsupported, "collection.excluded: '" + model::to_string(schema.name) +
                                        "' was left out of the migration: " + at->why);
  left = *at;
  return left;
}

Result<Collections::Plans> Collections::plans_of(const protocols::Catalog& catalog,
                                                 const std::set<std::string>& moved_before) const {
  std::set<std::string>
      listed;  // pages that moved, or damage: kept so, it would be two that want one name at the next start
  for (const auto& schema : catalog.collections) {
    if (const std::string key = model::to_string(schema.name); !listed.insert(key).second)
      return Error(Code::corrupt, "collection '" + key + "' is listed twice");
  }
  std::vector<const model::Schema*> included;
  for (const bool before : {true, false}) {  // of two that want one name on the target it is the first one's
    for (const auto& schema : catalog.collections) {
      if (included_(schema.name) && moved_before.contains(model::to_string(schema.name)) == before)
        included.push_back(&schema);
    }
  }
  Plans plans;
  std::map<std::string, std::string> target_names;  // a target name must not serve two collections
  for (const auto* schema : included) {
    auto stays = stays_out(*schema);
    if (!stays) return stays.error();
    if (*stays) {
      plans.refused.push_back(std::move(**stays));
      continue;
    }
    const std::string key = model::to_string(schema->name);
    protocols::LeftOut left{schema->name, "", ""};
    auto planned = plan(*schema);
    if (planned) {
      const auto [at, fresh] = target_names.emplace(model::to_string((*planned)->plan->target().name), key);
      if (fresh) {
        plans.moved.emplace(key, std::move(*planned));
        continue;
      }
      planned = Error(Code::already_exists,
                      "COLLISION: collections '" + at->second + "' and '" + key + "' would both become '" +
                          at->first + "' on the target. Give one another name under mapping.names.");
      if (moved_before.contains(key)) return planned.error();
      left.why = "COLLISION: it would become '" + at->first + "' on the target, as '" + at->second + "' does";
      left.remedy = "give one another name under mapping.names";
    } else {
      const Error& why = planned.error();
      if (why.code != Code::unsupported || !source_says_) return why.within("collection '" + key + "'");
      left.why = why.message;
      left.remedy = "give it a form that the target can hold, or drop it";
    }
    if (!source_says_) return planned.error();
    plans.refused.push_back(std::move(left));
  }
  return plans;
}

bool Collections::rekeys(const ByKey& moved) const {
  return std::ranges::any_of(moved, [this](const auto& each) {
    const auto was = find(each.first);
    const auto& now = *each.second->plan;
    return was && was->plan->source().incarnation == now.source().incarnation && !now.keys_as_in(*was->plan);
  });
}

std::vector<std::string> Collections::gaps_of(const protocols::Catalog& next, const ByKey& moved,
                                              const Explained& explained) const {
  const auto before = catalog();
  std::vector<std::string> gaps;
  for (const auto& schema : next.collections) {
    if (!included_(schema.name)) continue;
    const std::string key = model::to_string(schema.name);
    const std::string named = "collection '" + key + "' ";
    const auto was = find(key);
    const auto at = moved.find(key);
    const auto now = at == moved.end() ? nullptr : at->second;
    const model::Schema* known = before->find(schema.name);
    if (known == nullptr || known->incarnation != schema.incarnation) {
      if (was || (now && claimed(*now))) {
        gaps.push_back(named + "was dropped and created again; the target holds records of its former life");
      } else if (now && !explained(schema)) {
        gaps.push_back(named + "was made beside the proxy; what it held then was not copied");
      }
    } else if (was && !now) {
      gaps.push_back(named + "cannot be moved any more; what is written to it does not reach the target");
    } else if (!was && now) {
      gaps.push_back(named + "could not be moved before; what it held then was not copied");
    } else if (was && !now->plan->keys_as_in(*was->plan)) {
      gaps.push_back("the records of '" + key + "' have other keys on the target since it was changed");
    }
  }
  return gaps;
}

}  // namespace vmproxy::proxy
