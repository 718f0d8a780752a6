// Requests on their way to the source: what they touch, what they leave behind, what became of them.
#include <algorithm>

#include "protocols/milvus/client.h"
#include "protocols/milvus/dialect.h"
#include "protocols/milvus/requests.h"
#include "protocols/milvus/rows.h"
#include "protocols/milvus/search.h"
#include "protocols/wire/grpc.h"

namespace vmproxy::protocols::milvus {
namespace {

Error unreadable() {
  return {Code::invalid, "the message cannot be read"};
}

Error unknown_collection(const std::string& name) {
  return {Code::not_found, "collection '" + name + "' is not known"};
}

Result<Operation> decode_mutation(Operation operation, const net::Request& request, std::string_view message,
                                  const Catalog& catalog, bool upsert) {
  const auto read = read_mutation(message);
  if (!read) return unreadable();
  const std::string database = database_of(request, read->address.database);
  const auto found = find_collection(catalog, database, read->address.collection);
  if (!found) return unknown_collection(read->address.collection);
  operation.collection = found->schema->name;
  operation.write_class = WriteClass::read_back;
  const CollectionSchema& schema = found->collection.described.schema;
  const FieldSchema* primary = schema.primary();
  const bool generated = schema.auto_id || (primary != nullptr && primary->auto_id);
  if (generated) return operation;
  for (const auto& column : read->columns) {
    if (primary == nullptr || column.name != primary->name) continue;
    auto keys = read_keys(column, schema.partition_key() ? std::string_view() : read->address.fourth);
    if (!keys) return keys.error();
    operation.keys = std::move(*keys);
  }
  // The journal keeps the body and not the metadata: an image must be readable from the body alone.
  const bool plain = read->address.database.empty() ? database == default_database : true;
  const bool compressed = !request.body.empty() && request.body[0] != '\0';
  if (upsert && plain && !compressed && !not_an_image(schema, *read))
    operation.write_class = WriteClass::image;
  return operation;
}

Result<Operation> decode_delete(Operation operation, const net::Request& request, std::string_view message,
                                const Catalog& catalog) {
  const auto read = read_delete(message);
  if (!read) return unreadable();
  const std::string database = database_of(request, read->address.database);
  const auto found = find_collection(catalog, database, read->address.collection);
  if (!found) return unknown_collection(read->address.collection);
  operation.collection = found->schema->name;
  auto filter = parse_expression(read->expression, found->collection.described.schema, grammar_of(catalog),
                                 read->templates);
  if (!filter) {
    // The server will say no; should it know more than we do, this was a write that we cannot follow.
    operation.write_class = WriteClass::opaque;
    return operation;
  }
  const bool anywhere = found->schema->partitions.empty();
  if (anywhere || !read->address.fourth.empty()) {
    if (auto keys = keys_of(*filter, anywhere ? std::string_view() : read->address.fourth)) {
      const bool plain = read->address.database.empty() ? database == default_database : true;
      const bool compressed = !request.body.empty() && request.body[0] != '\0';
      operation.keys = std::move(*keys);
      operation.write_class = plain && !compressed ? WriteClass::image : WriteClass::read_back;
      return operation;
    }
  }
  operation.write_class = WriteClass::predicate;
  operation.predicate = std::move(*filter);
  return operation;
}

// What the filter was before an iterator put "key > last and (...)" around it.
std::string without_cursor(const std::string& expression, const CollectionSchema& schema) {
  const auto* primary = schema.primary();
  if (primary == nullptr || !expression.starts_with(primary->name + " > ")) return expression;
  const size_t at = expression.find(" and (");
  if (at == std::string::npos || !expression.ends_with(')')) return expression;
  return expression.substr(at + 6, expression.size() - at - 7);
}

std::string joined(const std::vector<std::string>& parts) {
  std::string out;
  for (const auto& part : parts) out += part + '\x1f';
  return out + '\x1e';
}

Result<Operation> decode_query(Operation operation, const net::Request& request, std::string_view message,
                               const Catalog& catalog) {
  const auto read = read_query(message);
  if (!read) return unreadable();
  const auto found =
      find_collection(catalog, database_of(request, read->address.database), read->address.collection);
  if (!found) return unknown_collection(read->address.collection);
  const CollectionSchema& schema = found->collection.described.schema;
  operation.collection = found->schema->name;
  operation.write_class = WriteClass::read_back;
  const std::string* iterator = find(read->params, "iterator");
  const std::string* offset = find(read->params, "offset");
  const bool iterates = iterator != nullptr && *iterator == "True";
  operation.pages =
      iterates || (offset != nullptr && *offset != "0") || find(read->params, "limit") != nullptr;
  operation.fingerprint =
      "query\x1e" + (iterates ? without_cursor(read->expression, schema) : read->expression) + "\x1e";
  if (!iterates) operation.fingerprint += joined(read->output_fields) + joined(read->partitions);
  const auto filter = parse_expression(read->expression, schema, grammar_of(catalog), read->templates);
  if (filter && found->schema->partitions.empty()) {
    if (auto keys = keys_of(*filter, {})) operation.keys = std::move(*keys);
  }
  return operation;
}

Result<Operation> decode_search(Operation operation, const net::Request& request, std::string_view message,
                                const Catalog& catalog) {
  const auto read = read_search_request(message);
  if (!read) return read.error();
  const auto found = find_collection(catalog, database_of(request, read->database), read->collection);
  if (!found) return unknown_collection(read->collection);
  operation.collection = found->schema->name;
  operation.write_class = WriteClass::read_back;
  const std::string* iterator = find(read->params, "iterator");
  const bool iterates = iterator != nullptr && *iterator == "True";
  operation.pages = iterates || read->offset > 0;
  operation.fingerprint = "search\x1e" + (iterates ? std::string() : read->expression) + '\x1e';
  ProtoReader reader(message);
  while (reader.next()) {
    if (reader.field() == 6) operation.fingerprint += reader.bytes();
  }
  if (!iterates) operation.fingerprint += joined(read->output_fields) + joined(read->partitions);
  return operation;
}

Result<Operation> decode_ddl(Operation operation, const net::Request& request, std::string_view message,
                             const Catalog& catalog, Rpc rpc) {
  const auto address = read_address(message);
  if (!address) return unreadable();
  operation.write_class = WriteClass::ddl;
  const std::string database = database_of(request, address->database);
  operation.creates_collection = rpc == Rpc::create_collection || rpc == Rpc::rename_collection;
  operation.drops_collection =
      rpc == Rpc::drop_collection || rpc == Rpc::rename_collection || rpc == Rpc::drop_database;
  const bool of_database =
      rpc == Rpc::create_database || rpc == Rpc::drop_database || rpc == Rpc::alter_database;
  if (of_database) {
    operation.collection = {space_of(database), ""};
    return operation;
  }
  // DropAlias names the alias where the others name the collection.
  const auto found = find_collection(catalog, database, address->collection);
  operation.collection =
      found ? found->schema->name : model::CollectionName{space_of(database), address->collection};
  return operation;
}

// The message of a unary answer; nothing when the answer is not that.
std::optional<std::string> answer_message(const net::Response& response) {
  const auto encoding = response.headers.find("grpc-encoding");
  auto message = wire::grpc_message(response.body, encoding.value_or(""), uint64_t{256} << 20);
  if (!message) return std::nullopt;
  return std::move(*message);
}

model::Outcome of_grpc(wire::GrpcCode code) {
  using wire::GrpcCode;
  // Interceptors and the transport answer these before the handler of the call begins.
  switch (code) {
    case GrpcCode::unimplemented:
    case GrpcCode::unauthenticated:
    case GrpcCode::permission_denied:
    case GrpcCode::invalid_argument:
    case GrpcCode::resource_exhausted:
      return model::Outcome::rejected;
    default:
      return model::Outcome::uncertain;
  }
}

}  // namespace

Result<Operation> MilvusDialect::decode(const OperationRow& row, const net::Request& request,
                                        const Catalog& catalog) const {
  Operation operation;
  operation.row = &row;
  const Rpc rpc = rpc_of(row);
  if (rpc == Rpc::rest_read || row.cls == OperationClass::unknown)
    return Error(Code::unsupported, "rest: requests of the REST API are not decoded");
  auto message = message_of(request);
  if (!message) return message.error();
  switch (rpc) {
    case Rpc::insert:
      return decode_mutation(std::move(operation), request, *message, catalog, false);
    case Rpc::upsert:
      return decode_mutation(std::move(operation), request, *message, catalog, true);
    case Rpc::remove:
      return decode_delete(std::move(operation), request, *message, catalog);
    case Rpc::query:
      return decode_query(std::move(operation), request, *message, catalog);
    case Rpc::search:
      return decode_search(std::move(operation), request, *message, catalog);
    case Rpc::hybrid_search:
    case Rpc::other_read:
      return Error(Code::unsupported, std::string(row.name) + ": only Milvus itself can answer this");
    default:
      return decode_ddl(std::move(operation), request, *message, catalog, rpc);
  }
}

Result<std::vector<Dialect::Image>> MilvusDialect::images(const OperationRow& row,
                                                          const net::Request& request,
                                                          const Catalog& catalog) const {
  auto operation = decode(row, request, catalog);
  if (!operation) return operation.error();
  if (operation->write_class != WriteClass::image)
    return Error(Code::unsupported, "images: the request does not carry whole records");
  std::vector<Image> images;
  if (rpc_of(row) == Rpc::remove) {
    for (auto& key : operation->keys) images.push_back({std::move(key), std::nullopt});
    return images;
  }
  const auto message = message_of(request);
  const auto read = message ? read_mutation(*message) : std::nullopt;
  if (!read) return unreadable();
  const auto found =
      find_collection(catalog, database_of(request, read->address.database), read->address.collection);
  if (!found) return unknown_collection(read->address.collection);
  const CollectionSchema& schema = found->collection.described.schema;
  auto records = read_rows(schema, read->columns, read->rows,
                           schema.partition_key() ? std::string_view() : read->address.fourth);
  if (!records) return records.error();
  for (auto& record : *records) {
    model::Key key = record.key;
    images.push_back({std::move(key), std::move(record)});
  }
  return images;
}

// HTTP and gRPC say "OK" to calls that Milvus refused: the truth is in the message.
OutcomeReport MilvusDialect::outcome(const Operation& operation, const net::Response& response) const {
  OutcomeReport report;
  auto code = response.trailers.find("grpc-status");
  if (!code) code = response.headers.find("grpc-status");
  if (code && wire::grpc_code(*code) != wire::GrpcCode::ok) {
    report.whole = of_grpc(wire::grpc_code(*code));
    return report;
  }
  if (response.status != 200 || !code) return report;
  const auto message = answer_message(response);
  if (!message || operation.row == nullptr) return report;
  const Rpc rpc = rpc_of(*operation.row);
  std::optional<Status> status;
  std::optional<Ids> ids;
  std::vector<uint32_t> failed;
  if (answers_status(rpc)) {
    status = read_status(*message);
  } else {
    status.emplace();
    ProtoReader reader(*message);
    while (reader.next()) {
      if (reader.field() == 1) status = read_status(reader.bytes());
      if (!status) return report;
      if (reader.field() == 2 && reader.type() == ProtoReader::Type::bytes) ids = read_ids(reader.bytes());
      if (reader.field() == 4) reader.append(failed);
    }
    if (!reader.ok()) return report;
  }
  if (!status) return report;
  if (!status->ok()) {
    report.whole = refused_before_start(*status) ? model::Outcome::rejected : model::Outcome::uncertain;
    return report;
  }
  report.whole = model::Outcome::applied;
  if (rpc != Rpc::insert && rpc != Rpc::upsert) return report;
  if (operation.keys.empty() && ids) {
    for (const auto id : ids->longs) report.generated.push_back(key_of(id));
    for (const auto& id : ids->texts) report.generated.push_back(key_of(id));
  }
  if (!failed.empty() && !operation.keys.empty()) {
    report.items.assign(operation.keys.size(), model::Outcome::applied);
    for (const auto index : failed) {
      if (index < report.items.size()) report.items[index] = model::Outcome::uncertain;
    }
  }
  return report;
}

}  // namespace vmproxy::protocols::milvus
