#include "protocols/pgvector/tables.h"

namespace vmproxy::protocols::pgvector {
namespace {
constexpr size_t entries_max = 10'000;
// An index that somebody else builds, or rows that make one worth while, are noticed after so long. A column
// that changed is noticed at once, by the error that it causes.
constexpr auto age_max = std::chrono::seconds(30);
}  // namespace

Result<std::shared_ptr<const Table>> Tables::get(Connection& connection, const model::Schema& collection,
                                                 Deadline deadline) {
  const std::string& name = collection.name.name;
  {
    std::lock_guard hold(mutex_);
    const auto known = entries_.find(name);
    if (known != entries_.end() && clock_.now() - known->second.at < age_max) return known->second.table;
  }
  if (connection.types().version.empty()) {
    if (auto learnt = connection.learn_types(deadline); !learnt) return learnt.error();
  }
  auto found = look_up(connection, schema_, name, &collection, deadline);
  if (!found) return found.error();
  if (!*found) return Error{Code::not_found, "table " + schema_ + "." + name + " does not exist"};
  auto table = std::make_shared<const Table>(std::move(**found));
  std::lock_guard hold(mutex_);
  if (entries_.size() >= entries_max) entries_.clear();
  entries_[name] = {table, clock_.now()};
  return table;
}

void Tables::forget(const std::string& name) {
  std::lock_guard hold(mutex_);
  entries_.erase(name);
}

}  // namespace vmproxy::protocols::pgvector
