// How a plan carries keys, records and queries to the target, and answers back.
#include "mapping/identity.h"
#include "mapping/plan.h"

namespace vmproxy::mapping {
namespace {

using model::Filter;
using model::Object;
using model::Record;

Error record_error(const Record& record, std::string message) {
  return {Code::invalid, "record '" + model::to_string(record.key.id).substr(0, 80) + "': " + message};
}

}  // namespace

Result<model::Key> Plan::key_to_target(const model::Key& key) const {
  if (key.id.kind() != rules_.source_id) {
    return Error{Code::invalid, "id: '" + model::to_string(key.id).substr(0, 80) + "' is of kind " +
                                    std::string(name_of(key.id.kind())) + ", ids of this collection are " +
                                    std::string(name_of(rules_.source_id))};
  }
  auto id = convert(key.id, rules_.target_id);
  if (!id) return id.error();
  model::Key there{key.partition, std::move(*id)};
  if (!rules_.partition_field.empty()) {
    there.id.value = join_partition(key.partition, std::get<std::string>(there.id.value));
    there.partition.clear();
  }
  if (id_bytes_max_ > 0) {
    const auto& text = std::get<std::string>(there.id.value);
    if (text.size() > id_bytes_max_) {
      return Error{Code::invalid, "id: " + std::to_string(text.size()) + " bytes, the target takes at most " +
                                      std::to_string(id_bytes_max_)};
    }
  }
  return there;
}

bool Plan::keeps_order() const {
  using model::IdKind;
  const IdKind here = rules_.source_id, there = rules_.target_id;
  // Negative numbers have no form as u64; the digits of a uuid as text are in the order of its bytes.
  const bool same =
      here == there || (is_number(here) && is_number(there)) || (!is_number(here) && !is_number(there));
  return same && rules_.partition_field.empty();
}

Result<model::Key> Plan::key_to_source(const model::Key& key) const {
  model::Key here = key;
  if (!rules_.partition_field.empty()) {
    if (key.id.kind() != model::IdKind::string)
      return Error{Code::invalid, "id: the target's ids are text here"};
    auto parts = split_partition(std::get<std::string>(key.id.value));
    if (!parts) return parts.error();
    here.partition = std::move(parts->first);
    here.id.value = std::move(parts->second);
  }
  if (here.id.kind() != rules_.target_id) {
    return Error{Code::invalid, "id: '" + model::to_string(key.id).substr(0, 80) +
                                    "' is not of the target's kind " +
                                    std::string(name_of(rules_.target_id))};
  }
  auto id = convert(here.id, rules_.source_id);
  if (!id) return id.error();
  here.id = std::move(*id);
  return here;
}

Result<Object> Plan::fields_to_target(const Record& record) const {
  Object out;
  Object dynamic;
  for (const auto& [name, value] : *record.metadata) {
    if (!rules_.declared.contains(name)) {
      if (rules_.flatten && rules_.target.objects && !rules_.target.u64 &&
          (value.is_object() || value.is_array()) && contains_u64(value)) {
        return record_error(record, "metadata." + name +
                                        ": holds an integer above 9223372036854775807, which the target "
                                        "cannot hold inside an object or array");
      }
      dynamic.emplace(name, value);
    } else if (!value.is_null() || rules_.typed.at(name).kind == model::FieldKind::json) {
      out.emplace(name, value);
    } else {
      std::lock_guard hold(losses_mutex_);
      ++losses_["metadata." + name + ": null"];
    }
  }
  // "empty" is said of all the metadata, not of the part beside declared fields.
  if (rules_.flatten && (!dynamic.empty() || record.metadata->empty()))
    dynamic = flatten(dynamic, rules_.target);
  for (auto& [name, value] : dynamic) {
    if (!out.emplace(rules_.shifted(name), std::move(value)).second) {
      return record_error(record,
                          "metadata." + name + ": a declared field of the same name exists in the target");
    }
  }
  const bool extra = !rules_.document_field.empty() || !rules_.partition_field.empty();
  if (rules_.flatten && extra && record.metadata->empty()) out[std::string(tag_empty)] = true;
  return out;
}

Result<Record> Plan::to_target(const Record& record) const {
  auto key = key_to_target(record.key);
  if (!key) return record_error(record, key.error().message);
  Record there;
  there.key = std::move(*key);
  for (const auto& [name, vector] : record.vectors) {
    const auto target = vector_names_.find(name);
    if (target == vector_names_.end())
      return record_error(record, "vector." + name + ": the collection declares no such vector field");
    there.vectors.emplace(target->second, vector);
  }
  if (requires_vector_ && there.vectors.empty())
    return record_error(record, "vector: absent, and the target cannot hold a record without one");
  const bool changes = rules_.flatten || !rules_.declared.empty() || !rules_.document_field.empty() ||
                       !rules_.partition_field.empty();
  if (record.metadata && !changes) {
    there.metadata = record.metadata;
  } else if (record.metadata) {
    auto fields = fields_to_target(record);
    if (!fields) return fields.error();
    // Declared fields that were all null leave nothing behind.
    if (!fields->empty() || record.metadata->empty()) there.metadata = std::move(*fields);
  }
  if (rules_.document_field.empty()) {
    there.document = record.document;
  } else if (record.document) {
    if (!there.metadata) there.metadata.emplace();
    (*there.metadata)[rules_.document_field] = *record.document;
  }
  if (!rules_.partition_field.empty()) {
    if (!there.metadata) there.metadata.emplace();
    (*there.metadata)[rules_.partition_field] = record.key.partition;
  }
  return there;
}

Result<void> Plan::fields_to_source(Record& record) const {
  const bool was_empty = record.metadata->empty();
  Object declared;
  Object dynamic;
  for (auto& [name, value] : *record.metadata) {
    if (rules_.is_ours(name)) continue;
    if (rules_.declared.contains(name)) {
      declared.emplace(name, std::move(value));
    } else {
      dynamic.emplace(rules_.unshifted(name), std::move(value));
    }
  }
  const bool marked = rules_.flatten && dynamic.contains(std::string(tag_empty));
  if (marked) dynamic.erase(std::string(tag_empty));
  if (rules_.flatten && !dynamic.empty()) {
    auto fields = unflatten(dynamic);
    if (!fields) return record_error(record, fields.error().message);
    dynamic = std::move(*fields);
  }
  dynamic.merge(declared);
  record.metadata = std::move(dynamic);
  if (record.metadata->empty() && !was_empty && !marked) record.metadata.reset();
  return {};
}

Result<Record> Plan::to_source(const Record& record) const {
  auto key = key_to_source(record.key);
  if (!key) return record_error(record, key.error().message);
  Record here;
  for (const auto& [name, target] : vector_names_) {
    const auto vector = record.vectors.find(target);
    if (vector != record.vectors.end()) here.vectors.emplace(name, vector->second);
  }
  here.key = std::move(*key);
  here.document = record.document;
  here.metadata = record.metadata;
  if (!record.metadata) return here;
  if (const auto text = record.metadata->find(rules_.document_field);
      !rules_.document_field.empty() && text != record.metadata->end()) {
    if (!text->second.is_string())
      return record_error(record,
                          "metadata." + rules_.document_field + ": must be a text, it holds the document");
    here.document = text->second.string();
  }
  if (auto done = fields_to_source(here); !done) return done.error();
  return here;
}

Result<model::Query> Plan::to_target(const model::Query& query) const {
  model::Query there = query;
  there.collection = target_.name;
  if (query.keys) {
    there.keys->clear();
    for (const auto& key : *query.keys) {
      auto mapped = key_to_target(key);
      // A key that has no form in the target was refused there: no record has it.
      if (mapped) there.keys->push_back(std::move(*mapped));
    }
  }
  if (query.filter) {
    auto rewritten = rewrite(*query.filter, rules_);
    if (!rewritten) return rewritten.error();
    there.filter = std::move(*rewritten);
  }
  if (!rules_.partition_field.empty() && !query.partitions.empty()) {
    model::Array names(query.partitions.begin(), query.partitions.end());
    Filter within = Filter::make(Filter::Kind::in, Filter::field_of(rules_.partition_field),
                                 Filter::literal_of(std::move(names)));
    there.filter =
        there.filter ? Filter::all({std::move(*there.filter), std::move(within)}) : std::move(within);
    there.partitions.clear();
  }
  if (query.kind == model::Query::Kind::search) {
    const auto name = vector_names_.find(query.vector_name);
    if (name == vector_names_.end())
      return Error{Code::invalid,
                   "vector." + query.vector_name + ": the collection has no such vector field"};
    there.vector_name = name->second;
  }
  if (!rules_.document_field.empty() && query.with_document) there.with_metadata = true;
  if (query.fields && (rules_.flatten || !rules_.document_field.empty() || !rules_.partition_field.empty())) {
    // Members of objects, and fields named as one of ours, lie under other names; to_source(result, asked) cuts.
    there.fields.reset();
  }
  return there;
}

Result<model::QueryResult> Plan::to_source(model::QueryResult result) const {
  for (auto& record : result.records) {
    auto here = to_source(record);
    if (!here) return here.error();
    record = std::move(*here);
  }
  for (auto& hits : result.hits) {
    for (auto& hit : hits) {
      auto here = to_source(hit.record);
      if (!here) return here.error();
      hit.record = std::move(*here);
    }
  }
  return result;
}

Result<model::QueryResult> Plan::to_source(model::QueryResult result, const model::Query& asked) const {
  auto here = to_source(std::move(result));
  if (!here) return here;
  const auto cut = [&](Record& record) {
    if (!asked.with_document) record.document.reset();
    if (!asked.with_metadata) record.metadata.reset();
    if (!record.metadata || !asked.fields) return;
    Object wanted;
    for (const auto& name : *asked.fields) {
      if (const auto at = record.metadata->find(name); at != record.metadata->end()) wanted.insert(*at);
    }
    record.metadata = std::move(wanted);
  };
  for (auto& record : here->records) cut(record);
  for (auto& hits : here->hits) {
    for (auto& hit : hits) cut(hit.record);
  }
  return here;
}

}  // namespace vmproxy::mapping
