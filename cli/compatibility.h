// How the collections of one database would live in another: what `check` and `from --dry-run` show.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "mapping/plan.h"
#include "protocols/api/driver.h"

namespace vmproxy::cli {

// Error unsupported: cannot be carried at all.
Result<std::unique_ptr<mapping::Plan>> plan_for(const model::Schema& schema, const protocols::Driver& source,
                                                const protocols::Driver& target,
                                                const config::Migration& migration);

// Of a collection; nothing when the database cannot say.
std::optional<uint64_t> count_records(protocols::Driver& driver, const model::Schema& schema,
                                      Deadline deadline);

}  // namespace vmproxy::cli
