// Filters of the source's form, said about records in the target's form: for each record r,
// evaluate(rewrite(f), to_target(r)) == evaluate(f, r). What cannot be said exactly is refused with a code.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "mapping/flatten.h"
#include "model/filter.h"
#include "model/schema.h"

namespace vmproxy::mapping {

// How the fields of one plan change on their way to the target. Plan makes it and carries records by it.
struct FieldRules {
  bool flatten = false;  // dynamic fields go through flatten()
  Holds source, target;
  std::set<std::string> declared;  // fields that the target declares: under their own name, as they are
  std::map<std::string, model::Field> typed;  // fields that the source declares
  std::string document_field;                 // the document becomes this field; empty: it stays a document
  std::string partition_field;                // the partition becomes this field; empty: it stays a partition
  model::IdKind source_id = model::IdKind::string, target_id = model::IdKind::string;

  // The name of a dynamic field that the user chose: one more '~' when it would meet a field of ours
  // ("document", "document~", ...). unshifted() is the way back.
  std::string shifted(const std::string& name) const;
  std::string unshifted(const std::string& name) const;
  bool is_ours(const std::string& name) const;
};

Result<model::Filter> rewrite(const model::Filter& filter, const FieldRules& rules);

}  // namespace vmproxy::mapping
