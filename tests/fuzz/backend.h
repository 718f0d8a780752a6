// A database of "another kind" that says yes to everything, for dialects: it keeps nothing, shows the same records to every
// query, and looks whether what a dialect asks of it can be asked.
#pragma once

#include "protocols/api/dialect.h"
#include "tests/fuzz/target.h"

namespace vmproxy::fuzz {

class YesBackend final : public protocols::Backend {
 public:
  YesBackend(protocols::Catalog catalog, std::vector<model::Record> records)
      : catalog_(std::move(catalog)), records_(std::move(records)) {}

  const protocols::Catalog& catalog() const override { return catalog_; }
  Deadline deadline() const override { return TimePoint::max(); }
  model::Uuid new_uuid() override {
    model::Uuid uuid;
    uuid.bytes[15] = ++uuids_;
    return uuid;
  }

  Result<model::WriteResult> write(const model::Write& write) override {
    must(catalog_.find(write.collection) != nullptr, "a write goes to a collection that there is");
    model::WriteResult result;
    result.affected = write.patches.size() + write.keys.size();
    result.deleted = write.keys;
    return result;
  }

  Result<model::QueryResult> query(const model::Query& query) override {
    const auto* schema = catalog_.find(query.collection);
    must(schema != nullptr, "a query goes to a collection that there is");
    const uint64_t limit = query.limit.value_or(0);
    must(limit + query.offset >= limit, "a window that does not wrap around");
    model::QueryResult result;
    result.count = records_.size();
    if (query.kind == model::Query::Kind::get) result.records = records_;
    if (query.kind != model::Query::Kind::search) return result;
    must(query.top_k + query.search_offset >= query.top_k, "a window that does not wrap around");
    for (const auto& vector : query.vectors) {
      const auto* dense = std::get_if<model::DenseVector>(&vector);
      for (const auto& field : schema->vectors) {
        const bool asked = field.name == query.vector_name && field.kind != model::VectorKind::sparse;
        must(!asked || dense == nullptr || field.dimension == 0 || dense->size() == field.dimension,
             "a vector that is searched has its dimension");
      }
      auto& hits = result.hits.emplace_back();
      for (const auto& record : records_) hits.push_back({record, 0.5});
    }
    return result;
  }

  Result<model::Schema> change(const model::SchemaChange& change) override { return change.schema; }
  Result<void> change_space(model::SchemaChange::Kind, const protocols::Space&) override { return {}; }

 private:
  const protocols::Catalog catalog_;
  const std::vector<model::Record> records_;
  uint8_t uuids_ = 0;
};

// A request on its way through a dialect, before and after promotion. Returns the answer, if there is one.
inline std::optional<net::Response> ask(const protocols::Dialect& dialect, const net::Request& request,
                                        protocols::Backend& backend) {
  net::RequestHead head;
  head.method = request.method;
  head.target = request.target;
  head.headers = request.headers;
  (void)dialect.credential(head, dialect.credential_form());
  const auto* row = dialect.classify(head);
  for (const auto code : {Code::not_found, Code::unavailable, Code::unsupported, Code::internal})
    must(dialect.error(Error(code, "why"), head).status >= 200, "an error has a shape");
  if (row == nullptr) return std::nullopt;
  (void)dialect.up_to_date(*row, request, {});
  const auto operation = dialect.decode(*row, request, backend.catalog());
  if (operation) {
    must(operation->row == row, "the operation of its row");
    must(operation->keys.size() <= request.body.size(), "no more keys than bytes");
    const auto images = dialect.images(*row, request, backend.catalog());
    must(!images || operation->write_class == protocols::WriteClass::image, "images of what carries them");
    must(!images || images->size() <= request.body.size(), "no more images than bytes");
  }
  auto answer = dialect.serve(*row, request, backend);
  if (!answer) {
    must(dialect.error(answer.error(), head).status >= 200, "an error has a shape");
    return std::nullopt;
  }
  must(answer->status >= 200 && answer->status < 600, "an answer has a status");
  (void)dialect.ending(row, *answer);
  if (operation) (void)dialect.outcome(*operation, *answer);
  return std::move(*answer);
}

}  // namespace vmproxy::fuzz
