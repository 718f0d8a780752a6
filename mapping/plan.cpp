// How a plan is made. How it carries records and queries: plan_queries.cpp.
#include "mapping/plan.h"

#include <algorithm>

#include "mapping/identity.h"
#include "model/codec.h"

namespace vmproxy::mapping {
namespace {

using model::FieldKind;
using model::VectorKind;

std::string_view name_of(VectorKind kind) {
  switch (kind) {
    case VectorKind::dense_f32: return "f32";
    case VectorKind::dense_f16: return "f16";
    case VectorKind::dense_bf16: return "bf16";
    case VectorKind::binary: return "binary";
    case VectorKind::sparse: return "sparse";
  }
  return "unknown";
}

Holds holds_of(const model::Schema& schema, const model::Capabilities& side) {
  Holds holds = Holds::of(side);
  if (!schema.dynamic) holds = Holds{};
  for (const auto& field : schema.fields) {
    if (field.kind == FieldKind::json) holds = Holds{true, true, true, true, holds.empty, holds.u64};
    if (field.kind != FieldKind::array) continue;
    holds.arrays = true;
    if (field.element == FieldKind::json || field.element == FieldKind::array)
      holds.arrays_any = holds.objects = holds.nulls = true;
  }
  if (schema.fields.empty() || schema.dynamic) return holds;
  holds.empty = false;
  return holds;
}

}  // namespace

Result<std::unique_ptr<Plan>> Plan::make(const model::Schema& source, const model::Capabilities& source_side,
                                         const model::CollectionName& target_name,
                                         const model::Capabilities& target_side) {
  std::unique_ptr<Plan> plan(new Plan);
  plan->source_ = source;
  plan->target_ = source;
  plan->target_.name = target_name;
  plan->target_.native_id.clear();
  plan->target_.native = {};
  plan->target_.generated_ids = false;
  const auto named = [&](const Error& error) {
    return error.within("collection '" + model::to_string(source.name) + "'");
  };
  // The code comes first in an unsupported error, so the collection is named behind it.
  const auto refused = [&](const Error& error) {
    return error.code == Code::unsupported
               ? Error{error.code, error.message + " (collection '" + model::to_string(source.name) + "')"}
               : named(error);
  };
  if (auto done = plan->plan_identity(source_side, target_side); !done) return refused(done.error());
  if (auto done = plan->plan_vectors(target_side); !done) return refused(done.error());
  plan->plan_fields(source_side, target_side);
  return plan;
}

void Plan::note(Note::Kind kind, std::string field, std::string text) {
  notes_.push_back({kind, std::move(field), std::move(text)});
}

Result<void> Plan::plan_identity(const model::Capabilities& source_side, const model::Capabilities& side) {
  auto rule = rule_for_ids(source_.id_kind, side);
  if (!rule) return rule.error();
  rules_.source_id = source_.id_kind;
  rules_.target_id = rule->kind;
  target_.id_kind = rule->kind;
  id_bytes_max_ = rule->kind == model::IdKind::string ? side.id_bytes_max : 0;
  const std::string from(mapping::name_of(source_.id_kind)), to(mapping::name_of(rule->kind));
  if (rule->kind == source_.id_kind) {
    note(Note::Kind::carried, "id", from + " ids, as they are");
  } else {
    target_.id_length_max = 0;
    note(Note::Kind::changed, "id",
         from + " ids become " + to + " ids of the same value" + (to == "string" ? " (canonical text)" : ""));
    if (!rule->total)
      note(Note::Kind::refused, "id", "ids that have no form as " + to + " are refused one by one");
  }
  if (id_bytes_max_ > 0)
    note(Note::Kind::refused, "id",
         "ids longer than " + std::to_string(id_bytes_max_) + " bytes are refused one by one");
  if (source_.generated_ids)
    note(Note::Kind::changed, "id", "ids that the source generates are carried; the target generates none");

  if (source_.partitions.empty()) {
    // Place for the partitions to come: what is stored without one could not be told apart from them afterwards.
    if (source_side.partitions_later && side.partitions) target_.partitions = {""};
    return {};
  }
  if (side.partitions) {
    note(Note::Kind::carried, "partition", "as it is");
    return {};
  }
  if (rules_.target_id != model::IdKind::string) {
    return Error{Code::unsupported,
                 "partition: the target has no partitions, and its ids cannot hold the partition's name"};
  }
  rules_.partition_field = "partition";
  target_.partitions.clear();
  target_.id_length_max = 0;
  note(Note::Kind::changed, "partition",
       "becomes part of the id (\"partition:id\") and the metadata field 'partition'");
  return {};
}

Result<void> Plan::plan_vectors(const model::Capabilities& side) {
  requires_vector_ = side.requires_vector;
  if (target_.vectors.size() > 1 && !side.named_vectors) {
    return Error{Code::unsupported,
                 "vector.fields: the target holds one vector a record, this collection has " +
                     std::to_string(target_.vectors.size())};
  }
  for (auto& field : target_.vectors) {
    const std::string name = field.name;
    const std::string label = name.empty() ? "vector" : "vector." + name;
    if (!side.named_vectors) field.name.clear();
    vector_names_[name] = field.name;
    field.index = {};
    if (field.dimension > side.dimension_max && side.dimension_max > 0 && field.kind != VectorKind::sparse) {
      return Error{Code::unsupported, "vector.dimension: " + std::to_string(field.dimension) +
                                          " dimensions, the target holds at most " +
                                          std::to_string(side.dimension_max)};
    }
    if ((field.kind == VectorKind::sparse && !side.sparse_vectors) ||
        (field.kind == VectorKind::binary && !side.vectors_binary)) {
      const std::string kind(name_of(field.kind));
      return Error{Code::unsupported,
                   "vector." + kind + ": the target holds no " + kind + " vectors ('" + name + "')"};
    }
    const bool widened = (field.kind == VectorKind::dense_f16 && !side.vectors_f16) ||
                         (field.kind == VectorKind::dense_bf16 && !side.vectors_bf16);
    if (widened) {
      note(Note::Kind::changed, label,
           std::string(name_of(field.kind)) + " becomes f32, which holds each value exactly");
      field.kind = VectorKind::dense_f32;
    } else {
      note(Note::Kind::carried, label,
           std::string(name_of(field.kind)) + ", " +
               (field.dimension == 0 ? "dimension not known yet"
                                     : std::to_string(field.dimension) + " dimensions"));
    }
    if (field.name != name) note(Note::Kind::changed, label, "the target's one vector has no name");
    note(Note::Kind::changed, label + ".index", "the target's own index, built after the copy");
  }
  if (requires_vector_)
    note(Note::Kind::refused, "vector",
         "records without a vector are refused one by one: the target cannot hold them");
  return {};
}

void Plan::plan_fields(const model::Capabilities& source_side, const model::Capabilities& target_side) {
  rules_.source = holds_of(source_, source_side);
  rules_.target = Holds::of(target_side);
  for (const auto& field : source_.fields) rules_.typed[field.name] = field;

  if (source_.has_document && !target_side.documents) {
    target_.has_document = false;
    rules_.document_field = "document";
    note(Note::Kind::changed, "document",
         "becomes the metadata field 'document'; a field of that name becomes 'document~'");
  } else if (source_.has_document) {
    note(Note::Kind::carried, "document", "as it is");
  }

  target_.fields.clear();
  for (const auto& field : source_.fields) {
    const auto taken = [&](std::string_view name) { return field.name == name; };
    const bool reserved =
        std::ranges::any_of(std::initializer_list<std::string_view>{"document", "metadata", "partition",
                                                                    "embedding", source_.id_name},
                            taken) ||
        std::ranges::any_of(target_.vectors, [&](const auto& vector) { return taken(vector.name); });
    const bool fits =
        (!field.nullable || target_side.declared_nullable) &&
        (field.kind != FieldKind::json || target_side.declared_json_any || !source_side.declared_json_any);
    if (target_side.declared_fields && fits && !reserved) {
      target_.fields.push_back(field);
      rules_.declared.insert(field.name);
      note(Note::Kind::carried, "metadata." + field.name, "declared field");
      if (field.nullable && field.kind != FieldKind::json && rules_.source.nulls)
        note(Note::Kind::lost, "metadata." + field.name, "null and absent are one there (counted)");
    } else {
      target_.dynamic = true;
      note(Note::Kind::changed, "metadata." + field.name, "declared field becomes a metadata field");
    }
  }

  const bool extra = !rules_.document_field.empty() || !rules_.partition_field.empty();
  target_.dynamic = target_.dynamic || extra;
  rules_.flatten =
      target_.dynamic && (!rules_.target.covers(rules_.source) || (extra && rules_.source.empty));
  if (!rules_.partition_field.empty())
    note(Note::Kind::changed, "metadata.partition", "a field of that name becomes 'partition~'");
  if (!target_.dynamic) return;
  if (!rules_.flatten) {
    note(Note::Kind::carried, "metadata", "as it is");
    return;
  }
  note(Note::Kind::changed, "metadata", "'.' and '~' in names of fields are written '~.' and '~~'");
  if (rules_.source.objects > rules_.target.objects)
    note(Note::Kind::changed, "metadata", "objects become fields 'outer.member', tagged 'outer~object'");
  if (rules_.source.arrays_any > rules_.target.arrays_any)
    note(Note::Kind::changed, "metadata",
         "arrays of mixed or nested values and empty ones become fields 'name.0', tagged 'name~array'");
  if (rules_.source.arrays > rules_.target.arrays)
    note(Note::Kind::changed, "metadata", "arrays become fields 'name.0', tagged 'name~array'");
  if (rules_.source.nulls > rules_.target.nulls)
    note(Note::Kind::changed, "metadata", "null becomes the field 'name~null'");
  if (rules_.source.u64 > rules_.target.u64) {
    note(Note::Kind::changed, "metadata", "integers above int64 become the field 'name~u64', as 20 digits");
    if (rules_.target.objects)
      note(Note::Kind::refused, "metadata",
           "records with such an integer inside an object or array are refused one by one");
  }
  if (rules_.source.empty > rules_.target.empty)
    note(Note::Kind::changed, "metadata", "empty metadata becomes the field '~empty'");
}

bool Plan::keys_as_in(const Plan& other) const {
  return rules_.source_id == other.rules_.source_id && rules_.target_id == other.rules_.target_id &&
         rules_.partition_field == other.rules_.partition_field &&
         target_.partitions.empty() == other.target_.partitions.empty();
}

uint64_t Plan::hash() const {
  // What does not change how a record is carried must not change the hash: row counts, the state of an index,
  // a dimension that becomes known with the first record, one more partition.
  model::Schema source = source_;
  model::Schema target = target_;
  const bool partitioned = !source.partitions.empty() || !target.partitions.empty();
  for (auto* schema : {&source, &target}) {
    schema->native = {};
    schema->native_id.clear();
    schema->incarnation = 0;  // checkpoints are bound to it beside the hash
    schema->metadata = {};
    if (partitioned) schema->partitions = {""};
    for (auto& field : schema->vectors) {
      field.index = {};
      field.dimension = 0;
    }
  }
  model::Writer bytes;
  bytes.u8(1);  // grows when the rules themselves change
  bytes.schema(source);
  bytes.schema(target);
  bytes.u8(rules_.flatten);
  bytes.u8(requires_vector_);
  bytes.u32(id_bytes_max_);
  bytes.bytes(rules_.document_field);
  bytes.bytes(rules_.partition_field);
  for (const bool held : {rules_.target.objects, rules_.target.arrays, rules_.target.arrays_any,
                          rules_.target.nulls, rules_.target.empty, rules_.target.u64}) {
    bytes.u8(held);
  }
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : bytes.view()) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return hash;
}

std::map<std::string, uint64_t> Plan::losses() const {
  std::lock_guard hold(losses_mutex_);
  return losses_;
}

}  // namespace vmproxy::mapping
