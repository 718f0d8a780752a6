// Plan: how the records of one collection of the source live in a collection of the target, and back. Pure.
// Made once per collection and mapping; the mirror, backfill, validation and cut-over reads all use the same
// plan, so they cannot disagree. What cannot be carried is refused by name or counted by field, never dropped
// in silence.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/error.h"
#include "mapping/rewrite.h"
#include "model/capabilities.h"
#include "model/query.h"
#include "model/record.h"
#include "model/schema.h"

namespace vmproxy::mapping {

// One line of the compatibility report.
struct Note {
  enum class Kind { carried, changed, lost, refused };
  Kind kind;
  std::string field;  // "id", "metadata.x", "vector", ...
  std::string text;   // what happens, for people
};

class Plan {
 public:
  // `target_name`: what the target's driver calls a collection of this name. Error unsupported: cannot be
  // carried at all ("id.kind: ...").
  static Result<std::unique_ptr<Plan>> make(const model::Schema& source,
                                            const model::Capabilities& source_side,
                                            const model::CollectionName& target_name,
                                            const model::Capabilities& target_side);

  const model::Schema& source() const { return source_; }
  const model::Schema& target() const { return target_; }  // as it is to be created
  const std::vector<Note>& notes() const { return notes_; }
  // Changes whenever records would be carried otherwise; checkpoints are bound to it.
  uint64_t hash() const;

  // Whether the other plan gives each key of the source the same place.
  bool keys_as_in(const Plan& other) const;

  // Whether the target's keys, by id and then by partition, are in the order of the source's: numbers as text are not, nor
  // are ids that begin with a partition. A limit of the target would then cut out others than the source's.
  bool keeps_order() const;

  // Injective by construction: keys of the source's kind never meet on one target key (else the caller keeps
  // an id map).
  bool ids_injective() const { return ids_injective_; }
  Result<model::Key> key_to_target(const model::Key& key) const;
  Result<model::Key> key_to_source(const model::Key& key) const;
  // Error invalid: this record cannot be stored there, which field, why (quarantine).
  Result<model::Record> to_target(const model::Record& record) const;
  Result<model::Record> to_source(const model::Record& record) const;
  Result<model::Query> to_target(const model::Query& query) const;
  Result<model::QueryResult> to_source(model::QueryResult result) const;
  // The same, and cut to what `asked` (in the source's form) wanted to see: the target may have had to show
  // more.
  Result<model::QueryResult> to_source(model::QueryResult result, const model::Query& asked) const;

  // Fields that could not be carried so far: field -> records. Thread-safe.
  std::map<std::string, uint64_t> losses() const;

 private:
  Plan() = default;
  Result<void> plan_identity(const model::Capabilities& source_side, const model::Capabilities& side);
  Result<void> plan_vectors(const model::Capabilities& side);
  void plan_fields(const model::Capabilities& source_side, const model::Capabilities& target_side);
  void note(Note::Kind kind, std::string field, std::string text);
  Result<model::Object> fields_to_target(const model::Record& record) const;
  Result<void> fields_to_source(model::Record& record) const;

  model::Schema source_;
  model::Schema target_;
  std::vector<Note> notes_;
  bool ids_injective_ = true;
  FieldRules rules_;
  std::map<std::string, std::string> vector_names_;  // source -> target
  bool requires_vector_ = false;
  uint32_t id_bytes_max_ = 0;
  mutable std::mutex losses_mutex_;
  mutable std::map<std::string, uint64_t> losses_;
};

}  // namespace vmproxy::mapping
