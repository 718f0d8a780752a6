// Requests on their way to the source: what they touch, what they leave behind, what became of them.
#include <algorithm>

#include "protocols/milvus/client.h"
#include "protocols/milvus/dialect.h"
#include "protocols/milvus/requests.h"
#include "protocols/milvus/rows.h"
#include "protocols/milvus/search.h"
#include "protocols/milvus/session.h"
#include "protocols/wire/grpc.h"
#include "protocols/wire/json.h"
#include "protocols/wire/protobuf.h"

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
  operation.makes_keys = generated;
  if (!schema.partition_key()) operation.partition = read->address.fourth;
  if (generated && !upsert) return operation;
  // An Upsert deletes the records of the keys that it names, also where it stores them under keys of the server's making.
  for (const auto& column : read->columns) {
    if (primary == nullptr || column.name != primary->name) continue;
    auto keys = read_keys(column, schema.partition_key() ? std::string_view() : read->address.fourth);
    if (!keys) return keys.error();
    operation.keys = std::move(*keys);
  }
  // The journal keeps the body and not the metadata: an image must be readable from the body alone.
  const bool plain = read->address.database.empty() ? database == default_database : true;
  const bool compressed = !request.body.empty() && request.body[0] != '\0';
  if (upsert && !generated && plain && !compressed && !not_an_image(schema, *read))
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
      operation.write_class =
          plain && !compressed && read->unknown_field == 0 ? WriteClass::image : WriteClass::read_back;
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
  operation.drops_records = rpc == Rpc::drop_partition;
  operation.moves_name = rpc == Rpc::create_alias || rpc == Rpc::drop_alias || rpc == Rpc::alter_alias;
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

model::Outcome of_grpc(wire::GrpcCode code, std::string_view text) {
  using wire::GrpcCode;
  // Said by the server's transport of a request that it could not read.
  static constexpr std::string_view unread[] = {
      "grpc: error unmarshalling request", "grpc: failed to unmarshal the received message",
      "grpc: compressed flag set with", "grpc: received unexpected payload format"};
  if (code == GrpcCode::internal &&
      std::ranges::any_of(unread, [&](std::string_view words) { return text.starts_with(words); }))
    return model::Outcome::rejected;
  // Interceptors and the transport answer these before the handler of the call begins.
  switch (code) {
    case GrpcCode::unimplemented:
    case GrpcCode::unauthenticated:
    case GrpcCode::permission_denied:
    case GrpcCode::invalid_argument: return model::Outcome::rejected;
    case GrpcCode::resource_exhausted:
      return said_of_the_answer(text) ? model::Outcome::uncertain : model::Outcome::rejected;
    default: return model::Outcome::uncertain;
  }
}

// Nothing: this is no answer of gRPC, or its end is missing.
std::optional<wire::GrpcCode> grpc_status_of(const net::Response& response) {
  auto code = response.trailers.find("grpc-status");
  if (!code) code = response.headers.find("grpc-status");  // a failed call may have nothing but a head
  if (!code) return std::nullopt;
  return wire::grpc_code(*code);
}

bool open_to_all(const OperationRow& row) {
  const Rpc rpc = rpc_of(row);
  return row.cls == OperationClass::health || rpc == Rpc::connect || rpc == Rpc::get_version ||
         rpc == Rpc::client_heartbeat;
}

// The Status that every answer has; nothing: the message cannot be read.
std::optional<Status> status_in(Rpc rpc, const std::string& message) {
  if (answers_status(rpc)) return read_status(message);
  std::optional<Status> status = Status();
  ProtoReader reader(message);
  while (reader.next()) {
    if (reader.field() != 1) continue;
    if (reader.type() != ProtoReader::Type::bytes) return std::nullopt;
    status = read_status(reader.bytes());
    if (!status) return status;
  }
  return reader.ok() ? status : std::nullopt;
}

// REST v1: 200 for nearly everything, and a "code" in the body: 200 for done, else a number of Milvus.
Ending rest_ending(const OperationRow* row, const net::Response& response) {
  const auto type = response.headers.find("content-type");
  Ending ending;
  if (type && type->starts_with("application/grpc")) return ending;  // the end of the answer is missing
  ending.failed = response.status >= 500;
  // Not 408: Milvus says it of a call that goes on behind it (internal/distributed/proxy/httpserver/timeout_middleware.go).
  constexpr int refusals[] = {400, 401, 403, 404, 405, 410, 413, 415, 422, 429};
  if (std::ranges::find(refusals, response.status) != std::end(refusals))
    ending.outcome = model::Outcome::rejected;
  if (response.status < 200 || response.status >= 300) return ending;
  const auto body = wire::parse_json(response.body);
  const auto* code = body ? body->find("code") : nullptr;
  if (code == nullptr || !std::holds_alternative<int64_t>(code->data)) return ending;
  const auto number = std::get<int64_t>(code->data);
  if (number == 200 || number == 0) {
    ending.outcome = model::Outcome::applied;
    ending.credential_accepted = row != nullptr;
    return ending;
  }
  Status status;
  status.code = static_cast<int32_t>(number);
  if (const auto* message = body->find("message"); message != nullptr && message->is_string())
    status.reason = message->string();
  // 1800 to 1899: of the REST interface itself (no credential, a parameter that is missing, a body that is no JSON).
  const bool by_filter = row == nullptr || row->name == "rest.delete";  // or may be
  const bool refused = (status.code >= 1800 && status.code < 1900) ||
                       (refused_before_start(status) && !(by_filter && said_in_the_middle(status)));
  if (refused) ending.outcome = model::Outcome::rejected;
  ending.failed = !refused;
  return ending;
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
    case Rpc::insert: return decode_mutation(std::move(operation), request, *message, catalog, false);
    case Rpc::upsert: return decode_mutation(std::move(operation), request, *message, catalog, true);
    case Rpc::remove: return decode_delete(std::move(operation), request, *message, catalog);
    case Rpc::query: return decode_query(std::move(operation), request, *message, catalog);
    case Rpc::search: return decode_search(std::move(operation), request, *message, catalog);
    case Rpc::hybrid_search:
    case Rpc::other_read:
      return Error(Code::unsupported, std::string(row.name) + ": only Milvus itself can answer this");
    default: return decode_ddl(std::move(operation), request, *message, catalog, rpc);
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

std::optional<std::string> MilvusDialect::up_to_date(const OperationRow& row, const net::Request& request,
                                                     std::string_view session) const {
  const Rpc rpc = rpc_of(row);
  if (rpc != Rpc::query && rpc != Rpc::search) return std::nullopt;
  auto message = message_of(request);
  if (!message) return std::nullopt;
  wire::ProtoWriter behind;
  ask_for(behind, rpc == Rpc::query ? ReadCall::query : ReadCall::search, Session::timestamp(session));
  return wire::grpc_frame(*message + behind.view());
}

// HTTP and gRPC say "OK" to calls that Milvus refused: the truth is in the message.
Ending MilvusDialect::ending(const OperationRow* row, const net::Response& response) const {
  const auto code = grpc_status_of(response);
  if (!code) return rest_ending(row, response);
  Ending ending;
  if (*code != wire::GrpcCode::ok) {
    auto text = response.trailers.find("grpc-message");
    if (!text) text = response.headers.find("grpc-message");
    ending.outcome = of_grpc(*code, wire::grpc_decode_text(text.value_or("")));
    ending.failed = ending.outcome != model::Outcome::rejected;
    return ending;
  }
  // The interceptors that ask for a credential answer with a status of gRPC. Not every version asks in these calls.
  ending.credential_accepted = row != nullptr && !open_to_all(*row);
  const auto message = row == nullptr ? std::nullopt : answer_message(response);
  const auto status = message ? status_in(rpc_of(*row), *message) : std::nullopt;
  if (!status) return ending;
  if (status->ok()) {
    ending.outcome = model::Outcome::applied;
    return ending;
  }
  const bool changes = row->cls == OperationClass::write || row->cls == OperationClass::ddl ||
                       row->cls == OperationClass::unknown;
  const bool refused = refused_before_start(*status);
  if (refused || !changes) ending.outcome = model::Outcome::rejected;
  ending.failed = !refused;
  return ending;
}

OutcomeReport MilvusDialect::outcome(const Operation& operation, const net::Response& response) const {
  OutcomeReport report;
  report.whole = ending(operation.row, response).outcome;
  const Rpc rpc = rpc_of(*operation.row);
  const bool by_filter = rpc == Rpc::remove && (operation.write_class == WriteClass::predicate ||
                                                operation.write_class == WriteClass::opaque);
  if (by_filter && report.whole == model::Outcome::rejected) {
    const auto refusal = answer_message(response);
    const auto status = refusal ? status_in(rpc, *refusal) : std::nullopt;
    if (status && said_in_the_middle(*status)) report.whole = model::Outcome::uncertain;
  }
  if (report.whole != model::Outcome::applied) return report;
  if (rpc != Rpc::insert && rpc != Rpc::upsert) return report;
  const auto message = answer_message(response);
  std::optional<Ids> ids;
  std::vector<uint32_t> failed;
  ProtoReader reader(*message);
  while (reader.next()) {
    if (reader.field() == 2) ids = read_ids(reader.bytes());
    if (reader.field() == 4) reader.append(failed);
  }
  if (!reader.ok()) {
    report.whole = model::Outcome::uncertain;
    return report;
  }
  if ((operation.makes_keys || operation.keys.empty()) && ids) {
    for (const auto id : ids->longs) report.generated.push_back(key_of(id, operation.partition));
    for (const auto& id : ids->texts) report.generated.push_back(key_of(id, operation.partition));
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
