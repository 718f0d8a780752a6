// What is loaded: nothing can be read of a collection, or of a partition, that is not.
#include <algorithm>

#include "protocols/milvus/driver.h"

namespace vmproxy::protocols::milvus {

Result<MilvusDriver::LoadState> MilvusDriver::load_state(const model::CollectionName& name,
                                                         const std::vector<std::string>& partitions,
                                                         Deadline deadline) {
  ProtoWriter request;  // its fields have numbers of their own
  request.bytes(2, name.name);
  for (const auto& partition : partitions) request.always_bytes(3, partition);
  request.bytes(4, database_of(name.space));
  const auto answer = client_.call("GetLoadState", database_of(name.space), request, deadline);
  if (!answer) return answer.error();
  auto state = LoadState::absent;
  ProtoReader reader(*answer);
  while (reader.next()) {
    if (reader.field() == 2) state = static_cast<LoadState>(reader.i32());
  }
  return state;
}

Result<void> MilvusDriver::load(const model::CollectionName& name, Deadline deadline) {
  auto begun = client_.command("LoadCollection", database_of(name.space), on_collection(name), deadline);
  if (!begun)
    return begun.error().within("loading collection '" + to_string(name) + "' so that it can be read");
  std::mutex unused;
  std::condition_variable never;
  while (clock_.now() < deadline) {
    const auto state = load_state(name, {}, deadline);
    if (!state) return state.error().code == Code::unsupported ? Result<void>() : Result<void>(state.error());
    if (*state == LoadState::loaded) return {};
    std::unique_lock lock(unused);
    clock_.wait_until(lock, never, std::min(deadline, clock_.in(std::chrono::milliseconds(100))),
                      [] { return false; });
  }
  return Error(Code::timeout, "collection '" + to_string(name) + "' was not loaded in time");
}

// The failed request does not prove it: a partition that was made or loaded a moment ago is refused in the same words.
std::optional<Error> MilvusDriver::released(const model::Schema& schema, const std::string& partition,
                                            const Error& error, Deadline deadline) {
  const auto names = partition_names(schema, partition);
  if (error.code != Code::unavailable || names.empty()) return std::nullopt;
  const auto state = load_state(schema.name, names, deadline);
  if (!state || *state != LoadState::not_loaded) return std::nullopt;
  const auto whole = load_state(schema.name, {}, deadline);  // one of which nothing is loaded is for load()
  if (!whole || *whole == LoadState::not_loaded) return std::nullopt;
  return Error(Code::unavailable, "partition '" + names.front() + "' of collection '" +
                                      to_string(schema.name) +
                                      "' is released, and Milvus shows nothing of it: load the partition");
}

}  // namespace vmproxy::protocols::milvus
