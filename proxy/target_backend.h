// TargetBackend: answers a dialect's questions from the target. Reads at any time; writes and DDL only after promotion,
// inside the gate: each is executed as read-modify-write with its keys' turn held, its result journaled as images so
// that the reverse mirror needs no read. One per request; blocking; used by one thread.
#pragma once

#include "protocols/api/dialect.h"
#include "proxy/context.h"

namespace vmproxy::proxy {

class TargetBackend final : public protocols::Backend {
 public:
  TargetBackend(Context& context, std::shared_ptr<const Routing> routing, std::string operation,
                Deadline deadline)
      : context_(context),
        routing_(std::move(routing)),
        operation_(std::move(operation)),
        deadline_(deadline),
        catalog_(context.collections.catalog()) {}

  const protocols::Catalog& catalog() const override { return *catalog_; }
  Deadline deadline() const override { return deadline_; }
  Result<model::QueryResult> query(const model::Query& query) override;
  Result<model::WriteResult> write(const model::Write& write) override;
  Result<model::Schema> change(const model::SchemaChange& change) override;
  Result<void> change_space(model::SchemaChange::Kind kind, const protocols::Space& space) override;
  model::Uuid new_uuid() override;
  // A change or a write was refused because another request had changed the collection since the dialect looked, and nothing was
  // done before: the whole request may be served again, by another backend.
  bool overtaken() const { return overtaken_; }

 private:
  using State =
      std::map<std::string, std::optional<model::Record>>;  // encoded key -> record, absent: not there
  // Known, and after a promotion ours on the target. whole(): with the turn of its name held.
  Result<std::shared_ptr<const Collection>> collection(const model::CollectionName& name) const;
  Result<std::shared_ptr<const Collection>> whole(const model::CollectionName& name) const;
  Result<std::vector<model::Key>> matching(const Collection& collection, const model::Write& write);
  Result<State> current(const Collection& collection, const std::vector<model::Key>& keys);
  Result<void> execute(const Collection& collection, const std::vector<journal::Image>& images,
                       protocols::UpsertMode mode);
  Result<void> send(const Collection& collection, const std::vector<journal::Image>& images,
                    protocols::UpsertMode mode, std::vector<model::Outcome>& items);
  // Changes of collections, with the turn of their names held.
  Result<model::Schema> create(const model::Schema& schema);
  Result<void> clear_remains(const model::Schema& schema);
  Result<model::Schema> drop(const Collection& gone);
  Result<model::Schema> alter(const Collection& before, const model::Schema& schema);
  // `undone`: it failed, and the catalog is durably as before.
  Result<void> alter_in_place(const Collection& before, const model::Schema& schema, bool& undone);
  // One that holds nothing, to be made anew: no write of it goes on before it is. After an error too it is, by whoever needs it
  // next, unless it has stayed as it was.
  Result<void> drop_empty(const Collection& before);
  // A name gets another life only once no write goes on that had found the former one, unless that hangs.
  void await_writes(const std::string& key);
  void note_ddl(const std::string& what);
  void take_back_ddl(const std::string& what);  // it surely did not come about
  bool noted_ddl(const std::string& what);
  bool dropped_before(
      const model::CollectionName& name);  // since the promotion, and the source may have it still

  Context& context_;
  const std::shared_ptr<const Routing> routing_;
  const std::string operation_;
  const Deadline deadline_;
  bool did_something_ = false, overtaken_ = false;
  // After a change of ours there is a newer snapshot; the dialect may still look at the older ones.
  void renew_catalog();
  std::shared_ptr<const protocols::Catalog> catalog_;
  std::vector<std::shared_ptr<const protocols::Catalog>> older_;
};

}  // namespace vmproxy::proxy
