// A collection whose dimension is open (open_dimension.h) is made anew with that of its first records; what others do with it
// meanwhile waits, and what they have begun ends first.
#include <algorithm>

#include "protocols/milvus/driver.h"
#include "protocols/milvus/open_dimension.h"

namespace vmproxy::protocols::milvus {
namespace {

Error still_made_anew(const model::CollectionName& name) {
  return {Code::cancelled, "collection '" + to_string(name) + "' was being made anew until the deadline"};
}

}  // namespace

uint64_t MilvusDriver::settlings() const {
  std::lock_guard hold(mutex_);
  return settlings_;
}

bool MilvusDriver::was_settling(const model::CollectionName& name, uint64_t since, Deadline deadline) {
  std::unique_lock lock(mutex_);
  if (!settling_.contains(name)) return settlings_ != since;
  return clock_.wait_until(lock, settled_, deadline, [&] { return !settling_.contains(name); });
}

Result<void> MilvusDriver::as_it_is(const model::CollectionName& name, Deadline deadline,
                                    const std::function<Result<void>()>& work) {
  {
    std::unique_lock lock(mutex_);
    if (!clock_.wait_until(lock, settled_, deadline, [&] { return !settling_.contains(name); }))
      return still_made_anew(name);
    in_work_.insert(name);
  }
  auto done = work();
  std::lock_guard hold(mutex_);
  in_work_.erase(in_work_.find(name));
  settled_.notify_all();
  return done;
}

Result<void> MilvusDriver::settle_dimension(const model::Schema& schema,
                                            std::span<const model::Record> records, Deadline deadline) {
  model::Query all;
  all.kind = model::Query::Kind::count;
  all.collection = schema.name;
  const auto counted = query(schema, all, deadline);
  if (!counted && counted.error().code != Code::not_found) return counted.error();
  if (counted && counted->count > 0) return {};  // somebody else's records
  {
    std::unique_lock lock(mutex_);
    if (!clock_.wait_until(lock, settled_, deadline, [&] { return !settling_.contains(schema.name); }))
      return still_made_anew(schema.name);
    settling_.insert(schema.name);  // no more work begins; what has begun ends first
    if (!clock_.wait_until(lock, settled_, deadline, [&] { return !in_work_.contains(schema.name); })) {
      settling_.erase(schema.name);
      settled_.notify_all();
      return Error(Code::cancelled, "collection '" + to_string(schema.name) +
                                        "' was being created or loaded until the deadline");
    }
  }
  const auto anew = [&]() -> Result<void> {
    const auto there = describe_now(schema.name, deadline);
    if (!there) return there.error();
    model::Schema wanted = *there ? **there : schema;
    if (!is_open(wanted) || !take_dimensions(wanted, records)) return {};
    // Refused one by one then, with the dimensions that can be.
    const auto out_of_bounds = [this](const auto& field) {
      return field.kind != model::VectorKind::sparse &&
             (field.dimension < open_dimension || field.dimension > capabilities().dimension_max);
    };
    if (std::ranges::any_of(wanted.vectors, out_of_bounds)) return {};
    // An index that was not made yet says no metric.
    for (auto& field : wanted.vectors) {
      const auto same = [&](const auto& asked) {
        return asked.name == field.name || (asked.name.empty() && field.name == nameless_vector);
      };
      const auto asked = std::ranges::find_if(schema.vectors, same);
      if (asked != schema.vectors.end()) field.metric = asked->metric;
    }
    if (*there) {
      auto dropped = drop(schema.name, deadline);
      if (!dropped) return dropped;
    }
    auto made = make(wanted, deadline);
    // Made beside us by somebody else; who writes asks again.
    if (!made && made.error().code == Code::already_exists)
      return Error(Code::overloaded, made.error().message);
    return made;
  };
  auto done = anew();
  std::lock_guard hold(mutex_);
  settling_.erase(schema.name);
  ++settlings_;
  settled_.notify_all();
  return done;
}

}  // namespace vmproxy::protocols::milvus
