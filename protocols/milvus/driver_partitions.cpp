// Which partitions there are, and which of them a request has to be about.
#include <algorithm>

#include "protocols/milvus/driver.h"

namespace vmproxy::protocols::milvus {
namespace {

// What a request about a partition that is not there ends with: Query and Delete have different words for it.
bool may_be_missing(const Error& error) {
  return error.code == Code::invalid || error.code == Code::not_found;
}

}  // namespace

Result<std::set<std::string>> MilvusDriver::partitions_shown(const model::Schema& schema, Deadline deadline) {
  const auto within = "collection '" + to_string(schema.name) + "'";
  const auto shown =
      client_.call("ShowPartitions", database_of(schema.name.space), on_collection(schema.name), deadline);
  if (!shown) return shown.error().within(within);
  const auto list = read_partitions(*shown);
  if (!list) return Error(Code::corrupt, "ShowPartitions of " + within + " is no message that can be read");
  std::set<std::string> names;
  for (const auto& one : *list) names.insert(one.name == default_partition ? std::string() : one.name);
  return names;
}

// Records do not say which partition they are in, so each partition is asked by itself. The server is asked which there
// are: one that was made or dropped beside us is not in the schema, or still is.
Result<std::set<std::string>> MilvusDriver::partitions_to_ask(const model::Schema& schema,
                                                              const model::Query& query, Deadline deadline) {
  if (schema.partitions.empty()) return std::set<std::string>{""};
  if (!query.partitions.empty()) return std::set(query.partitions.begin(), query.partitions.end());
  return partitions_shown(schema, deadline);
}

// Most queries match few records, so many partitions are asked together, then by halves. All are named: a request that
// names none leaves out, and says nothing of, those that are released.
Result<void> MilvusDriver::find_partitions(const model::Schema& schema, const CollectionSchema& shape,
                                           const Rows& match, std::span<const std::string> names,
                                           std::vector<std::string>& found, Deadline deadline) {
  constexpr size_t together_min = 3;
  const auto keep_all = [&]() -> Result<void> {
    found.insert(found.end(), names.begin(), names.end());
    return {};
  };
  if (names.size() < together_min) return keep_all();
  Rows rows = match;
  rows.limit = names.size();
  for (const auto& name : names)
    rows.partitions.push_back(name.empty() ? std::string(default_partition) : name);
  const auto matches = fetch_records(schema, shape, rows, {false, false}, deadline);
  // One was dropped just now: which one shows when each is asked.
  if (!matches && may_be_missing(matches.error())) return keep_all();
  if (!matches) return matches.error();
  if (matches->records.empty()) return {};
  if (matches->records.size() * 2 > names.size()) return keep_all();  // halves would cost more than they save
  auto looked = find_partitions(schema, shape, match, names.first(names.size() / 2), found, deadline);
  if (!looked) return looked;
  return find_partitions(schema, shape, match, names.subspan(names.size() / 2), found, deadline);
}

Result<bool> MilvusDriver::was_dropped(const model::Schema& schema, const std::string& partition,
                                       const Error& error, Deadline deadline) {
  if (partition.empty() || !may_be_missing(error)) return false;
  const auto shown = partitions_shown(schema, deadline);
  if (!shown) return shown.error();
  return !shown->contains(partition);
}

Result<void> MilvusDriver::check_partitions(const model::Schema& schema, std::span<const std::string> names,
                                            Deadline deadline) {
  const auto shown = partitions_shown(schema, deadline);
  if (!shown && shown.error().code == Code::unsupported) return {};
  if (!shown) return shown.error();
  for (const auto& name : names) {
    if (shown->contains(name)) continue;
    return Error(Code::not_found,
                 "collection '" + to_string(schema.name) + "' has no partition '" + name + "'");
  }
  return {};
}

}  // namespace vmproxy::protocols::milvus
