// Bodies of create_collection and update_collection.
#include "protocols/chroma/body.h"
#include "protocols/chroma/metadata.h"
#include "protocols/chroma/payload.h"

namespace vmproxy::protocols::chroma {
namespace {

using Kind = BodyReader::Kind;
using model::Value;

bool read_space(BodyReader& in, std::optional<std::string>& space) {
  return in.optional(space, [&](std::string& name) {
    if (!in.string(name)) return false;
    return name == "l2" || name == "cosine" || name == "ip" ||
           in.unknown_variant(name, {"l2", "cosine", "ip"});
  });
}

bool read_hnsw_field(BodyReader& in, const std::string& name, HnswConfiguration& out) {
  const auto whole_number = [&](std::optional<uint64_t>& n) {
    return in.optional(n, [&](uint64_t& value) { return in.u64(value); });
  };
  if (name == "space") return read_space(in, out.space);
  if (name == "ef_construction") return whole_number(out.ef_construction);
  if (name == "ef_search") return whole_number(out.ef_search);
  if (name == "max_neighbors") return whole_number(out.max_neighbors);
  if (name == "num_threads") return whole_number(out.num_threads);
  if (name == "sync_threshold") return whole_number(out.sync_threshold);
  if (name == "batch_size") return whole_number(out.batch_size);
  if (name == "resize_factor") return in.optional(out.resize_factor, [&](double& d) { return in.number(d); });
  return in.skip();  // parameters of the distributed server's index, which the local one accepts and ignores
}

bool read_embedding_function(BodyReader& in, Value& out) {
  if (in.next() != Kind::object)
    return in.wrong_type("internally tagged enum EmbeddingFunctionConfiguration");
  model::Object read;
  const bool done = in.map([&](const std::string& name) {
    if (name != "type") return in.value(read[name]);
    std::string type;
    if (!in.string(type)) return false;
    if (type != "legacy" && type != "known" && type != "unknown")
      return in.unknown_variant(type, {"legacy", "known", "unknown"});
    read["type"] = type;
    return true;
  });
  if (!done) return false;
  if (!read.contains("type")) return in.missing_field("type");
  const bool known = read["type"].string() == "known";
  model::Object kept{{"type", read["type"]}};
  for (const std::string name : {"name", "config"}) {
    if (!known) continue;
    if (!read.contains(name)) {
      in.scanner().pass_end_of_object();  // the server notices one level further out
      return in.missing_field(name);
    }
    kept[name] = read[name];
  }
  out = std::move(kept);
  return true;
}

bool read_configuration(BodyReader& in, bool update, CollectionConfiguration& out) {
  const auto type = update ? "UpdateCollectionConfiguration" : "CollectionConfiguration";
  return in.structure(type, {}, [&](const std::string& name) {
    if (name == "hnsw") {
      return in.optional(out.hnsw, [&](HnswConfiguration& hnsw) {
        const auto field = [&](const std::string& member) { return read_hnsw_field(in, member, hnsw); };
        if (update) {
          return in.closed_structure(
              "UpdateHnswConfiguration",
              {"ef_search", "max_neighbors", "num_threads", "resize_factor", "sync_threshold", "batch_size"},
              field);
        }
        return in.closed_structure("HnswConfiguration",
                                   {"space", "ef_construction", "ef_search", "max_neighbors", "num_threads",
                                    "resize_factor", "sync_threshold", "batch_size"},
                                   field);
      });
    }
    if (name == "spann") {
      return in.optional(out.spann, [&](HnswConfiguration& spann) {
        return in.closed_structure(
            "SpannConfiguration",
            {"search_nprobe", "write_nprobe", "space", "ef_construction", "ef_search", "max_neighbors",
             "reassign_neighbor_count", "split_threshold", "merge_threshold"},
            [&](const std::string& member) { return read_hnsw_field(in, member, spann); });
      });
    }
    if (name == "embedding_function") {
      return in.optional(out.embedding_function,
                         [&](Value& function) { return read_embedding_function(in, function); });
    }
    return false;
  });
}

}  // namespace

OrRefusal<CreateCollectionPayload> read_create_collection(std::string_view body) {
  BodyReader in(body);
  CreateCollectionPayload out;
  const bool read = in.whole("CreateCollectionPayload", {"name"}, [&](const std::string& name) {
    if (name == "name") return in.string(out.name);
    if (name == "metadata")
      return in.optional(out.metadata, [&](Metadata& m) { return read_metadata(in, false, m); });
    if (name == "configuration") {
      return in.optional(out.configuration,
                         [&](CollectionConfiguration& c) { return read_configuration(in, false, c); });
    }
    if (name == "schema") {
      return in.optional(out.schema, [&](Value& schema) {
        if (in.next() != Kind::object) return in.wrong_type("struct Schema");
        if (!in.value(schema)) return false;
        for (const auto* field : {"defaults", "keys"}) {
          if (schema.find(field) == nullptr) return in.missing_field(field);
        }
        return true;
      });
    }
    if (name == "get_or_create") return in.boolean(out.get_or_create);
    return false;
  });
  if (read) return out;
  return in.refusal();
}

OrRefusal<UpdateCollectionPayload> read_update_collection(std::string_view body) {
  BodyReader in(body);
  UpdateCollectionPayload out;
  const bool read = in.whole("UpdateCollectionPayload", {}, [&](const std::string& name) {
    if (name == "new_name")
      return in.optional(out.new_name, [&](std::string& text) { return in.string(text); });
    if (name == "new_metadata")
      return in.optional(out.new_metadata, [&](Metadata& m) { return read_metadata(in, true, m); });
    if (name == "new_configuration") {
      return in.optional(out.new_configuration,
                         [&](CollectionConfiguration& c) { return read_configuration(in, true, c); });
    }
    return false;
  });
  if (read) return out;
  return in.refusal();
}

}  // namespace vmproxy::protocols::chroma
