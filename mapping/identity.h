// Ids across kinds: canonical text or an integer of the same value. Each conversion is injective: two ids of
// one kind never meet on one id of the other, and the way back gives exactly the id that went in.
#pragma once

#include "base/error.h"
#include "model/capabilities.h"
#include "model/key.h"

namespace vmproxy::mapping {

std::string_view name_of(model::IdKind kind);

inline bool is_number(model::IdKind kind) {
  return kind == model::IdKind::u64 || kind == model::IdKind::i64;
}

// How ids of a kind live in a system.
struct IdRule {
  model::IdKind kind = model::IdKind::string;  // what they become
  bool total = true;  // false: some ids of the source's kind have no place and are refused
};
// Error unsupported "id.kind: ..." when the system has no kind that can hold them.
Result<IdRule> rule_for_ids(model::IdKind source, const model::Capabilities& target);

// Error invalid "id: ..." when this one has no form of that kind.
Result<model::Id> convert(const model::Id& id, model::IdKind kind);

// One text for (partition, id text), where a system has no partitions: "partition:id", with % and : escaped
// in the partition only, so that the first ':' ends it.
std::string join_partition(std::string_view partition, std::string_view id);
Result<std::pair<std::string, std::string>> split_partition(std::string_view text);

}  // namespace vmproxy::mapping
