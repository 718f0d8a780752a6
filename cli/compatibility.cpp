#include "cli/compatibility.h"

namespace vmproxy::cli {

Result<std::unique_ptr<mapping::Plan>> plan_for(const model::Schema& schema, const protocols::Driver& source,
                                                const protocols::Driver& target,
                                                const config::Migration& migration) {
  model::CollectionName wanted = schema.name;
  if (const auto renamed = migration.names.find(schema.name.name); renamed != migration.names.end())
    wanted = {"", renamed->second};
  return mapping::Plan::make(schema, source.capabilities(), target.name_for(wanted), target.capabilities());
}

std::optional<uint64_t> count_records(protocols::Driver& driver, const model::Schema& schema,
                                      Deadline deadline) {
  model::Query query;
  query.kind = model::Query::Kind::count;
  query.collection = schema.name;
  const auto counted = driver.query(schema, query, deadline);
  return counted ? std::optional(counted->count) : std::nullopt;
}

}  // namespace vmproxy::cli
