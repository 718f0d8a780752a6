// Requests decoded as far as mirroring needs: which collection, which ids. The rest of the body is passed
// over without being understood; the source judges it.
#include <algorithm>

#include "protocols/chroma/collection.h"
#include "protocols/chroma/dialect.h"
#include "protocols/chroma/routes.h"
#include "protocols/chroma/where.h"
#include "protocols/wire/json.h"
#include "protocols/wire/json_scanner.h"

namespace vmproxy::protocols::chroma {
namespace {

struct Member {
  std::string name;
  std::string_view text;  // of the value, in the body
};

Error not_understood(const std::string& what) {
  return Error(Code::invalid, "the request body: " + what);
}

Result<std::vector<Member>> members_of(std::string_view body) {
  if (!wire::valid_utf8(body)) return not_understood("not valid UTF-8");
  wire::JsonScanner in(body);
  std::vector<Member> members;
  std::string name;
  if (in.enter_object()) {
    while (in.next_member(name)) {
      in.next_kind();  // passes white space
      const size_t start = in.offset();
      if (!in.pass_value()) break;
      members.push_back({name, body.substr(start, in.offset() - start)});
    }
  }
  if (!in.finish()) return not_understood(in.error());
  return members;
}

std::string_view text_of(const std::vector<Member>& members, std::string_view name) {
  for (const auto& member : members) {
    if (member.name == name && member.text != "null") return member.text;
  }
  return {};
}

Result<std::vector<model::Key>> keys_of(std::string_view ids) {
  std::vector<model::Key> keys;
  wire::JsonScanner in(ids);
  if (in.enter_array()) {
    while (in.next_element()) {
      model::Key key;
      if (!in.read_string(key.id.value.emplace<std::string>())) break;
      keys.push_back(std::move(key));
    }
  }
  if (!in.ok()) return not_understood("ids: " + in.error());
  return keys;
}

Result<std::optional<model::Filter>> filter_of(const std::vector<Member>& members) {
  std::vector<model::Filter> both;
  for (const bool document : {false, true}) {
    const auto text = text_of(members, document ? "where_document" : "where");
    if (text.empty()) continue;
    const auto value = wire::parse_json(text);
    if (!value) return value.error();
    auto filter = document ? parse_where_document(*value) : parse_where(*value);
    if (!filter) return filter.error();
    both.push_back(std::move(*filter));
  }
  if (both.empty()) return std::optional<model::Filter>();
  if (both.size() == 1) return std::optional<model::Filter>(std::move(both[0]));
  return std::optional<model::Filter>(model::Filter::all(std::move(both)));
}

// By UUID only, whatever tenant and database the path names: so does the server.
Result<const model::Schema*> collection_of(const std::string& id, const Catalog& catalog) {
  const auto uuid = model::parse_uuid(id);
  if (!uuid) return Error(Code::invalid, "the path: '" + id + "' is no UUID");
  const model::Schema* schema = catalog.find_native(to_string(*uuid));
  if (schema == nullptr) return Error(Code::not_found, "no collection with id " + id + " is known");
  return schema;
}

// The query without what pages through its answer.
std::string fingerprint_of(const OperationRow& row, const model::Schema& schema,
                           const std::vector<Member>& members) {
  std::string bytes = std::string(row.name) + '\n' + schema.native_id;
  for (const auto& member : members) {
    if (member.name == "limit" || member.name == "offset" || member.name == "n_results" ||
        member.text == "null")
      continue;
    bytes += '\n' + member.name + ':';
    bytes += member.text;
  }
  return bytes;
}

Result<Operation> decode_records(const OperationRow& row, const net::Request& request,
                                 const Catalog& catalog) {
  Operation operation;
  operation.row = &row;
  const auto schema = collection_of(arguments(row, request.path())[2], catalog);
  if (!schema) return schema.error();
  operation.collection = (*schema)->name;
  const Call call = call_of(row);
  if (call == Call::count) {
    operation.fingerprint = fingerprint_of(row, **schema, {});
    return operation;
  }
  const auto members = members_of(request.body);
  if (!members) return members.error();
  if (const auto ids = text_of(*members, "ids"); !ids.empty()) {
    auto keys = keys_of(ids);
    if (!keys) return keys.error();
    operation.keys = std::move(*keys);
  }
  if (row.cls == OperationClass::read) {
    operation.fingerprint = fingerprint_of(row, **schema, *members);
    operation.pages =
        call == Call::get && (!text_of(*members, "offset").empty() || !text_of(*members, "limit").empty());
    return operation;
  }
  if (call != Call::remove) {
    // add leaves existing records alone, update and upsert merge: only what is read back is the record.
    operation.write_class = WriteClass::read_back;
    return operation;
  }
  auto filter = filter_of(*members);
  if (!filter) return filter.error();
  operation.write_class = *filter ? WriteClass::predicate : WriteClass::image;
  operation.predicate = std::move(*filter);
  return operation;
}

Result<std::string> name_in(const net::Request& request) {
  const auto members = members_of(request.body);
  if (!members) return members.error();
  const auto name = wire::parse_json(text_of(*members, "name"));
  if (!name || !name->is_string()) return not_understood("no name");
  return name->string();
}

Result<Operation> decode_definition(const OperationRow& row, const net::Request& request,
                                    const Catalog& catalog) {
  Operation operation;
  operation.row = &row;
  operation.write_class = WriteClass::ddl;
  const auto path = arguments(row, request.path());
  switch (call_of(row)) {
    case Call::create_collection: {
      auto name = name_in(request);
      if (!name) return name.error();
      operation.collection = {space_path(path[0], path[1]), *name};
      operation.creates_collection = true;
      return operation;
    }
    case Call::delete_collection:
      operation.collection = {space_path(path[0], path[1]), path[2]};
      operation.drops_collection = true;
      return operation;
    case Call::update_collection: {
      const auto schema = collection_of(path[2], catalog);
      if (!schema) return schema.error();
      operation.collection = (*schema)->name;
      return operation;
    }
    case Call::create_database: {
      auto name = name_in(request);
      if (!name) return name.error();
      operation.collection.space = space_path(path[0], *name);
      return operation;
    }
    case Call::delete_database:
      operation.collection.space = space_path(path[0], path[1]);
      operation.drops_collection = true;
      return operation;
    case Call::create_tenant: {
      auto name = name_in(request);
      if (!name) return name.error();
      operation.collection.space = tenant_path(*name);
      return operation;
    }
    case Call::update_tenant: operation.collection.space = tenant_path(path[0]); return operation;
    default: return operation;
  }
}

}  // namespace

Result<Operation> ChromaDialect::decode(const OperationRow& row, const net::Request& request,
                                        const Catalog& catalog) const {
  if (row.cls == OperationClass::ddl) return decode_definition(row, request, catalog);
  if (row.cls == OperationClass::read || row.cls == OperationClass::write)
    return decode_records(row, request, catalog);
  Operation operation;
  operation.row = &row;
  return operation;
}

Result<std::vector<Dialect::Image>> ChromaDialect::images(const OperationRow& row,
                                                          const net::Request& request,
                                                          const Catalog& catalog) const {
  auto operation = decode(row, request, catalog);
  if (!operation) return operation.error();
  if (operation->write_class != WriteClass::image) {
    return Error(Code::unsupported, "image.partial: this call does not carry whole records");
  }
  std::vector<Image> images;
  for (auto& key : operation->keys) images.push_back({std::move(key), std::nullopt});
  return images;
}

// Refused before anything was done. 501 is here because the local server answers it to what it never begins
// (forks, sparse vectors, functions): tests/protocols_chroma proves for each that nothing was stored.
OutcomeReport ChromaDialect::outcome(const Operation& operation, const net::Response& response) const {
  OutcomeReport report;
  report.whole = ending(operation.row, response).outcome;
  return report;
}

Ending ChromaDialect::ending(const OperationRow* row, const net::Response& response) const {
  constexpr int refusals[] = {400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 429, 501};
  Ending ending;
  ending.failed = response.status >= 500;
  if (response.status >= 200 && response.status < 300) {
    ending.outcome = model::Outcome::applied;
    // Everybody may ask for these.
    const bool open = row == nullptr || row->cls == OperationClass::health || row->name == "version" ||
                      row->name == "preflight";
    ending.credential_accepted = !open;
  } else if (std::find(std::begin(refusals), std::end(refusals), response.status) != std::end(refusals)) {
    ending.outcome = model::Outcome::rejected;
  }
  return ending;
}

}  // namespace vmproxy::protocols::chroma
