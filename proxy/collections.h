// Collections: what the migration moves: the source's catalog and, for each included collection, the mapping plan.
// Loaded at start, kept in the migration's state, changed by DDL. Readers get immutable snapshots. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "journal/journal.h"
#include "mapping/plan.h"
#include "protocols/api/catalog.h"
#include "protocols/api/driver.h"

namespace vmproxy::proxy {

struct Collection {
  model::CollectionName name;  // the source's
  std::string key;             // to_string(name): how tables and lanes call it
  std::shared_ptr<const mapping::Plan> plan;
};

class Collections {
 public:
  using Included = std::function<bool(const model::CollectionName&)>;
  // `names`: target names chosen in the configuration (source collection -> target name).
  Collections(journal::Journal& journal, protocols::Driver& source, protocols::Driver& target, Included included,
              std::map<std::string, std::string> names);

  // From the state, else nothing is known yet.
  Result<void> load();
  // Asks the source what exists; keeps incarnations of what was known. Blocking. A collection that began a new life while the
  // target may hold records of the former one is a capture gap. So is a new one that is not `explained`: it was made
  // where nobody saw it, and may hold records that nobody copied. A gap is durable before the catalog is.
  using Explained = std::function<bool(const model::Schema&)>;
  Result<void> refresh(Deadline deadline, const Explained& explained = [](const model::Schema&) { return true; });
  // Told of each collection that began a new life, after it is published. Set before the first refresh.
  void when_reborn(std::function<void(const std::string& key)> tell) { reborn_ = std::move(tell); }
  // Held by a request that changes collections after the promotion: one at a time.
  std::mutex& changes() { return changes_; }
  // The collection as the source shows it now, into the catalog. Nothing: it no longer exists and is taken out.
  Result<void> refresh_one(const model::CollectionName& name, Deadline deadline);

  std::shared_ptr<const protocols::Catalog> catalog() const;
  // Nothing when it is not known or not included.
  std::shared_ptr<const Collection> find(const std::string& key) const;
  std::vector<std::shared_ptr<const Collection>> all() const;
  bool included(const model::CollectionName& name) const { return included_(name); }

  // Durable changes of the catalog. A put of a schema with new_incarnation starts a new life under the same name.
  Result<void> put(model::Schema schema, bool new_incarnation);
  Result<void> remove(const model::CollectionName& name);
  Result<void> put_space(protocols::Space space);
  Result<void> remove_space(const std::string& path);
  // Creates on the target what is included and missing there, and claims it: durably, before the first record goes there.
  // A collection that was there before and holds records is somebody else's: writing and repairing would overwrite and erase
  // them. Code::precondition names each with its count, unless `take_foreign`.
  Result<void> create_on_target(Deadline deadline, bool take_foreign = false);
  Result<void> create_on_target(const Collection& collection, Deadline deadline, bool take_foreign = false);
  // Made after the promotion, or partitions of it were, so the source has never had them: made there too, as the way back
  // needs them.
  Result<void> create_on_source(const Collection& collection, Deadline deadline);
  // May records be written to and erased from this collection's target? From memory.
  bool claimed(const Collection& collection) const;
  // Made by us on the application's behalf, so ours.
  Result<void> claim(const Collection& collection);
  // Renamed on the target, in one step: no crash leaves ours without its claim.
  Result<void> move_claim(const Collection& from, const Collection& to);
  // Dropped from the target: what somebody makes there under that name later is not ours.
  Result<void> release(const Collection& collection);

 private:
  // Either may be null; a name in both is ours.
  Result<void> change_claims(const Collection* gone, const Collection* ours);
  // Publishes and persists; holds write_mutex_.
  Result<void> publish(protocols::Catalog catalog);
  // What the target lacks, or has too much, of a collection that is new.
  Result<void> note_new(const model::Schema& schema, bool reborn, const Explained& explained);
  Result<std::shared_ptr<const Collection>> make(const model::Schema& schema) const;

  journal::Journal& journal_;
  protocols::Driver& source_;
  protocols::Driver& target_;
  const Included included_;
  const std::map<std::string, std::string> names_;

  std::function<void(const std::string&)> reborn_;
  std::mutex changes_;
  std::mutex write_mutex_;  // one change at a time
  mutable std::mutex mutex_;
  std::shared_ptr<const protocols::Catalog> catalog_;
  std::map<std::string, std::shared_ptr<const Collection>> collections_;
  std::set<std::string> claimed_;  // names on the target
  uint64_t incarnations_ = 0;
};

}  // namespace vmproxy::proxy
