// The collections bound to the configuration: how each was moved by the last run is kept beside the catalog, so that a start
// can tell what its own configuration changes.
#include "journal/rows.h"
#include "model/codec.h"
#include "proxy/collections.h"

namespace vmproxy::proxy {
namespace {

constexpr std::string_view carried_row =
    "carried";  // how each included collection was moved, written with the catalog
constexpr uint8_t carried_format = 1;

}  // namespace

auto Collections::load_carried() -> Result<std::optional<std::map<std::string, Carried>>> {
  auto kept = journal_.row(journal::rows::state, carried_row);
  if (!kept) return kept.error();
  if (!*kept) return std::optional<std::map<std::string, Carried>>();
  model::Reader reader(**kept);
  const uint8_t format = reader.u8();
  if (format != carried_format) {
    return Error(Code::unsupported, "what the migration moves was written in format " +
                                        std::to_string(format) +
                                        ", which this version does not know; use the version that wrote it");
  }
  std::map<std::string, Carried> before;
  const uint64_t count = reader.varint();
  for (uint64_t i = 0; i < count && reader.ok(); ++i) {
    const std::string key = reader.bytes();
    before[key].target = reader.bytes();
    before[key].hash = reader.u64();
  }
  if (!reader.done()) return Error(Code::corrupt, "what the migration moves cannot be read from its state");
  return std::optional(std::move(before));
}

void Collections::compare(const std::map<std::string, Carried>& before, const ByKey& now) {
  for (const auto& [key, collection] : now) {
    const std::string target = model::to_string(collection->plan->target().name);
    const auto was = before.find(key);
    if (was == before.end()) {
      reconfigured_.push_back(
          {Change::Kind::added, key, "collection '" + key + "' is included now and was not before"});
    } else if (was->second.target != target) {
      reconfigured_.push_back({Change::Kind::renamed, key,
                               "collection '" + key + "' is called '" + target +
                                   "' on the target now and was '" + was->second.target + "'"});
    } else if (was->second.hash != collection->plan->hash()) {
      reconfigured_.push_back(
          {Change::Kind::remapped, key,
           "the records of collection '" + key + "' take another form on the target now"});
    }
  }
  for (const auto& [key, was] : before) {
    if (!now.contains(key)) {
      reconfigured_.push_back({Change::Kind::removed, key, "collection '" + key + "' is no longer included"});
    }
  }
}

Result<void> Collections::accept() {
  std::lock_guard changing(write_mutex_);
  std::shared_ptr<const protocols::Catalog> known;
  Plans plans;
  {
    std::lock_guard hold(mutex_);
    known = catalog_;
    plans = {collections_, refused_};
  }
  auto kept = keep(*known, plans, {});
  if (!kept) return kept;
  reconfigured_.clear();
  return {};
}

journal::Row Collections::carried(const ByKey& collections) {
  model::Writer writer;
  writer.u8(carried_format);
  writer.varint(collections.size());
  for (const auto& [key, collection] : collections) {
    writer.bytes(key);
    writer.bytes(model::to_string(collection->plan->target().name));
    writer.u64(collection->plan->hash());
  }
  return {std::string(journal::rows::state), std::string(carried_row), writer.take()};
}

}  // namespace vmproxy::proxy
