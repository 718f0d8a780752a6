#include "protocols/chroma/records.h"

#include <cmath>
#include <limits>

#include "protocols/chroma/base64.h"
#include "protocols/chroma/filters.h"
#include "protocols/chroma/metadata.h"
#include "protocols/wire/json.h"
#include "protocols/wire/json_scanner.h"

namespace vmproxy::protocols::chroma {
namespace {

using model::DenseVector;
using model::Object;
using model::Record;
using wire::JsonScanner;

// Of what is long in most records.
size_t bulk_bytes(const Record& record, bool base64) {
  size_t bytes = id_of(record.key).size();
  for (const auto& [name, vector] : record.vectors) {
    if (const auto* dense = std::get_if<DenseVector>(&vector)) bytes += dense->size() * (base64 ? 6 : 14);
  }
  if (record.document) bytes += record.document->size();
  return bytes;
}

const DenseVector* vector_of(const Record& record, const std::string& name) {
  const auto found = record.vectors.find(name);
  return found == record.vectors.end() ? nullptr : std::get_if<DenseVector>(&found->second);
}

void append_numbers(std::string& out, const DenseVector& vector) {
  wire::append_json_list(out, vector, [&](float x) { wire::append_json_number(out, x); });
}

void append_sent_metadata(std::string& out, const Sent& sent) {
  const auto& metadata = sent.record->metadata;
  if (sent.unset.empty() && (!metadata || metadata->empty())) {
    out += "null";
    return;
  }
  out += '{';
  bool first = true;
  const auto name = [&](const std::string& text) {
    if (!first) out += ',';
    first = false;
    wire::append_json_string(out, text);
    out += ':';
  };
  for (const auto& field : sent.unset) {
    name(field);
    out += "null";
  }
  if (metadata) {
    for (const auto& [field, value] : *metadata) {
      name(field);
      wire::append_json(out, value);
    }
  }
  out += '}';
}

void append_filter(std::string& out, const GetBody& body) {
  out += "\"ids\":";
  if (body.by_ids) {
    wire::append_json_list(out, body.ids, [&](std::string_view id) { wire::append_json_string(out, id); });
  } else {
    out += "null";
  }
  if (body.where != nullptr && !body.where->is_null()) {
    out += ",\"where\":";
    wire::append_json(out, *body.where);
  }
}

void append_include(std::string& out, Included parts, bool distances) {
  out += ",\"include\":[";
  std::string names;
  if (parts.vectors) names += ",\"embeddings\"";
  if (parts.content && parts.documents) names += ",\"documents\"";
  if (parts.content) names += R"(,"metadatas","uris")";
  if (distances) names += ",\"distances\"";
  if (!names.empty()) out += names.substr(1);
  out += "]}";
}

// The lists of an answer run in parallel; `at(i)` is the record they speak of.
class Columns {
 public:
  Columns(JsonScanner& in, const std::string& vector_name) : in_(in), vector_name_(vector_name) {}

  // Reads the list of one member into the records; null lists leave them as they are.
  template <class At>
  bool read(const std::string& name, At at) {
    if (in_.next_kind() == JsonScanner::Kind::null) return in_.read_null();
    if (!in_.enter_array()) return false;
    for (size_t i = 0; in_.next_element(); ++i) {
      Record* record = at(i);
      if (record == nullptr) return in_.fail("more " + name + " than ids");
      if (in_.next_kind() == JsonScanner::Kind::null ? !in_.read_null() : !read_one(name, *record))
        return false;
    }
    return in_.ok();
  }

 private:
  bool read_one(const std::string& name, Record& record) {
    if (name == "embeddings") {
      DenseVector vector;
      vector.reserve(dimension_);
      // Where the length of a vector overflows, Chroma keeps no numbers under cosine and shows nulls.
      if (!in_.read_floats(vector, JsonScanner::Nulls::are_nan)) return false;
      dimension_ = vector.size();
      record.vectors[vector_name_] = std::move(vector);
      return true;
    }
    if (name == "documents") return in_.read_string(record.document.emplace());
    if (name == "uris") {
      std::string uri;
      if (!in_.read_string(uri)) return false;
      if (!record.metadata) record.metadata.emplace();
      (*record.metadata)[std::string(uri_key)] = std::move(uri);
      return true;
    }
    if (!record.metadata) record.metadata.emplace();
    std::string field;
    if (!in_.enter_object()) return false;
    while (in_.next_member(field)) {
      if (!in_.read_value((*record.metadata)[field])) return false;
    }
    return in_.ok();
  }

  JsonScanner& in_;
  const std::string& vector_name_;
  size_t dimension_ = 0;
};

bool is_column(const std::string& name) {
  return name == "embeddings" || name == "documents" || name == "uris" || name == "metadatas";
}

// A record whose metadata is all hidden shows {}; we know it as absent.
void tidy(Record& record) {
  if (record.metadata && record.metadata->empty()) record.metadata.reset();
}

Error unreadable(const JsonScanner& in) {
  return Error(Code::corrupt, "the server's answer cannot be read: " + in.error());
}

}  // namespace

size_t body_bytes(const Record& record, bool base64) {
  size_t bytes = 64 + bulk_bytes(record, base64);
  if (record.metadata) bytes += wire::to_json(*record.metadata).size();
  return bytes;
}

std::optional<std::string> record_objection(const Record& record, const std::string& vector_name,
                                            uint32_t dimension) {
  if (record.key.id.kind() != model::IdKind::string) return "id: Chroma's ids are strings";
  const std::string& id = id_of(record.key);
  if (id.empty()) return "id: Chroma refuses an empty id";
  if (!wire::valid_utf8(id)) return "id: not valid UTF-8";
  const DenseVector* vector = vector_of(record, vector_name);
  if (vector == nullptr || vector->empty()) return "vector: Chroma keeps no record without a vector";
  if (record.vectors.size() > 1) return "vector: Chroma keeps one vector a record";
  if (dimension != 0 && vector->size() != dimension) {
    return "vector: " + std::to_string(vector->size()) + " dimensions, the collection has " +
           std::to_string(dimension);
  }
  for (const float x : *vector) {
    if (!std::isfinite(x)) return "vector: NaN and infinity are refused by Chroma";
  }
  if (record.document && !wire::valid_utf8(*record.document)) return "document: not valid UTF-8";
  if (!record.metadata) return std::nullopt;
  if (auto objection = metadata_objection(*record.metadata)) return objection;
  if (!wire::valid_utf8(wire::to_json(*record.metadata))) return "metadata: not valid UTF-8";
  return std::nullopt;
}

std::string records_body(std::span<const Sent> records, const std::string& vector_name, bool base64) {
  std::string out;
  size_t bytes = 256;
  for (const Sent& sent : records) bytes += 256 + bulk_bytes(*sent.record, base64);
  out.reserve(bytes);
  out += "{\"ids\":";
  wire::append_json_list(out, records,
                         [&](const Sent& sent) { wire::append_json_string(out, id_of(sent.record->key)); });
  out += ",\"embeddings\":";
  wire::append_json_list(out, records, [&](const Sent& sent) {
    const DenseVector& vector = *vector_of(*sent.record, vector_name);  // record_objection() saw to it
    if (base64) {
      out += '"';
      append_base64_floats(out, vector);
      out += '"';
    } else {
      append_numbers(out, vector);
    }
  });
  out += ",\"documents\":";
  wire::append_json_list(out, records, [&](const Sent& sent) {
    if (sent.record->document) {
      wire::append_json_string(out, *sent.record->document);
    } else {
      out += "null";
    }
  });
  out += ",\"metadatas\":";
  wire::append_json_list(out, records, [&](const Sent& sent) { append_sent_metadata(out, sent); });
  out += '}';
  return out;
}

std::string get_body(const GetBody& body) {
  std::string out = "{";
  append_filter(out, body);
  if (body.limit) out += ",\"limit\":" + std::to_string(*body.limit);
  if (body.offset) out += ",\"offset\":" + std::to_string(*body.offset);
  append_include(out, body.parts, false);
  return out;
}

std::string query_body(const model::Query& query, const GetBody& filter, uint64_t results) {
  std::string out = "{";
  append_filter(out, filter);
  out += ",\"query_embeddings\":";
  wire::append_json_list(out, query.vectors, [&](const model::Vector& vector) {
    append_numbers(out, std::get<DenseVector>(vector));
  });
  out += ",\"n_results\":" + std::to_string(results);
  append_include(out, filter.parts, true);
  return out;
}

void keep_wanted(const model::Query& query, model::Record& record) {
  if (!query.with_document) record.document.reset();
  if (!query.with_metadata) record.metadata.reset();
  if (!query.fields || !record.metadata) return;
  model::Object wanted;
  for (const auto& name : *query.fields) {
    if (const auto field = record.metadata->find(name); field != record.metadata->end())
      wanted.insert(*field);
  }
  record.metadata = std::move(wanted);
}

ReadParts parts_of(const model::Query& query) {
  return {query.with_vectors, query.with_document || query.with_metadata};
}

Result<std::vector<Record>> parse_records(std::string_view answer, const std::string& vector_name) {
  JsonScanner in(answer);
  Columns columns(in, vector_name);
  std::vector<Record> records;
  std::string name;
  if (in.enter_object()) {
    // "ids" comes first in the server's answers; the other lists need it.
    while (in.next_member(name)) {
      if (name == "ids") {
        if (!in.enter_array()) break;
        while (in.next_element()) {
          if (!in.read_string(records.emplace_back().key.id.value.emplace<std::string>())) break;
        }
      } else if (is_column(name)) {
        columns.read(name, [&](size_t i) { return i < records.size() ? &records[i] : nullptr; });
      } else {
        in.skip_value();
      }
    }
  }
  if (!in.finish()) return unreadable(in);
  for (auto& record : records) tidy(record);
  return records;
}

Result<std::vector<std::string>> parse_ids(std::string_view answer) {
  JsonScanner in(answer);
  std::vector<std::string> ids;
  std::string name;
  if (in.enter_object()) {
    while (in.next_member(name)) {
      if (name != "ids") {
        in.skip_value();
        continue;
      }
      if (!in.enter_array()) break;
      while (in.next_element()) {
        if (!in.read_string(ids.emplace_back())) break;
      }
    }
  }
  if (!in.finish()) return unreadable(in);
  return ids;
}

Result<std::vector<std::vector<model::Hit>>> parse_hits(std::string_view answer,
                                                        const std::string& vector_name) {
  JsonScanner in(answer);
  Columns columns(in, vector_name);
  std::vector<std::vector<model::Hit>> lists;
  std::string name;
  // One list of lists; `each` reads the inner list of query number i.
  const auto outer = [&](auto each) {
    if (in.next_kind() == JsonScanner::Kind::null) return in.read_null();
    if (!in.enter_array()) return false;
    for (size_t i = 0; in.next_element(); ++i) {
      if (name != "ids" && i >= lists.size()) return in.fail("more lists of " + name + " than of ids");
      if (!each(i)) return false;
    }
    return in.ok();
  };
  if (in.enter_object()) {
    while (in.next_member(name)) {
      if (name == "ids") {
        outer([&](size_t) {
          auto& hits = lists.emplace_back();
          if (!in.enter_array()) return false;
          while (in.next_element()) {
            if (!in.read_string(hits.emplace_back().record.key.id.value.emplace<std::string>())) return false;
          }
          return in.ok();
        });
      } else if (name == "distances") {
        outer([&](size_t i) {
          if (!in.enter_array()) return false;
          for (size_t k = 0; in.next_element(); ++k) {
            if (k >= lists[i].size()) return in.fail("more distances than ids");
            lists[i][k].distance = std::numeric_limits<double>::quiet_NaN();
            if (in.next_kind() == JsonScanner::Kind::null ? !in.read_null()
                                                          : !in.read_double(lists[i][k].distance))
              return false;
          }
          return in.ok();
        });
      } else if (is_column(name)) {
        outer([&](size_t i) {
          return columns.read(name,
                              [&](size_t k) { return k < lists[i].size() ? &lists[i][k].record : nullptr; });
        });
      } else {
        in.skip_value();
      }
    }
  }
  if (!in.finish()) return unreadable(in);
  for (auto& hits : lists) {
    for (auto& hit : hits) tidy(hit.record);
  }
  return lists;
}

}  // namespace vmproxy::protocols::chroma
