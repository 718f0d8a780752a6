#include "tests/support/fake_dialect.h"

#include <array>

#include "protocols/api/credential.h"
#include "proxy/images.h"

namespace vmproxy::support {

using protocols::Operation;
using protocols::OperationClass;
using protocols::OperationRow;
using protocols::WriteClass;

namespace {

constexpr std::array rows{
    OperationRow{"POST", "/put", "records.put", OperationClass::write},
    OperationRow{"POST", "/merge", "records.merge", OperationClass::write},
    OperationRow{"POST", "/delete_where", "records.delete_where", OperationClass::write},
    OperationRow{"POST", "/generate", "records.generate", OperationClass::write},
    OperationRow{"POST", "/create", "collection.create", OperationClass::ddl},
    OperationRow{"POST", "/drop", "collection.drop", OperationClass::ddl},
    OperationRow{"POST", "/drop_some", "records.drop_some", OperationClass::ddl},
    OperationRow{"POST", "/read", "records.read", OperationClass::read},
    OperationRow{"GET", "/health", "health", OperationClass::health},
    OperationRow{"POST", "/import", "records.import", OperationClass::unknown},
};

// By its name or its other name.
const model::Schema* named(const protocols::Catalog& catalog, std::string_view name) {
  for (const auto& schema : catalog.collections) {
    const auto* other = schema.native.find("name");
    if (schema.name.name == name || (other != nullptr && other->is_string() && other->string() == name))
      return &schema;
  }
  return nullptr;
}

}  // namespace

net::Request put_request(const std::vector<journal::Image>& images) {
  return {"POST", "/put", {}, proxy::encode_images(images)};
}

model::Filter version_at_most(int64_t version) {
  return model::Filter::make(model::Filter::Kind::less_equal, model::Filter::field_of("version"),
                             model::Filter::literal_of(version));
}

std::span<const OperationRow> FakeDialect::table() const {
  return rows;
}

const OperationRow* FakeDialect::classify(const net::RequestHead& head) const {
  for (const auto& row : rows) {
    if (row.method == head.method && row.pattern == head.path()) return &row;
  }
  return nullptr;
}

Result<Operation> FakeDialect::decode(const OperationRow& row, const net::Request& request,
                                      const protocols::Catalog& catalog) const {
  if (row.name == "records.read" && !refuses_reads.empty()) return Error(Code::unsupported, refuses_reads);
  Operation operation;
  operation.row = &row;
  operation.collection = {"", "things"};
  if (const auto to = request.headers.find("to"); to && row.cls != OperationClass::ddl) {
    const auto* schema = named(catalog, *to);
    if (schema == nullptr) return Error(Code::not_found, "no collection '" + std::string(*to) + "'");
    operation.collection = schema->name;
  }
  if (row.name == "records.delete_where") {
    operation.write_class = WriteClass::predicate;
    operation.predicate = version_at_most(std::stoll(request.body));
    return operation;
  }
  if (row.name == "collection.drop") {
    operation.write_class = WriteClass::ddl;
    operation.drops_collection = true;
    return operation;
  }
  if (row.name == "collection.create") {
    operation.write_class = WriteClass::ddl;
    operation.creates_collection = !moves_name;
    operation.collection = creates;
    operation.moves_name = moves_name;
    return operation;
  }
  if (row.name == "records.generate") {
    operation.write_class = WriteClass::read_back;
    operation.makes_keys = true;
    if (const auto known = proxy::decode_images(request.body)) {
      for (const auto& image : *known) operation.keys.push_back(image.key);
    }
    return operation;
  }
  if (row.name == "records.drop_some") {
    operation.write_class = WriteClass::ddl;
    operation.drops_records = true;
    return operation;
  }
  auto images = proxy::decode_images(request.body);
  if (!images) return images.error();
  for (const auto& image : *images) operation.keys.push_back(image.key);
  operation.write_class = row.name == "records.put" ? WriteClass::image : WriteClass::read_back;
  operation.fingerprint = request.body;
  operation.pages = request.target.find("?page") != std::string::npos;
  return operation;
}

Result<std::vector<FakeDialect::Image>> FakeDialect::images(const OperationRow&, const net::Request& request,
                                                            const protocols::Catalog&) const {
  auto decoded = proxy::decode_images(request.body);
  if (!decoded) return decoded.error();
  std::vector<Image> images;
  for (auto& image : *decoded) images.push_back({std::move(image.key), std::move(image.record)});
  return images;
}

protocols::OutcomeReport FakeDialect::outcome(const Operation& operation,
                                              const net::Response& response) const {
  if (before_outcome) before_outcome();
  protocols::OutcomeReport report;
  report.whole = ending(operation.row, response).outcome;
  if (operation.makes_keys) {
    if (auto made = proxy::decode_images(response.body)) {
      for (const auto& image : *made) report.generated.push_back(image.key);
    }
  }
  return report;
}

protocols::Ending FakeDialect::ending(const OperationRow* row, const net::Response& response) const {
  protocols::Ending ending;
  const auto verdict = response.trailers.find("verdict");
  if (response.status < 300) ending.outcome = model::Outcome::applied;
  if ((response.status >= 400 && response.status < 500) || verdict == "refused")
    ending.outcome = model::Outcome::rejected;
  ending.failed = response.status >= 500;
  ending.credential_accepted =
      ending.outcome == model::Outcome::applied && (row == nullptr || row->cls != OperationClass::health);
  return ending;
}

Result<net::Response> FakeDialect::serve(const OperationRow& row, const net::Request& request,
                                         protocols::Backend& backend) const {
  if (row.cls == OperationClass::health) return net::Response{200, {}, "healthy", {}};
  if (row.name == "collection.create" || row.name == "collection.drop") {
    model::SchemaChange change;
    change.kind = row.name == "collection.drop" ? model::SchemaChange::Kind::drop_collection
                                                : model::SchemaChange::Kind::create_collection;
    change.name = {"", std::string(request.headers.find("to").value_or("things"))};
    if (!backend.catalog().collections.empty()) change.schema = backend.catalog().collections.front();
    change.schema.name = change.name;
    change.schema.native_id = "made for " + change.name.name;
    auto done = backend.change(change);
    if (!done) return done.error();
    return net::Response{};
  }
  if (row.name == "records.delete_where") {
    model::Write write;
    write.kind = model::Write::Kind::delete_where;
    write.collection = {"", "things"};
    write.filter = version_at_most(std::stoll(request.body));
    auto done = backend.write(write);
    if (!done) return done.error();
    return net::Response{};
  }
  auto images = proxy::decode_images(request.body);
  if (!images) return images.error();
  if (row.name == "records.read") {
    model::Query query;
    query.collection = {"", "things"};
    query.keys.emplace();
    for (const auto& image : *images) query.keys->push_back(image.key);
    auto found = backend.query(query);
    if (!found) return found.error();
    std::vector<journal::Image> answer;
    for (auto& record : found->records) answer.push_back({record.key, record});
    return net::Response{200, {}, proxy::encode_images(answer), {}};
  }
  for (const auto& image : *images) {
    model::Write write;
    write.collection = {"", "things"};
    write.kind = model::Write::Kind::replace;
    if (image.record) {
      write.patches.push_back({image.key,
                               image.record->vectors,
                               image.record->document,
                               false,
                               image.record->metadata.value_or(model::Object{}),
                               {},
                               true});
    } else {
      write.kind = model::Write::Kind::delete_keys;
      write.keys.push_back(image.key);
    }
    auto done = backend.write(write);
    if (!done) return done.error();
  }
  return net::Response{};
}

std::string FakeDialect::credential_form() const {
  const std::array<std::string_view, 1> own = {auth_header};
  return protocols::credential_headers(own);
}

std::string FakeDialect::credential(const net::RequestHead& head, std::string_view form) const {
  if (form.empty()) return std::string(head.headers.find("who").value_or(""));
  return protocols::credential_of(head.headers, form);
}

net::Response FakeDialect::error(const Error& error, const net::RequestHead&) const {
  if (error.code == Code::unauthenticated) return {401, {}, error.message, {}};
  const bool asked_wrongly =
      error.code == Code::invalid || error.code == Code::not_found || error.code == Code::unsupported;
  return {asked_wrongly ? 400 : 503, {}, error.message, {}};
}

}  // namespace vmproxy::support
