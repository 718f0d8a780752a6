#include "protocols/chroma/routes.h"

#include <algorithm>
#include <array>

#include "protocols/wire/json.h"

namespace vmproxy::protocols::chroma {
namespace {

using enum OperationClass;

struct Route {
  OperationRow row;
  Call call;
};

#define DATABASE "/api/v2/tenants/{}/databases/{}"
#define COLLECTION DATABASE "/collections/{}"

// A literal segment stands before {} in the same place: the first match counts.
constexpr std::array routes = {
    Route{{"GET", "/api/v2", "root", health}, Call::heartbeat},
    Route{{"GET", "/api/v2/heartbeat", "heartbeat", health}, Call::heartbeat},
    Route{{"GET", "/api/v2/healthcheck", "healthcheck", health}, Call::healthcheck},
    Route{{"GET", "/api/v2/auth/identity", "identity", session}, Call::identity},
    Route{{"GET", "/api/v2/pre-flight-checks", "preflight", session}, Call::preflight},
    Route{{"GET", "/api/v2/version", "version", session}, Call::version},
    Route{{"POST", "/api/v2/reset", "reset", ddl}, Call::reset},
    Route{{"GET", "/api/v2/collections/{}", "collection.get_by_crn", session}, Call::get_by_crn},
    Route{{"POST", "/api/v2/tenants", "tenant.create", ddl}, Call::create_tenant},
    Route{{"GET", "/api/v2/tenants/{}", "tenant.get", session}, Call::get_tenant},
    Route{{"PATCH", "/api/v2/tenants/{}", "tenant.update", ddl}, Call::update_tenant},
    Route{{"GET", "/api/v2/tenants/{}/databases", "database.list", session}, Call::list_databases},
    Route{{"POST", "/api/v2/tenants/{}/databases", "database.create", ddl}, Call::create_database},
    Route{{"GET", DATABASE, "database.get", session}, Call::get_database},
    Route{{"DELETE", DATABASE, "database.delete", ddl}, Call::delete_database},
    Route{{"GET", DATABASE "/collections", "collection.list", session}, Call::list_collections},
    Route{{"POST", DATABASE "/collections", "collection.create", ddl}, Call::create_collection},
    Route{{"GET", DATABASE "/collections_count", "collection.count_all", session}, Call::count_collections},
    Route{{"GET", DATABASE "/collections/by-id/{}", "collection.get_by_id", session},
          Call::get_collection_by_id},
    Route{{"GET", COLLECTION, "collection.get", session}, Call::get_collection},
    Route{{"PUT", COLLECTION, "collection.modify", ddl}, Call::update_collection},
    Route{{"DELETE", COLLECTION, "collection.delete", ddl}, Call::delete_collection},
    Route{{"POST", COLLECTION "/add", "record.add", write}, Call::add},
    Route{{"POST", COLLECTION "/update", "record.update", write}, Call::update},
    Route{{"POST", COLLECTION "/upsert", "record.upsert", write}, Call::upsert},
    Route{{"POST", COLLECTION "/delete", "record.delete", write}, Call::remove},
    Route{{"POST", COLLECTION "/get", "record.get", read}, Call::get},
    Route{{"POST", COLLECTION "/query", "record.query", read}, Call::query},
    Route{{"GET", COLLECTION "/count", "record.count", read}, Call::count},
    Route{{"POST", COLLECTION "/search", "record.search", read}, Call::search},
    Route{{"POST", COLLECTION "/fork", "collection.fork", ddl}, Call::fork},
    Route{{"GET", COLLECTION "/fork_count", "collection.fork_count", session}, Call::fork_count},
    Route{{"GET", COLLECTION "/indexing_status", "collection.indexing_status", session},
          Call::indexing_status},
    Route{{"POST", COLLECTION "/functions/attach", "function.attach", ddl}, Call::attach_function},
    Route{{"GET", COLLECTION "/functions/{}", "function.get", session}, Call::get_function},
    Route{{"POST", COLLECTION "/attached_functions/{}/detach", "function.detach", ddl},
          Call::detach_function},
};

#undef COLLECTION
#undef DATABASE

constexpr auto make_rows() {
  std::array<OperationRow, routes.size()> all{};
  for (size_t i = 0; i < routes.size(); ++i) all[i] = routes[i].row;
  return all;
}
constexpr auto all_rows = make_rows();

constexpr ptrdiff_t slashes_of(std::string_view path) {
  return std::count(path.begin(), path.end(), '/');
}

// Every request is looked up: most rows are told apart by these two without comparing text.
struct Shape {
  ptrdiff_t slashes;
  char last;  // of the pattern, '}' when it ends with any segment
};
constexpr auto make_shapes() {
  std::array<Shape, routes.size()> all{};
  for (size_t i = 0; i < routes.size(); ++i)
    all[i] = {slashes_of(routes[i].row.pattern), routes[i].row.pattern.back()};
  return all;
}
constexpr auto shapes = make_shapes();

std::string_view take_segment(std::string_view& path) {
  const auto segment = path.substr(0, path.find('/'));
  path.remove_prefix(std::min(path.size(), segment.size() + 1));
  return segment;
}

// Calls `captured` for each segment that stands for {}; false when the path is not of the pattern.
template <class F>
bool match(std::string_view pattern, std::string_view path, F captured) {
  if (slashes_of(pattern) != slashes_of(path)) return false;
  for (auto segments = slashes_of(path) + 1; segments > 0; --segments) {
    const auto wanted = take_segment(pattern);
    const auto got = take_segment(path);
    if (wanted == "{}") {
      if (got.empty()) return false;
      captured(got);
    } else if (wanted != got) {
      return false;
    }
  }
  return true;
}

bool matches(const OperationRow& row, std::string_view path) {
  return match(row.pattern, path, [](std::string_view) {});
}

}  // namespace

std::span<const OperationRow> rows() {
  return all_rows;
}

Call call_of(const OperationRow& row) {
  return routes[static_cast<size_t>(&row - all_rows.data())].call;
}

const OperationRow* find_row(std::string_view method, std::string_view path) {
  // As the server: HEAD is answered by the route of GET, without the body.
  if (method == "HEAD") method = "GET";
  const auto slashes = slashes_of(path);
  const char last = path.empty() ? '\0' : path.back();
  for (size_t i = 0; i < all_rows.size(); ++i) {
    if (shapes[i].slashes != slashes || (shapes[i].last != last && shapes[i].last != '}')) continue;
    if (all_rows[i].method == method && matches(all_rows[i], path)) return &all_rows[i];
  }
  return nullptr;
}

std::vector<std::string> arguments(const OperationRow& row, std::string_view path) {
  std::vector<std::string> found;
  match(row.pattern, path, [&](std::string_view segment) { found.push_back(net::percent_decode(segment)); });
  return found;
}

std::optional<std::string_view> broken_argument(const OperationRow& row, std::string_view path) {
  const auto given = arguments(row, path);
  for (size_t i = 0; i < given.size(); ++i) {
    if (wire::valid_utf8(given[i])) continue;
    if (row.pattern == "/api/v2/collections/{}") return "crn";
    if (i == 0) return row.pattern == "/api/v2/tenants/{}" ? "tenant_name" : "tenant";
    if (i < 3) return i == 1 ? "database" : "collection_id";
    return row.pattern.ends_with("/functions/{}") ? "function_name" : "name";
  }
  return std::nullopt;
}

std::optional<std::string> allowed_methods(std::string_view path) {
  std::string methods;
  std::string_view pattern;
  for (const auto& row : all_rows) {
    if ((!pattern.empty() && row.pattern != pattern) || !matches(row, path)) continue;
    pattern = row.pattern;
    if (!methods.empty()) methods += ',';
    methods += row.method;
    if (row.method == "GET") methods += ",HEAD";
  }
  if (methods.empty()) return std::nullopt;
  return methods;
}

}  // namespace vmproxy::protocols::chroma
