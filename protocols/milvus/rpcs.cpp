#include "protocols/milvus/rpcs.h"

#include <algorithm>
#include <array>
#include <unordered_map>

namespace vmproxy::protocols::milvus {
namespace {

using enum OperationClass;

struct Entry {
  Rpc rpc;
  OperationRow row;
};

#define VMPROXY_RPC(method, name, cls) {"POST", "/milvus.proto.milvus.MilvusService/" method, name, cls}

constexpr Entry entries[] = {
    {Rpc::connect, VMPROXY_RPC("Connect", "connect", session)},
    {Rpc::get_version, VMPROXY_RPC("GetVersion", "version", session)},
    {Rpc::check_health, VMPROXY_RPC("CheckHealth", "health.check", health)},
    {Rpc::get_component_states, VMPROXY_RPC("GetComponentStates", "health.components", health)},
    {Rpc::grpc_health, {"POST", "/grpc.health.v1.Health/Check", "health.grpc", health}},
    {Rpc::grpc_health_watch, {"POST", "/grpc.health.v1.Health/Watch", "health.grpc_watch", health}},
    {Rpc::client_heartbeat,
     {"POST", "/milvus.proto.milvus.ClientTelemetryService/ClientHeartbeat", "telemetry.heartbeat", session}},
    {Rpc::create_collection, VMPROXY_RPC("CreateCollection", "collection.create", ddl)},
    {Rpc::drop_collection, VMPROXY_RPC("DropCollection", "collection.drop", ddl)},
    {Rpc::has_collection, VMPROXY_RPC("HasCollection", "collection.has", session)},
    {Rpc::describe_collection, VMPROXY_RPC("DescribeCollection", "collection.describe", session)},
    {Rpc::show_collections, VMPROXY_RPC("ShowCollections", "collection.list", session)},
    {Rpc::rename_collection, VMPROXY_RPC("RenameCollection", "collection.rename", ddl)},
    {Rpc::alter_collection, VMPROXY_RPC("AlterCollection", "collection.alter", ddl)},
    {Rpc::alter_collection_field, VMPROXY_RPC("AlterCollectionField", "collection.alter_field", ddl)},
    {Rpc::get_collection_statistics,
     VMPROXY_RPC("GetCollectionStatistics", "collection.statistics", session)},
    {Rpc::load_collection, VMPROXY_RPC("LoadCollection", "collection.load", ddl)},
    {Rpc::release_collection, VMPROXY_RPC("ReleaseCollection", "collection.release", ddl)},
    {Rpc::load_partitions, VMPROXY_RPC("LoadPartitions", "partition.load", ddl)},
    {Rpc::release_partitions, VMPROXY_RPC("ReleasePartitions", "partition.release", ddl)},
    {Rpc::get_loading_progress, VMPROXY_RPC("GetLoadingProgress", "collection.load_progress", session)},
    {Rpc::get_load_state, VMPROXY_RPC("GetLoadState", "collection.load_state", session)},
    {Rpc::create_partition, VMPROXY_RPC("CreatePartition", "partition.create", ddl)},
    {Rpc::drop_partition, VMPROXY_RPC("DropPartition", "partition.drop", ddl)},
    {Rpc::has_partition, VMPROXY_RPC("HasPartition", "partition.has", session)},
    {Rpc::show_partitions, VMPROXY_RPC("ShowPartitions", "partition.list", session)},
    {Rpc::get_partition_statistics, VMPROXY_RPC("GetPartitionStatistics", "partition.statistics", session)},
    {Rpc::create_alias, VMPROXY_RPC("CreateAlias", "alias.create", ddl)},
    {Rpc::drop_alias, VMPROXY_RPC("DropAlias", "alias.drop", ddl)},
    {Rpc::alter_alias, VMPROXY_RPC("AlterAlias", "alias.alter", ddl)},
    {Rpc::describe_alias, VMPROXY_RPC("DescribeAlias", "alias.describe", session)},
    {Rpc::list_aliases, VMPROXY_RPC("ListAliases", "alias.list", session)},
    {Rpc::create_index, VMPROXY_RPC("CreateIndex", "index.create", ddl)},
    {Rpc::alter_index, VMPROXY_RPC("AlterIndex", "index.alter", ddl)},
    {Rpc::drop_index, VMPROXY_RPC("DropIndex", "index.drop", ddl)},
    {Rpc::describe_index, VMPROXY_RPC("DescribeIndex", "index.describe", session)},
    {Rpc::get_index_statistics, VMPROXY_RPC("GetIndexStatistics", "index.statistics", session)},
    {Rpc::get_index_state, VMPROXY_RPC("GetIndexState", "index.state", session)},
    {Rpc::get_index_build_progress, VMPROXY_RPC("GetIndexBuildProgress", "index.progress", session)},
    {Rpc::insert, VMPROXY_RPC("Insert", "records.insert", write)},
    {Rpc::upsert, VMPROXY_RPC("Upsert", "records.upsert", write)},
    {Rpc::remove, VMPROXY_RPC("Delete", "records.delete", write)},
    {Rpc::search, VMPROXY_RPC("Search", "records.search", read)},
    {Rpc::hybrid_search, VMPROXY_RPC("HybridSearch", "records.hybrid_search", read)},
    {Rpc::query, VMPROXY_RPC("Query", "records.query", read)},
    {Rpc::other_read, VMPROXY_RPC("CalcDistance", "records.calc_distance", read)},
    {Rpc::flush, VMPROXY_RPC("Flush", "flush", admin)},
    {Rpc::flush_all, VMPROXY_RPC("FlushAll", "flush_all", admin)},
    {Rpc::get_flush_state, VMPROXY_RPC("GetFlushState", "flush_state", session)},
    {Rpc::get_flush_all_state, VMPROXY_RPC("GetFlushAllState", "flush_all_state", session)},
    {Rpc::alloc_timestamp, VMPROXY_RPC("AllocTimestamp", "timestamp", session)},
    {Rpc::create_database, VMPROXY_RPC("CreateDatabase", "database.create", ddl)},
    {Rpc::drop_database, VMPROXY_RPC("DropDatabase", "database.drop", ddl)},
    {Rpc::list_databases, VMPROXY_RPC("ListDatabases", "database.list", session)},
    {Rpc::alter_database, VMPROXY_RPC("AlterDatabase", "database.alter", ddl)},
    {Rpc::describe_database, VMPROXY_RPC("DescribeDatabase", "database.describe", session)},
    {Rpc::other_session, VMPROXY_RPC("GetPersistentSegmentInfo", "segments.persistent", session)},
    {Rpc::other_session, VMPROXY_RPC("GetQuerySegmentInfo", "segments.query", session)},
    {Rpc::other_session, VMPROXY_RPC("GetReplicas", "replicas", session)},
    {Rpc::other_session, VMPROXY_RPC("Dummy", "dummy", session)},
    {Rpc::other_session, VMPROXY_RPC("RegisterLink", "register_link", session)},
    {Rpc::other_session, VMPROXY_RPC("GetMetrics", "metrics", session)},
    {Rpc::other_session, VMPROXY_RPC("GetCompactionState", "compaction.state", session)},
    {Rpc::other_session, VMPROXY_RPC("GetCompactionStateWithPlans", "compaction.plans", session)},
    {Rpc::other_session, VMPROXY_RPC("GetImportState", "import.state", session)},
    {Rpc::other_session, VMPROXY_RPC("ListImportTasks", "import.list", session)},
    {Rpc::other_session, VMPROXY_RPC("ListCredUsers", "users.list", session)},
    {Rpc::other_session, VMPROXY_RPC("SelectRole", "roles.select", session)},
    {Rpc::other_session, VMPROXY_RPC("SelectUser", "users.select", session)},
    {Rpc::other_session, VMPROXY_RPC("SelectGrant", "grants.select", session)},
    {Rpc::other_session, VMPROXY_RPC("ListResourceGroups", "resource_groups.list", session)},
    {Rpc::other_session, VMPROXY_RPC("DescribeResourceGroup", "resource_groups.describe", session)},
    {Rpc::other_session, VMPROXY_RPC("ListIndexedSegment", "segments.indexed", session)},
    {Rpc::other_session, VMPROXY_RPC("DescribeSegmentIndexData", "segments.index_data", session)},
    {Rpc::other_session, VMPROXY_RPC("BackupRBAC", "rbac.backup", session)},
    {Rpc::other_session, VMPROXY_RPC("ListPrivilegeGroups", "privilege_groups.list", session)},
    {Rpc::other_admin, VMPROXY_RPC("LoadBalance", "load_balance", admin)},
    {Rpc::other_admin, VMPROXY_RPC("ManualCompaction", "compaction.start", admin)},
    {Rpc::other_admin, VMPROXY_RPC("CreateCredential", "users.create", admin)},
    {Rpc::other_admin, VMPROXY_RPC("UpdateCredential", "users.update", admin)},
    {Rpc::other_admin, VMPROXY_RPC("DeleteCredential", "users.delete", admin)},
    {Rpc::other_admin, VMPROXY_RPC("CreateRole", "roles.create", admin)},
    {Rpc::other_admin, VMPROXY_RPC("DropRole", "roles.drop", admin)},
    {Rpc::other_admin, VMPROXY_RPC("OperateUserRole", "roles.assign", admin)},
    {Rpc::other_admin, VMPROXY_RPC("OperatePrivilege", "grants.operate", admin)},
    {Rpc::other_admin, VMPROXY_RPC("OperatePrivilegeV2", "grants.operate_v2", admin)},
    {Rpc::other_admin, VMPROXY_RPC("CreateResourceGroup", "resource_groups.create", admin)},
    {Rpc::other_admin, VMPROXY_RPC("DropResourceGroup", "resource_groups.drop", admin)},
    {Rpc::other_admin, VMPROXY_RPC("UpdateResourceGroups", "resource_groups.update", admin)},
    {Rpc::other_admin, VMPROXY_RPC("TransferNode", "resource_groups.transfer_node", admin)},
    {Rpc::other_admin, VMPROXY_RPC("TransferReplica", "resource_groups.transfer_replica", admin)},
    {Rpc::other_admin, VMPROXY_RPC("RestoreRBAC", "rbac.restore", admin)},
    {Rpc::other_admin, VMPROXY_RPC("CreatePrivilegeGroup", "privilege_groups.create", admin)},
    {Rpc::other_admin, VMPROXY_RPC("DropPrivilegeGroup", "privilege_groups.drop", admin)},
    {Rpc::other_admin, VMPROXY_RPC("OperatePrivilegeGroup", "privilege_groups.operate", admin)},
    // These change records in ways that no request tells.
    {Rpc::unknown, VMPROXY_RPC("Import", "import", OperationClass::unknown)},
    {Rpc::unknown, VMPROXY_RPC("ReplicateMessage", "replicate", OperationClass::unknown)},
    {Rpc::rest_read, {"POST", "/v1/vector/query", "rest.query", read}},
    {Rpc::rest_read, {"POST", "/v1/vector/get", "rest.get", read}},
    {Rpc::rest_read, {"POST", "/v1/vector/search", "rest.search", read}},
    {Rpc::rest_read, {"GET", "/v1/vector/collections", "rest.collections", session}},
    {Rpc::rest_read, {"GET", "/v1/vector/collections/describe", "rest.describe", session}},
    {Rpc::unknown, {"POST", "/v1/vector/insert", "rest.insert", OperationClass::unknown}},
    {Rpc::unknown, {"POST", "/v1/vector/upsert", "rest.upsert", OperationClass::unknown}},
    {Rpc::unknown, {"POST", "/v1/vector/delete", "rest.delete", OperationClass::unknown}},
    {Rpc::unknown, {"POST", "/v1/vector/collections/create", "rest.create", OperationClass::unknown}},
    {Rpc::unknown, {"POST", "/v1/vector/collections/drop", "rest.drop", OperationClass::unknown}},
};

#undef VMPROXY_RPC

constexpr size_t count = std::size(entries);

constexpr auto table = [] {
  std::array<OperationRow, count> out{};
  for (size_t i = 0; i < count; ++i) out[i] = entries[i].row;
  return out;
}();

}  // namespace

std::span<const OperationRow> rows() {
  return table;
}

Rpc rpc_of(const OperationRow& row) {
  return entries[&row - table.data()].rpc;
}

const OperationRow* find_row(std::string_view method, std::string_view path) {
  static const auto by_path = [] {
    std::unordered_map<std::string_view, const OperationRow*> map;
    for (const auto& row : table) map.emplace(row.pattern, &row);
    return map;
  }();
  const auto found = by_path.find(path);
  return found == by_path.end() || found->second->method != method ? nullptr : found->second;
}

bool answers_status(Rpc rpc) {
  switch (rpc) {
    case Rpc::create_collection:
    case Rpc::drop_collection:
    case Rpc::rename_collection:
    case Rpc::alter_collection:
    case Rpc::alter_collection_field:
    case Rpc::load_collection:
    case Rpc::release_collection:
    case Rpc::load_partitions:
    case Rpc::release_partitions:
    case Rpc::create_partition:
    case Rpc::drop_partition:
    case Rpc::create_alias:
    case Rpc::drop_alias:
    case Rpc::alter_alias:
    case Rpc::create_index:
    case Rpc::alter_index:
    case Rpc::drop_index:
    case Rpc::create_database:
    case Rpc::drop_database:
    case Rpc::alter_database: return true;
    default: return false;
  }
}

}  // namespace vmproxy::protocols::milvus
