#include "model/record.h"

namespace vmproxy::model {

Record apply(const Patch& patch, const Record& before) {
  Record after = before;
  after.key = patch.key;
  for (const auto& [name, vector] : patch.vectors) after.vectors[name] = vector;
  if (patch.clear_document) after.document.reset();
  if (patch.document) after.document = patch.document;
  if (patch.replace_metadata) {
    after.metadata = patch.set;
  } else if (!patch.set.empty() || !patch.unset.empty()) {
    if (!after.metadata) after.metadata.emplace();
    for (const auto& [name, value] : patch.set) (*after.metadata)[name] = value;
    for (const auto& name : patch.unset) after.metadata->erase(name);
  }
  if (after.metadata && after.metadata->empty()) after.metadata.reset();
  return after;
}

}  // namespace vmproxy::model
