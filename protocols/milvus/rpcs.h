// The closed table: every call of MilvusService and its companions, and REST v1, which shares the port.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "protocols/api/dialect.h"

namespace vmproxy::protocols::milvus {

enum class Rpc : uint8_t {
  connect,
  get_version,
  check_health,
  get_component_states,
  grpc_health,
  grpc_health_watch,
  client_heartbeat,
  create_collection,
  drop_collection,
  has_collection,
  describe_collection,
  show_collections,
  rename_collection,
  alter_collection,
  alter_collection_field,
  get_collection_statistics,
  load_collection,
  release_collection,
  load_partitions,
  release_partitions,
  get_loading_progress,
  get_load_state,
  create_partition,
  drop_partition,
  has_partition,
  show_partitions,
  get_partition_statistics,
  create_alias,
  drop_alias,
  alter_alias,
  describe_alias,
  list_aliases,
  create_index,
  alter_index,
  drop_index,
  describe_index,
  get_index_statistics,
  get_index_state,
  get_index_build_progress,
  insert,
  upsert,
  remove,
  search,
  hybrid_search,
  query,
  flush,
  flush_all,
  get_flush_state,
  get_flush_all_state,
  alloc_timestamp,
  create_database,
  drop_database,
  list_databases,
  alter_database,
  describe_database,
  other_session,
  other_admin,
  other_read,
  rest_read,
  unknown,
};

std::span<const OperationRow> rows();
Rpc rpc_of(const OperationRow& row);  // of a row of rows()
const OperationRow* find_row(std::string_view method, std::string_view path);
// Whether the call answers a bare Status, not a message whose field 1 is one.
bool answers_status(Rpc rpc);

}  // namespace vmproxy::protocols::milvus
