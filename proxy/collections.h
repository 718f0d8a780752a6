// Collections: what the migration moves: the source's catalog and, for each included collection, the mapping plan.
// Loaded at start, kept in the migration's state, changed by DDL. Readers get immutable snapshots. Thread-safe.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/clock_mutex.h"
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
  Collections(journal::Journal& journal, protocols::Driver& source, protocols::Driver& target, Clock& clock,
              Included included, std::map<std::string, std::string> names);

  // From the state, else nothing is known yet; after follow(). Compares what this configuration makes of the catalog with what the one
  // before made of the very same catalog: what differs is reconfigured(), until accept(). Nothing is written.
  Result<void> load();
  // A collection that the configuration moves otherwise than the last run's did. Not what the application created, changed or
  // dropped: that is in the catalog for both.
  struct Change {
    enum class Kind : uint8_t {
      added,     // included now; nobody watched or copied it
      removed,   // no longer included
      renamed,   // has another name on the target, where nothing of it is
      remapped,  // its records take another form there
    };
    Kind kind;
    std::string key;   // of the source
    std::string text;  // for people: "collection 'x' is included now and was not before"
  };
  const std::vector<Change>& reconfigured() const { return reconfigured_; }
  // What load() found is what the next start compares with. Durable when it returns; so is then whatever the changes led to.
  Result<void> accept();
  // Asks the source what exists; keeps incarnations of what was known. Blocking. A collection that began a new life while the
  // target may hold records of the former one is a capture gap. So is a new one that is not `explained`: it was made
  // where nobody saw it, and may hold records that nobody copied. A gap is durable before the catalog is. Code::timeout also
  // when another change of the catalog has not ended by the deadline: it may be asking a source that hangs.
  using Explained = std::function<bool(const model::Schema&)>;
  Result<void> refresh(
      Deadline deadline, const Explained& explained = [](const model::Schema&) { return true; });
  // Who says what exists. While it is the target's to say, refresh() and refresh_one() end with Code::precondition and change
  // nothing, also those that are asking the source already: what it shows is older than what was made since the promotion.
  void follow(journal::Side primary) { source_says_ = primary == journal::Side::source; }
  // Told of each collection that began a new life, after it is published. Set before the first refresh.
  void when_reborn(std::function<void(const std::string& key)> tell) { reborn_ = std::move(tell); }
  // Told when records that are on the target get other keys there, before that is published: what is on its way there has the former
  // ones.
  void when_rekeyed(std::function<void()> tell) { rekeyed_ = std::move(tell); }
  // Told when the source has a collection no more, or under another name, after that is published. Must not come back here.
  void when_gone(std::function<void()> tell) { gone_ = std::move(tell); }
  // A change of collections ended without anybody knowing how, or what it left: what a name stands for is in doubt until a
  // refresh() that began when it could not act any more, `window` from now. Kept over a restart, with the window in full;
  // durable with, or before, whatever is put into the journal after this call. What was read by the names meanwhile may be
  // about other collections: whoever did so marks a gap.
  void doubt(Duration window);
  bool in_doubt() const { return in_doubt_; }
  // In doubt: true for one caller every few seconds, who is to refresh() then.
  bool should_ask();
  // The collection as the source shows it now, into the catalog. Nothing: it no longer exists and is taken out. Code::timeout
  // as for refresh().
  Result<void> refresh_one(const model::CollectionName& name, Deadline deadline);

  std::shared_ptr<const protocols::Catalog> catalog() const;
  // Nothing when it is not known or not included.
  std::shared_ptr<const Collection> find(const std::string& key) const;
  // What a collection of the source is called on the target, whether there is one or not.
  model::CollectionName target_name(const model::CollectionName& source) const;
  std::vector<std::shared_ptr<const Collection>> all() const;
  bool included(const model::CollectionName& name) const { return included_(name); }
  // What the configuration includes and is not moved: what the source, when it was last asked, held without being able to show it
  // as a collection, and collections that the target cannot hold. Kept over a restart.
  std::vector<protocols::LeftOut> left_out() const;
  // Before anything was moved: collections that the target cannot hold are an error that names them.
  Result<void> all_can_be_moved() const;
  // False: the source was never asked, or by a version that did not keep it; a refresh() asks.
  bool left_out_known() const;

  // Durable changes of the catalog, after a refresh() that is under way; Code::cancelled, and nothing is changed, when that
  // has not ended by the deadline. A put of a schema with new_incarnation starts a new life under the same name.
  Result<void> put(model::Schema schema, bool new_incarnation, Deadline deadline);
  Result<void> remove(const model::CollectionName& name, Deadline deadline);
  // What rename() would make of it: an error when that is nothing this migration could have. While the target is the primary such a
  // change is refused by all of these; what the source makes is left out instead.
  Result<std::shared_ptr<const Collection>> planned(const model::CollectionName& from,
                                                    const model::Schema& schema) const;
  // A new life under the name of `schema`, which the target has given it: the catalog, its claim and `rows` in one commit.
  Result<void> rename(const Collection& before, model::Schema schema, std::vector<journal::Row> rows,
                      Deadline deadline);
  // What the target has dropped: the catalog, its claim and `rows` in one commit. However long it takes.
  Result<void> drop(const Collection& gone, std::vector<journal::Row> rows);
  Result<void> put_space(protocols::Space space, Deadline deadline);
  Result<void> remove_space(const std::string& path, Deadline deadline);
  // The same however long it takes: for what must not be left as it is, such as the half of a change that came about.
  Result<void> put(model::Schema schema, bool new_incarnation);
  Result<void> remove(const model::CollectionName& name);
  // Creates on the target what is included and missing there, and claims it: durably, before the first record goes there.
  // A collection that was there before and holds records is somebody else's: writing and repairing would overwrite and erase
  // them. Code::precondition names each with its count, unless `take_foreign`. What the target did not have when we began to make
  // it is ours with all that it holds, whatever became of the answer. One that is ours and missing was lost with
  // what it held: that is a capture gap, durable before the collection is made anew.
  Result<void> create_on_target(Deadline deadline, bool take_foreign = false);
  Result<void> create_on_target(const Collection& collection, Deadline deadline, bool take_foreign = false);
  // Made after the promotion, or partitions of it were, so the source has never had them: made there too, as the way back
  // needs them. Any other collection that is missing there was lost: a capture gap first.
  Result<void> create_on_source(const Collection& collection, Deadline deadline);
  // Asks whether that side still has it; if not, the same as create_on_*. An error: not known.
  Result<void> still_there(journal::Side side, const Collection& collection, Deadline deadline,
                           bool take_foreign = false);
  // May records be written to and erased from this collection's target? From memory.
  bool claimed(const Collection& collection) const;
  // Claimed, as far as it is known: the commit of a release may have failed, and be on the disk all the same. Until it has been
  // claimed again (create_on_target()) such a collection is ours, and nothing is written to it.
  bool owned(const Collection& collection) const;
  // Made by us on the application's behalf, so ours.
  Result<void> claim(const Collection& collection);
  // The target's collection gets the name that the source's has now, and its claim with it. Where that name was free it is noted
  // before that what appears under it is ours: neither a crash nor a lost answer leaves our records there as somebody else's.
  Result<void> rename_on_target(const Collection& from, const Collection& to, Deadline deadline);
  // It is about to be dropped on the target, where it holds nothing, to be made anew: not claimed from now on, and still ours
  // with all that may be there, until create_on_target() has taken it back. That refuses (Code::unavailable) until
  // `lands_until`, and after a crash as long as a drop may still land, or until dropped().
  Result<void> give_up(const Collection& collection, TimePoint lands_until);
  void dropped(const Collection& collection);
  // Dropped from the target: what somebody makes there under that name later is not ours.
  Result<void> release(const Collection& collection);
  // The target was asked to drop the source's collection `key` and did not answer: until then it may still do so, whatever has the
  // name by then (H60). Meanwhile create_on_target() refuses (Code::unavailable), and no lane writes to it. Durable with, or before,
  // whatever is put into the journal after this call; a restart begins the time anew.
  void drop_may_land(const std::string& key, TimePoint until);
  bool drop_may_land(const std::string& key);
  bool any_drop_may_land() const { return late_drops_count_ > 0; }
  // Ours on the target, while the source has no such collection (any more: the catalog lacks it) and no other one has the name
  // there: it was dropped there, and kept here. `target` is the name it has there, written out.
  struct LeftBehind {
    std::string key, target;
  };
  std::vector<LeftBehind> left_behind() const;
  Result<void> release(const LeftBehind& gone);
  // The target is another database, or may be: nothing there is known to be ours.
  Result<void> release_all();

 private:
  using ByKey = std::map<std::string, std::shared_ptr<const Collection>>;
  struct Plans {
    ByKey moved;
    std::vector<protocols::LeftOut> refused;  // by the target
  };
  // How the last run moved a collection.
  struct Carried {
    std::string target;  // its name there
    uint64_t hash = 0;   // of its plan
  };
  // --- the catalog: collections.cpp
  Result<void> keep(const protocols::Catalog& catalog, const Plans& plans, std::vector<journal::Row> with);
  // Publishes and persists; holds write_mutex_.
  Result<void> publish(protocols::Catalog catalog);
  // The same in one step with these rows, and with the claims, when their rows are among them.
  Result<void> publish(protocols::Catalog catalog, Plans plans, std::vector<journal::Row> with,
                       const Collection* gone, const Collection* ours);
  // The same of what their names say.
  Result<void> refresh_locked(Deadline deadline, const Explained& explained);
  Result<void> put_locked(model::Schema schema, bool new_incarnation);
  // The catalog with this one in it, and without it.
  protocols::Catalog with(model::Schema schema, bool new_incarnation);
  protocols::Catalog without(const model::CollectionName& name) const;
  // Publishes what the source shows. What the target then lacks, or has too much, is a gap, durable before. `reborn`: who is told.
  Result<void> take_over(protocols::Catalog next, const Explained& explained,
                         const std::vector<std::string>& reborn);
  // --- plans: collections_plans.cpp
  Result<std::shared_ptr<const Collection>> plan(const model::Schema& schema) const;
  Result<Plans> plans_of(const protocols::Catalog& catalog) const;
  Result<Plans> plans_of(const protocols::Catalog& catalog, const std::set<std::string>& moved_before) const;
  Result<std::optional<protocols::LeftOut>> stays_out(const model::Schema& schema) const;
  // Whether records that are on the target have another place there by these plans.
  bool rekeys(const ByKey& moved) const;
  // Texts of the gaps that `next` leaves, with these plans.
  std::vector<std::string> gaps_of(const protocols::Catalog& next, const ByKey& moved,
                                   const Explained& explained) const;
  // --- the configuration: collections_binding.cpp
  // Nothing: a version that did not keep it.
  Result<std::optional<std::map<std::string, Carried>>> load_carried();
  // What the last run kept of its configuration, compared with this one's.
  void compare(const std::map<std::string, Carried>& before, const ByKey& now);
  // The row that the next start compares with.
  static journal::Row carried(const ByKey& collections);
  // --- what is not moved: collections_left_out.cpp
  Result<void> load_left_out();
  Result<void> keep_left_out(std::vector<protocols::LeftOut> found);
  static journal::Row row_of_refused(const std::vector<protocols::LeftOut>& refused);
  // --- doubt about names: collections_doubt.cpp
  Result<void> load_doubt();
  // How many there were; nothing while the last of them may still act.
  std::optional<uint64_t> settled_doubts() const;
  // What settled_doubts() said when the source was asked; newer ones stay.
  void end_doubts(uint64_t doubts);
  // --- claims: collections_claims.cpp
  Result<void> load_claims();
  bool making(const std::string& on_target) const;
  bool may_be_dropped(const std::string& on_target) const;
  Result<void> note_making(const std::string& on_target, bool begun);
  // Either may be null; a name in both is ours.
  Result<void> change_claims(const Collection* gone, const Collection* ours);
  static std::vector<journal::Row> rows_of_claims(const Collection* gone, const Collection* ours);
  void claims_are(const Collection* gone, const Collection* ours);  // mutex_ held
  Result<void> mark_lost(const std::string& key, std::string_view side);
  Result<bool> made_since_promotion(const std::string& key);

  journal::Journal& journal_;
  protocols::Driver& source_;
  protocols::Driver& target_;
  Clock& clock_;
  const Included included_;
  const std::map<std::string, std::string> names_;

  std::function<void(const std::string&)> reborn_;
  std::function<void()> gone_, rekeyed_;
  ClockMutex write_mutex_;   // one change of the catalog at a time; held while the source is asked for it
  std::mutex claims_mutex_;  // one change of the claims at a time; never held while a database is asked
  std::atomic<bool> source_says_{true};
  mutable std::mutex mutex_;
  std::shared_ptr<const protocols::Catalog> catalog_;
  ByKey collections_;
  std::vector<protocols::LeftOut> left_out_;  // by the source
  bool left_out_known_ = false;
  std::vector<protocols::LeftOut> refused_;  // by the target: of this catalog
  std::vector<Change> reconfigured_;
  std::map<std::string, std::string> claimed_;   // name on the target -> key
  std::set<std::string> unsure_;                 // of these names: the disk may say otherwise
  std::set<std::string> making_;                 // names on the target that did not have them when we began
  std::map<std::string, TimePoint> landing_;     // ... of which a drop of ours may land until then
  std::map<std::string, TimePoint> late_drops_;  // by key: drop_may_land()
  std::atomic<size_t> late_drops_count_{0};
  uint64_t incarnations_ = 0;
  std::atomic<bool> in_doubt_{false};
  TimePoint settles_{};    // mutex_: when the last doubtful change cannot act any more
  uint64_t doubts_ = 0;    // mutex_: how many there were
  TimePoint ask_again_{};  // mutex_
};

}  // namespace vmproxy::proxy
