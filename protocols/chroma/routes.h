// The closed table of API v2: every route of the OpenAPI document of 1.5.9, and the bare /api/v2.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/message.h"
#include "protocols/api/dialect.h"

namespace vmproxy::protocols::chroma {

enum class Call : uint8_t {
  heartbeat,
  healthcheck,
  identity,
  preflight,
  version,
  reset,
  get_by_crn,
  create_tenant,
  get_tenant,
  update_tenant,
  create_database,
  list_databases,
  get_database,
  delete_database,
  create_collection,
  list_collections,
  count_collections,
  get_collection,
  get_collection_by_id,
  update_collection,
  delete_collection,
  add,
  update,
  upsert,
  remove,
  get,
  query,
  count,
  search,
  fork,
  fork_count,
  indexing_status,
  attach_function,
  get_function,
  detach_function,
};

std::span<const OperationRow> rows();
Call call_of(const OperationRow& row);  // of a row of rows()
const OperationRow* find_row(std::string_view method, std::string_view path);
// The segments that stand for {} in the row's pattern, percent-decoded. The path must be of that row.
std::vector<std::string> arguments(const OperationRow& row, std::string_view path);
// What the server calls the first of them that is not UTF-8; it refuses that before anything else.
std::optional<std::string_view> broken_argument(const OperationRow& row, std::string_view path);
// "GET,HEAD,POST": what the server would allow on a path of the table; nothing for any other path.
std::optional<std::string> allowed_methods(std::string_view path);

}  // namespace vmproxy::protocols::chroma
