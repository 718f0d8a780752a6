#include "protocols/chroma/collection.h"

#include <algorithm>
#include <thread>

#include "protocols/wire/json.h"

namespace vmproxy::protocols::chroma {
namespace {

using model::Object;
using model::Value;

const Value null_value;

const Value& at(const Value& value, std::string_view name) {
  const Value* found = value.find(name);
  return found == nullptr ? null_value : *found;
}

// The member, made an object where it is none.
Value& inside(Value& value, const std::string& name) {
  if (!value.is_object()) value = Object();
  return value.object()[name];
}

std::string text_of(const Value& value) {
  return value.is_string() ? value.string() : std::string();
}

struct Hnsw {
  std::string space = "l2";
  uint64_t ef_construction = 100, ef_search = 100, max_neighbors = 16, batch_size = 100,
           sync_threshold = 1000;
  uint64_t num_threads = std::max(1u, std::thread::hardware_concurrency());
  double resize_factor = 1.2;
};

bool is_default(const HnswConfiguration& c) {
  const Hnsw d;
  return c.space.value_or(d.space) == d.space &&
         c.ef_construction.value_or(d.ef_construction) == d.ef_construction &&
         c.ef_search.value_or(d.ef_search) == d.ef_search &&
         c.max_neighbors.value_or(d.max_neighbors) == d.max_neighbors &&
         c.batch_size.value_or(d.batch_size) == d.batch_size &&
         c.sync_threshold.value_or(d.sync_threshold) == d.sync_threshold &&
         c.num_threads.value_or(d.num_threads) == d.num_threads &&
         c.resize_factor.value_or(d.resize_factor) == d.resize_factor;
}

void apply(const HnswConfiguration& c, Hnsw& h) {
  h.space = c.space.value_or(h.space);
  h.ef_construction = c.ef_construction.value_or(h.ef_construction);
  h.ef_search = c.ef_search.value_or(h.ef_search);
  h.max_neighbors = c.max_neighbors.value_or(h.max_neighbors);
  h.batch_size = c.batch_size.value_or(h.batch_size);
  h.sync_threshold = c.sync_threshold.value_or(h.sync_threshold);
  h.num_threads = c.num_threads.value_or(h.num_threads);
  h.resize_factor = c.resize_factor.value_or(h.resize_factor);
}

// The older way to configure: metadata of the collection whose names begin with "hnsw:".
Result<void> apply_legacy(const Object& metadata, Hnsw& h) {
  const Error bad(Code::invalid, "Failed to parse hnsw parameters from segment metadata");
  for (const auto& [name, value] : metadata) {
    if (!name.starts_with("hnsw:")) continue;
    const auto* integer = std::get_if<int64_t>(&value.data);
    const auto count = [&](uint64_t& out, int64_t least) {
      if (integer == nullptr || *integer < least) return false;
      out = static_cast<uint64_t>(*integer);
      return true;
    };
    bool good = false;
    if (name == "hnsw:space") {
      h.space = text_of(value);
      good = h.space == "l2" || h.space == "cosine" || h.space == "ip";
    } else if (name == "hnsw:construction_ef") {
      good = count(h.ef_construction, 0);
    } else if (name == "hnsw:search_ef") {
      good = count(h.ef_search, 0);
    } else if (name == "hnsw:M") {
      good = count(h.max_neighbors, 0);
    } else if (name == "hnsw:num_threads") {
      good = count(h.num_threads, 0);
    } else if (name == "hnsw:batch_size") {
      good = count(h.batch_size, 2);
    } else if (name == "hnsw:sync_threshold") {
      good = count(h.sync_threshold, 2);
    } else if (name == "hnsw:resize_factor" && value.is_number()) {
      h.resize_factor = value.number();
      good = true;
    }
    if (!good) return bad;
  }
  return {};
}

Value index_parameters(const Hnsw& h) {
  return Object{{"ef_construction", h.ef_construction},
                {"max_neighbors", h.max_neighbors},
                {"ef_search", h.ef_search},
                {"num_threads", h.num_threads},
                {"batch_size", h.batch_size},
                {"sync_threshold", h.sync_threshold},
                {"resize_factor", h.resize_factor}};
}

Value vector_index(const Hnsw& h, const Value& function, bool of_embedding) {
  Object config{{"space", h.space}, {"hnsw", index_parameters(h)}};
  if (!function.is_null()) config["embedding_function"] = function;
  if (of_embedding) config["source_key"] = "#document";
  return Object{{"vector_index", Object{{"enabled", of_embedding}, {"config", std::move(config)}}}};
}

Value switched(bool enabled) {
  return Object{{"enabled", enabled}, {"config", Object()}};
}

Value text_index(bool full_text, bool inverted) {
  return Object{{"fts_index", switched(full_text)}, {"string_inverted_index", switched(inverted)}};
}

Value new_schema(const Hnsw& h, const Value& function) {
  const Value sparse =
      Object{{"enabled", false},
             {"config", Object{{"embedding_function", Object{{"type", "unknown"}}}, {"bm25", false}}}};
  return Object{{"defaults", Object{{"string", text_index(false, true)},
                                    {"float_list", vector_index(h, function, false)},
                                    {"sparse_vector", Object{{"sparse_vector_index", sparse}}},
                                    {"int", Object{{"int_inverted_index", switched(true)}}},
                                    {"float", Object{{"float_inverted_index", switched(true)}}},
                                    {"bool", Object{{"bool_inverted_index", switched(true)}}}}},
                {"keys", Object{{"#embedding", Object{{"float_list", vector_index(h, function, true)}}},
                                {"#document", Object{{"string", text_index(true, false)}}}}}};
}

void merge(Value& into, const Value& from) {
  if (!from.is_object() || !into.is_object()) {
    into = from;
    return;
  }
  for (const auto& [name, value] : from.object()) {
    if (!value.is_null()) merge(into.object()[name], value);
  }
}

bool asks_for_sparse_index(const Value& schema) {
  for (const auto* part : {"defaults", "keys"}) {
    const Value& fields = at(schema, part);
    const auto enabled = [](const Value& types) {
      return at(at(at(types, "sparse_vector"), "sparse_vector_index"), "enabled") == Value(true);
    };
    if (enabled(fields)) return true;
    if (!fields.is_object()) continue;
    for (const auto& [name, types] : fields.object()) {
      if (enabled(types)) return true;
    }
  }
  return false;
}

// A schema given by the user over the server's own; the index parameters of its vector decide the
// configuration.
Result<void> apply_schema(const Value& wanted, Hnsw& h, Value& function, Value& schema) {
  if (asks_for_sparse_index(wanted)) {
    return Error(
        Code::invalid,
        "Failed to reconcile schema: Invalid schema input: Sparse vector indexing is not enabled in local");
  }
  const Value& index =
      at(at(at(at(at(wanted, "keys"), "#embedding"), "float_list"), "vector_index"), "config");
  if (const Value& space = at(index, "space"); space.is_string()) h.space = space.string();
  if (const Value& given = at(index, "embedding_function"); !given.is_null()) function = given;
  const auto count = [&](const char* name, uint64_t& out) {
    if (const auto* n = std::get_if<int64_t>(&at(at(index, "hnsw"), name).data); n != nullptr && *n >= 0)
      out = static_cast<uint64_t>(*n);
  };
  count("ef_construction", h.ef_construction);
  count("ef_search", h.ef_search);
  count("max_neighbors", h.max_neighbors);
  count("num_threads", h.num_threads);
  count("batch_size", h.batch_size);
  count("sync_threshold", h.sync_threshold);
  if (const Value& factor = at(at(index, "hnsw"), "resize_factor"); factor.is_number())
    h.resize_factor = factor.number();
  merge(schema, wanted);
  inside(inside(schema, "keys"), "#embedding") = Object{{"float_list", vector_index(h, function, true)}};
  return {};
}

Value configuration_json(const Hnsw& h, const Value& function) {
  return Object{{"hnsw", Object{{"space", h.space},
                                {"ef_construction", h.ef_construction},
                                {"ef_search", h.ef_search},
                                {"max_neighbors", h.max_neighbors},
                                {"resize_factor", h.resize_factor},
                                {"sync_threshold", h.sync_threshold}}},
                {"spann", nullptr},
                {"embedding_function", function}};
}

}  // namespace

Result<model::Schema> schema_of(const Value& native) {
  const auto bad = [](std::string_view what) {
    return Error(Code::corrupt, "a collection came without " + std::string(what));
  };
  model::Schema schema;
  schema.name = {space_path(text_of(at(native, "tenant")), text_of(at(native, "database"))),
                 text_of(at(native, "name"))};
  schema.native_id = text_of(at(native, "id"));
  if (schema.name.name.empty()) return bad("its name");
  if (schema.native_id.empty()) return bad("its id");
  schema.has_document = true;
  model::VectorField vector;
  if (const auto* n = std::get_if<int64_t>(&at(native, "dimension").data);
      n != nullptr && *n > 0 && *n <= UINT32_MAX) {
    vector.dimension = static_cast<uint32_t>(*n);
  }
  const Value& configuration = at(native, "configuration_json");
  const bool spann = !at(configuration, "spann").is_null();
  vector.index = at(configuration, spann ? "spann" : "hnsw");
  if (vector.index.is_object()) vector.index.object()["type"] = spann ? "spann" : "hnsw";
  const std::string space = text_of(at(vector.index, "space"));
  vector.metric = space == "cosine" ? model::Metric::cosine
                  : space == "ip"   ? model::Metric::inner_product
                                    : model::Metric::l2;
  schema.vectors.push_back(std::move(vector));
  schema.metadata = at(native, "metadata");
  schema.native = native;
  return schema;
}

void append_collection(std::string& out, const Value& native) {
  out += '{';
  bool first = true;
  for (const auto* name : {"id", "name", "configuration_json", "schema", "metadata", "dimension", "tenant",
                           "database", "log_position", "version"}) {
    if (!first) out += ',';
    first = false;
    wire::append_json_string(out, name);
    out += ':';
    wire::append_json(out, at(native, name));
  }
  out += '}';
}

Result<Value> new_collection(const CreateCollectionPayload& request, const Place& place,
                             const std::string& id) {
  Hnsw h;
  Value function;
  const auto& configuration = request.configuration;
  bool is_plain = true;  // nothing but defaults was configured
  if (configuration) {
    if (configuration->hnsw && configuration->spann)
      return Error(Code::invalid, "Multiple vector index configurations provided");
    if (configuration->hnsw) {
      apply(*configuration->hnsw, h);
      is_plain = is_default(*configuration->hnsw);
    } else if (configuration->spann) {
      h.space = configuration->spann->space.value_or(h.space);
      is_plain = h.space == "l2";
    }
    if (configuration->embedding_function) function = *configuration->embedding_function;
  }
  const auto& metadata = request.metadata;
  if (metadata && is_plain) {
    if (auto done = apply_legacy(metadata->set, h); !done) return done.error();
  }
  Value schema = new_schema(h, function);
  if (request.schema) {
    if (!is_plain)
      return Error(Code::invalid,
                   "Failed to reconcile schema: Cannot set both collection config and schema simultaneously");
    if (auto done = apply_schema(*request.schema, h, function, schema); !done) return done.error();
  }
  return Value(Object{{"id", id},
                      {"name", request.name},
                      {"configuration_json", configuration_json(h, function)},
                      {"schema", std::move(schema)},
                      {"metadata", metadata ? Value(metadata->set) : Value()},
                      {"dimension", nullptr},
                      {"tenant", place.tenant},
                      {"database", place.database},
                      {"log_position", 0},
                      {"version", 0}});
}

Result<Value> changed_collection(const Value& native, const UpdateCollectionPayload& request) {
  Value changed = native;
  if (request.new_name) changed.object()["name"] = *request.new_name;
  if (request.new_metadata) {
    changed.object()["metadata"] =
        request.new_metadata->set.empty() ? Value() : Value(request.new_metadata->set);
  }
  if (!request.new_configuration) return changed;
  const CollectionConfiguration& configuration = *request.new_configuration;
  if (configuration.hnsw && configuration.spann)
    return Error(Code::invalid, "Multiple vector index configurations provided");
  Value& shown = inside(changed, "configuration_json");
  Value& vector = inside(
      inside(inside(inside(inside(changed, "schema"), "keys"), "#embedding"), "float_list"), "vector_index");
  Value& defaults =
      inside(inside(inside(inside(changed, "schema"), "defaults"), "float_list"), "vector_index");
  if (configuration.embedding_function) {
    inside(shown, "embedding_function") = *configuration.embedding_function;
    for (Value* index : {&vector, &defaults})
      inside(inside(*index, "config"), "embedding_function") = *configuration.embedding_function;
  }
  if (!configuration.hnsw) return changed;
  const HnswConfiguration& hnsw = *configuration.hnsw;
  const auto set = [&](const char* name, const auto& value, bool visible) {
    if (!value) return;
    if (visible) inside(inside(shown, "hnsw"), name) = Value(*value);
    for (Value* index : {&vector, &defaults})
      inside(inside(inside(*index, "config"), "hnsw"), name) = Value(*value);
  };
  set("ef_search", hnsw.ef_search, true);
  set("max_neighbors", hnsw.max_neighbors, true);
  set("resize_factor", hnsw.resize_factor, true);
  set("sync_threshold", hnsw.sync_threshold, true);
  set("num_threads", hnsw.num_threads, false);
  set("batch_size", hnsw.batch_size, false);
  return changed;
}

}  // namespace vmproxy::protocols::chroma
