// add, update, upsert, delete: the server's checks in the server's order, then a model::Write with its
// semantics.
#include <cmath>

#include "protocols/chroma/answer.h"
#include "protocols/chroma/base64.h"
#include "protocols/chroma/filters.h"
#include "protocols/chroma/metadata.h"
#include "protocols/chroma/payload.h"
#include "protocols/chroma/serve.h"

namespace vmproxy::protocols::chroma {
namespace {

using model::DenseVector;
using model::Patch;
using model::Schema;
using model::SchemaChange;
using model::Value;
using model::Write;

using Vectors = std::vector<std::optional<DenseVector>>;

// Base64 is decoded before anything is checked.
Result<Vectors> vectors_of(RecordsPayload& payload) {
  Vectors vectors;
  if (!payload.embeddings) return vectors;
  for (auto& row : *payload.embeddings) {
    if (!row) {
      vectors.emplace_back();
    } else if (auto* numbers = std::get_if<DenseVector>(&*row)) {
      vectors.emplace_back(std::move(*numbers));
    } else {
      auto decoded = decode_base64_floats(std::get<std::string>(*row));
      if (!decoded) return decoded.error();
      vectors.emplace_back(std::move(*decoded));
    }
  }
  return vectors;
}

std::string embeddings_objection(const Vectors& vectors) {
  for (const auto& vector : vectors) {
    if (vector && vector->empty()) return "embeddings: Each embedding must have at least 1 dimension";
  }
  for (const auto& vector : vectors) {
    if (!vector) continue;
    for (const float x : *vector) {
      if (!std::isfinite(x)) return "embeddings: Embeddings must not contain NaN or Infinity values";
    }
  }
  return "";
}

std::string metadatas_objection(const RecordsPayload& payload) {
  if (!payload.metadatas) return "";
  for (size_t i = 0; i < payload.metadatas->size(); ++i) {
    const auto& metadata = (*payload.metadatas)[i];
    if (metadata && !legal_record_metadata(*metadata))
      return "metadatas: Invalid metadata at index " + std::to_string(i);
  }
  return "";
}

std::optional<net::Response> refuse_records(const RecordsPayload& payload, const Vectors& vectors,
                                            const Schema& schema) {
  std::string objections = embeddings_objection(vectors);
  if (const auto text = metadatas_objection(payload); !text.empty())
    objections += (objections.empty() ? "" : "\n") + text;
  if (!objections.empty()) return invalid("Validation error: " + objections);
  std::optional<size_t> dimension;
  for (const auto& vector : vectors) {
    if (!vector) continue;
    if (dimension && *dimension != vector->size())
      return invalid("Inconsistent dimensions in provided embeddings");
    dimension = vector->size();
  }
  if (dimension) {
    if (auto refusal = refuse_dimension(schema, *dimension)) return refusal;
  }
  const size_t count = payload.ids.size();
  const auto fits = [count](const auto& column) { return !column || column->size() == count; };
  if (!fits(payload.embeddings) || !fits(payload.documents) || !fits(payload.uris) ||
      !fits(payload.metadatas)) {
    return invalid("Inconsistent number of IDs, embeddings, documents, URIs and metadatas");
  }
  for (const auto& id : payload.ids) {
    if (id.empty()) return invalid("Empty ID, ID must have at least one character");
  }
  if (!payload.metadatas) return std::nullopt;
  for (const auto& metadata : *payload.metadatas) {
    if (metadata && metadata->sparse_vector_field) {
      return refuse(501, "ChromaError",
                    "Unimplemented: Sparse vector is not supported for local chroma: " +
                        *metadata->sparse_vector_field);
    }
  }
  return std::nullopt;
}

// The document and the uri live among the metadata too; what comes in a column of its own counts more. Empty
// lists are not kept: setting one removes the field.
Patch patch_of(RecordsPayload& payload, Vectors& vectors, size_t i) {
  Patch patch;
  patch.key.id.value = std::move(payload.ids[i]);
  if (!vectors.empty() && vectors[i]) patch.vectors[""] = std::move(*vectors[i]);
  if (payload.metadatas && (*payload.metadatas)[i]) {
    Metadata& metadata = *(*payload.metadatas)[i];
    patch.set = std::move(metadata.set);
    patch.unset = std::move(metadata.unset);
    if (const auto document = patch.set.find(std::string(document_key)); document != patch.set.end()) {
      if (document->second.is_string()) patch.document = document->second.string();
      patch.set.erase(document);
    }
    for (auto field = patch.set.begin(); field != patch.set.end();) {
      if (field->second.is_array() && field->second.array().empty()) {
        patch.unset.push_back(field->first);
        field = patch.set.erase(field);
      } else {
        ++field;
      }
    }
  }
  if (payload.documents && (*payload.documents)[i]) patch.document = std::move(*(*payload.documents)[i]);
  if (payload.uris && (*payload.uris)[i])
    patch.set[std::string(uri_key)] = Value(std::move(*(*payload.uris)[i]));
  return patch;
}

bool removes_document(const RecordsPayload& payload) {
  if (!payload.metadatas) return false;
  for (const auto& metadata : *payload.metadatas) {
    if (!metadata) continue;
    for (const auto& name : metadata->unset) {
      if (name == document_key) return true;
    }
  }
  return false;
}

// The first embedding decides the dimension of the collection.
Result<void> learn_dimension(Asked& asked, const Schema& schema, const Vectors& vectors) {
  if (!schema.vectors.empty() && schema.vectors[0].dimension != 0) return {};
  for (const auto& vector : vectors) {
    if (!vector) continue;
    SchemaChange change;
    change.kind = SchemaChange::Kind::alter_collection;
    change.name = schema.name;
    change.schema = schema;
    if (change.schema.vectors.empty()) change.schema.vectors.emplace_back();
    change.schema.vectors[0].dimension = static_cast<uint32_t>(vector->size());
    if (change.schema.native.is_object())
      change.schema.native.object()["dimension"] = static_cast<int64_t>(vector->size());
    const auto done = asked.backend.change(change);
    if (!done) return done.error();
    return {};
  }
  return {};
}

Answer write_records(Asked& asked, RecordsCall call) {
  auto read = read_records(call, asked.request.body);
  if (auto* refusal = std::get_if<net::Response>(&read)) return std::move(*refusal);
  auto& payload = std::get<RecordsPayload>(read);
  Found found = find_collection(asked);
  if (found.refusal) return std::move(*found.refusal);
  auto vectors = vectors_of(payload);
  if (!vectors) return answer_error(vectors.error());
  if (auto refusal = refuse_records(payload, *vectors, *found.schema)) return std::move(*refusal);
  // Measured on 1.5.9: the server answers 500 to this and takes no write of any collection until it is
  // started again. Only its answer is kept.
  if (removes_document(payload)) return internal_error("Error sending message to compactor");
  if (auto done = learn_dimension(asked, *found.schema, *vectors); !done) return done.error();
  Write write;
  write.collection = found.schema->name;
  write.kind = call == RecordsCall::add      ? Write::Kind::insert_if_absent
               : call == RecordsCall::upsert ? Write::Kind::merge
                                             : Write::Kind::update_existing;
  for (size_t i = 0; i < payload.ids.size(); ++i) write.patches.push_back(patch_of(payload, *vectors, i));
  if (!write.patches.empty()) {
    if (const auto done = asked.backend.write(write); !done) return done.error();
  }
  return answer("{}", call == RecordsCall::add ? 201 : 200);
}

Answer remove(Asked& asked) {
  auto read = read_delete(asked.request.body);
  if (auto* refusal = std::get_if<net::Response>(&read)) return std::move(*refusal);
  auto& payload = std::get<DeletePayload>(read);
  Found found = find_collection(asked);
  if (found.refusal) return std::move(*found.refusal);
  auto filter = filter_of(payload.where, payload.where_document);
  if (!filter) return answer_error(filter.error());
  if (payload.limit && !*filter) {
    return invalid(
        "Validation error: limit, where: limit can only be specified when a where clause is provided");
  }
  if (payload.ids && payload.ids->empty() && !*filter) {
    return invalid("Validation error: ids, where: Either ids or where must be specified");
  }
  Write write;
  write.collection = found.schema->name;
  if (payload.ids) {
    for (auto& id : *payload.ids) write.keys.push_back(key_of(std::move(id)));
  }
  const bool nothing_named = write.keys.empty() && (payload.ids || !*filter);
  if (nothing_named) return answer("{\"deleted\":0}");
  write.kind = *filter ? Write::Kind::delete_where : Write::Kind::delete_keys;
  write.filter = std::move(*filter);
  if (payload.limit) write.limit = *payload.limit;
  const auto done = asked.backend.write(write);
  if (!done) return done.error();
  // By ids the server counts what was asked, not what was there.
  const uint64_t deleted = write.kind == Write::Kind::delete_keys ? write.keys.size() : done->affected;
  return answer("{\"deleted\":" + std::to_string(deleted) + "}");
}

}  // namespace

Answer serve_records(Asked& asked) {
  switch (asked.call) {
    case Call::add: return write_records(asked, RecordsCall::add);
    case Call::update: return write_records(asked, RecordsCall::update);
    case Call::upsert: return write_records(asked, RecordsCall::upsert);
    case Call::remove: return remove(asked);
    default: return Error(Code::internal, "no answer is written for this call");
  }
}

}  // namespace vmproxy::protocols::chroma
