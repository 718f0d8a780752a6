// Partitions: made, dropped, loaded, listed, counted. Kept in the catalog, but for the records that a drop takes along.
#include <algorithm>

#include "protocols/milvus/rows.h"
#include "protocols/milvus/serve.h"

namespace vmproxy::protocols::milvus {
namespace {

std::optional<Status> refuse_partition_name(const std::string& name) {
  const std::string begin = "Invalid partition name: " + name + ". ";
  if (name.empty()) return failure(65535, begin + "Partition name should not be empty.");
  if (name.size() > 255)
    return failure(65535, begin + "The length of a partition name must be less than 255 characters.");
  for (size_t i = 0; i < name.size(); ++i) {
    if (name_letters.find(name[i]) != name_letters.npos || (name[i] >= '0' && name[i] <= '9')) continue;
    return failure(
        65535, begin + (i == 0 ? "The first character of a partition name must be an underscore or letter."
                               : "Partition name can only contain numbers, letters and underscores."));
  }
  return std::nullopt;
}

// Loading some partitions of a collection that is not loaded leaves the others out.
Answer load_partitions(Asked& asked, const Found& found, const std::vector<std::string>& names) {
  Collection now = found.collection;
  const bool load = asked.rpc == Rpc::load_partitions;
  const auto named = [&](const std::string& name) { return std::ranges::find(names, name) != names.end(); };
  if (load && now.indexes.empty())
    return answer(asked.rpc, failure(700, "index not found[collection=" + now.described.name + "]"));
  now.released.clear();
  bool any = false;
  for (const auto& partition : now.partitions) {
    const bool was = found.collection.loaded && !found.collection.released_partition(partition.name);
    const bool is = named(partition.name) ? load : was;
    any = any || is;
    if (!is) now.released.push_back(partition.name);
  }
  now.loaded = any;
  if (!any) now.released.clear();
  if (now.loaded == found.collection.loaded && now.released == found.collection.released)
    return done(asked.rpc);
  auto kept = keep(asked, found, now);
  if (!kept) return kept.error();
  return done(asked.rpc);
}

Answer create_partition(Asked& asked, const Found& found, const std::string& name) {
  if (const auto refusal = refuse_partition_name(name)) return answer(asked.rpc, *refusal);
  if (found.collection.described.schema.partition_key())
    return answer(asked.rpc, failure(65535, "disable create partition if partition key mode is used"));
  Collection now = found.collection;
  const uint64_t time = milliseconds_now();
  now.partitions.push_back({name, new_number(asked.backend), time << 18, time});
  now.described.partitions = static_cast<int64_t>(now.partitions.size());
  auto kept = keep(asked, found, now);
  if (!kept) return kept.error();
  return done(asked.rpc);
}

// Its records first: what is left of a drop that failed is still shown, and can be dropped again.
Answer drop_partition(Asked& asked, const Found& found, const std::string& name) {
  if (found.collection.loaded && !found.collection.released_partition(name))
    return answer(
        asked.rpc,
        failure(65535, "partition cannot be dropped, partition is loaded, please release it first"));
  if (name == default_partition)
    return answer(asked.rpc, failure(65535, "default partition cannot be deleted"));
  constexpr uint64_t at_once = 10'000;
  model::Write write;
  write.kind = model::Write::Kind::delete_where;
  write.collection = found.schema->name;
  write.partitions = {name};
  write.limit = at_once;
  for (;;) {
    auto written = asked.backend.write(write);
    if (!written) return written.error();
    if (written->affected < at_once) break;
  }
  Collection now = found.collection;
  std::erase_if(now.partitions, [&](const PartitionInfo& one) { return one.name == name; });
  std::erase(now.released, name);
  now.described.partitions = static_cast<int64_t>(now.partitions.size());
  auto kept = keep(asked, found, now);
  if (!kept) return kept.error();
  return done(asked.rpc);
}

}  // namespace

Answer statistics(Asked& asked, const Found& found, const std::vector<std::string>& partitions) {
  model::Query query;
  query.kind = model::Query::Kind::count;
  query.collection = found.schema->name;
  query.partitions = partitions;
  auto counted = asked.backend.query(query);
  if (!counted) return counted.error();
  ProtoWriter out;
  out.always_bytes(1, encode(Status()));
  write_pairs(out, 2, {{"row_count", std::to_string(counted->count)}});
  return answer(out.view());
}

Answer serve_partitions(Asked& asked, const Found& found, const Address& address) {
  const auto& list = found.collection.partitions;
  const auto known = [&](std::string_view name) {
    return std::ranges::any_of(list, [&](const PartitionInfo& one) { return one.name == name; });
  };
  switch (asked.rpc) {
    case Rpc::show_partitions: return answer(encode(list));
    case Rpc::has_partition: {
      ProtoWriter out;
      out.always_bytes(1, encode(Status()));
      out.boolean(2, known(address.fourth));
      return answer(out.view());
    }
    case Rpc::create_partition:
      if (known(address.fourth)) return done(asked.rpc);
      return create_partition(asked, found, address.fourth);
    case Rpc::drop_partition:
      if (!known(address.fourth)) return done(asked.rpc);
      return drop_partition(asked, found, address.fourth);
    case Rpc::load_partitions:
    case Rpc::release_partitions:
      for (const auto& name : address.fourths) {
        if (!known(name))
          return answer(asked.rpc, failure(200, "partition not found[partition=" + name + "]"));
      }
      return load_partitions(asked, found, address.fourths);
    default: {
      Status refusal;
      const auto names = partitions_of(found.collection, {address.fourth}, refusal);
      if (!names) return answer(asked.rpc, refusal);
      return statistics(asked, found, *names);
    }
  }
}

}  // namespace vmproxy::protocols::milvus
