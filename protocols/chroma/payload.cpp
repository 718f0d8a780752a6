#include "protocols/chroma/payload.h"

#include "protocols/chroma/body.h"
#include "protocols/chroma/metadata.h"

namespace vmproxy::protocols::chroma {
namespace {

using Kind = BodyReader::Kind;
using Ids = std::vector<std::string>;

bool read_ids(BodyReader& in, Ids& ids) {
  return in.array([&](size_t) { return in.string(ids.emplace_back()); });
}

template <class T, class Read>
bool read_column(BodyReader& in, Column<T>& column, Read read) {
  return in.optional(column, [&](auto& rows) {
    return in.array([&](size_t) { return in.optional(rows.emplace_back(), read); });
  });
}

bool read_string_column(BodyReader& in, Column<std::string>& column) {
  return read_column(in, column, [&](std::string& text) { return in.string(text); });
}

// Lists of numbers, or strings: whatever the first one is. `null` elements where the call allows them.
// Anything else must still be valid JSON, so it is skipped before it is refused.
bool read_embeddings(BodyReader& in, RecordsCall call, std::vector<std::optional<Embedding>>& rows) {
  const bool nulls = call == RecordsCall::update;
  const std::string_view type = nulls ? "UpdateEmbeddingsPayload" : "EmbeddingsPayload";
  if (in.next() != Kind::array) return in.skip() && in.no_variant(type);
  bool fits = true;
  Kind form = Kind::none;
  const auto read_numbers = [&](model::DenseVector& vector) {
    return in.array([&](size_t) {
      if (in.next() != Kind::number) {
        fits = false;
        return in.skip();
      }
      double number = 0;
      if (!in.scanner().read_double(number)) return false;
      vector.push_back(static_cast<float>(number));
      return true;
    });
  };
  const bool read = in.array([&](size_t) {
    const Kind kind = in.next();
    if (kind == Kind::null && nulls) {
      rows.emplace_back();
      return in.skip();
    }
    if (form == Kind::none) form = kind;
    if (kind != form || (kind != Kind::array && kind != Kind::string)) {
      fits = false;
      return in.skip();
    }
    if (kind == Kind::string)
      return in.string(std::get<std::string>(*rows.emplace_back(Embedding(std::string()))));
    return read_numbers(std::get<model::DenseVector>(*rows.emplace_back(Embedding(model::DenseVector()))));
  });
  return read && (fits || in.no_variant(type));
}

bool read_include(BodyReader& in, std::vector<Include>& list) {
  list.clear();
  return in.array([&](size_t) {
    std::string name;
    if (!in.string(name)) return false;
    for (const Include include :
         {Include::distances, Include::documents, Include::embeddings, Include::metadatas, Include::uris}) {
      if (name != name_of(include)) continue;
      list.push_back(include);
      return true;
    }
    return in.unknown_variant(name, {"distances", "documents", "embeddings", "metadatas", "uris"});
  });
}

template <class Payload>
bool read_filters(BodyReader& in, const std::string& name, Payload& out) {
  if (name == "where") return in.value(out.where);
  if (name == "where_document") return in.value(out.where_document);
  if (name == "ids") return in.optional(out.ids, [&](Ids& ids) { return read_ids(in, ids); });
  return false;
}

template <class T>
OrRefusal<T> finish(const BodyReader& in, bool read, T& payload) {
  if (read) return std::move(payload);
  return in.refusal();
}

}  // namespace

std::string_view name_of(Include include) {
  switch (include) {
    case Include::distances: return "distances";
    case Include::documents: return "documents";
    case Include::embeddings: return "embeddings";
    case Include::metadatas: return "metadatas";
    case Include::uris: return "uris";
  }
  return "";
}

bool includes(const std::vector<Include>& list, Include what) {
  for (const Include include : list) {
    if (include == what) return true;
  }
  return false;
}

OrRefusal<RecordsPayload> read_records(RecordsCall call, std::string_view body) {
  BodyReader in(body);
  RecordsPayload out;
  const bool update = call == RecordsCall::update;
  const auto field = [&](const std::string& name) {
    if (name == "ids") return read_ids(in, out.ids);
    if (name == "embeddings") {
      if (update && in.next() == Kind::null) return in.skip();
      return read_embeddings(in, call, out.embeddings.emplace());
    }
    if (name == "documents") return read_string_column(in, out.documents);
    if (name == "uris") return read_string_column(in, out.uris);
    if (name == "metadatas") {
      return read_column(in, out.metadatas,
                         [&](Metadata& m) { return read_metadata(in, call != RecordsCall::add, m); });
    }
    return false;
  };
  const bool read = update ? in.whole("UpdateCollectionRecordsPayload", {"ids"}, field)
                           : in.whole(call == RecordsCall::add ? "AddCollectionRecordsPayload"
                                                               : "UpsertCollectionRecordsPayload",
                                      {"ids", "embeddings"}, field);
  return finish(in, read, out);
}

OrRefusal<DeletePayload> read_delete(std::string_view body) {
  BodyReader in(body);
  DeletePayload out;
  const bool read = in.whole("DeleteCollectionRecordsPayload", {}, [&](const std::string& name) {
    if (name == "limit") return in.optional(out.limit, [&](uint32_t& n) { return in.u32(n); });
    return read_filters(in, name, out);
  });
  return finish(in, read, out);
}

OrRefusal<GetPayload> read_get(std::string_view body) {
  BodyReader in(body);
  GetPayload out;
  const bool read = in.whole("GetRequestPayload", {}, [&](const std::string& name) {
    if (name == "limit") return in.optional(out.limit, [&](uint32_t& n) { return in.u32(n); });
    if (name == "offset") return in.optional(out.offset, [&](uint32_t& n) { return in.u32(n); });
    if (name == "include") return read_include(in, out.include);
    return read_filters(in, name, out);
  });
  return finish(in, read, out);
}

OrRefusal<QueryPayload> read_query(std::string_view body) {
  BodyReader in(body);
  QueryPayload out;
  const bool read = in.whole("QueryRequestPayload", {"query_embeddings"}, [&](const std::string& name) {
    if (name == "n_results") return in.optional(out.n_results, [&](uint32_t& n) { return in.u32(n); });
    if (name == "include") return read_include(in, out.include);
    if (name == "query_embeddings")
      return in.array([&](size_t) { return in.floats(out.embeddings.emplace_back()); });
    return read_filters(in, name, out);
  });
  return finish(in, read, out);
}

OrRefusal<std::string> read_name(std::string_view body, std::string_view type, std::string_view field) {
  BodyReader in(body);
  std::string out;
  const bool read =
      in.whole(type, {field}, [&](const std::string& name) { return name == field && in.string(out); });
  return finish(in, read, out);
}

}  // namespace vmproxy::protocols::chroma
