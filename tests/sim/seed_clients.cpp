// The application of a seed.
#include "tests/sim/seed_parts.h"

#include <algorithm>
#include <array>

#include "tests/sim/requests.h"
#include "tests/support/rig.h"

namespace vmproxy::sim {

std::vector<std::string> Seed::some_ids() {
  std::vector<std::string> chosen;
  const size_t count = run_.chance(0.7) ? 1 : 1 + run_.below(4);
  for (size_t i = 0; i < count; ++i) {
    // Writers meet at few records.
    const auto& id = ids_[run_.below(hot_ && run_.chance(0.6) ? 2 : ids_.size())];
    if (std::find(chosen.begin(), chosen.end(), id) == chosen.end()) chosen.push_back(id);
  }
  return chosen;
}

void Seed::record_write(const std::string& name, const std::string& id, Kind kind, int64_t version, Time call,
                        World::Asked asked, const std::shared_ptr<const Answer>& given) {
  const bool heard = asked == World::Asked::answered;
  const Answer answer = heard ? *given : Answer{};
  writes_.push_back({name, id, kind, version, call, heard ? run_.now() : never, given});
  if (answer.did == Did::yes) ++verdict.counts.acknowledged;
  if (answer.did == Did::unknown) {
    // Who asked may have gone long before the request is sent.
    doubtful_until_[id] =
        std::max(doubtful_until_[id], run_.now() + world_.window() + (heard ? 1 : 60) * second);
    ++verdict.counts.unknown;
    if (unbounded_) suspect_[id] = doubtful_until_[id];
  }
  if (stale_reads_) suspect_[id] = never;
  run_.note(name + ": " +
            (kind == Kind::write             ? "put "
             : kind == Kind::write_if_absent ? "insert "
                                             : "delete ") +
            id + "=" + std::to_string(version) +
            (answer.did == Did::yes  ? " done"
             : answer.did == Did::no ? " not done"
                                     : " unknown") +
            (answer.by_target ? " by the target" : "") + (answer.error.empty() ? "" : ": " + answer.error));
}

void Seed::write(const std::string& name, How how, const Images& images, Kind kind) {
  const Time call = run_.now();
  const auto answer = std::make_shared<Answer>();
  // Some clients have little patience.
  const Time patience = run_.chance(0.1) ? run_.between(1, 50) * millisecond : 30 * second;
  for (const auto& image : images) ++under_way_of_[model::to_string(image.key.id)];
  const auto asked = world_.ask("write", patience, [this, how, images, answer](Process& process) {
    serve_write(world_, process, how, images, *answer);
    answer->at = run_.now();
  });
  for (const auto& image : images) --under_way_of_[model::to_string(image.key.id)];
  if (asked == World::Asked::refused) return;
  for (const auto& image : images) {
    record_write(name, model::to_string(image.key.id), kind,
                 image.record ? support::version_of(*image.record) : 0, call, asked, answer);
  }
}

void Seed::put(const std::string& name) {
  Images images;
  for (const auto& id : some_ids())
    images.push_back({support::key_of(id), support::record_of(id, ++version_)});
  const How how = run_.chance(0.15) ? How::if_absent : run_.chance(read_back_) ? How::read_back : How::image;
  write(name, how, images, how == How::if_absent ? Kind::write_if_absent : Kind::write);
}

void Seed::erase(const std::string& name) {
  Images images;
  for (const auto& id : some_ids()) images.push_back({support::key_of(id), std::nullopt});
  write(name, run_.chance(read_back_) ? How::read_back : How::image, images, Kind::remove);
}

void Seed::erase_where(const std::string& name) {
  const int64_t version_max = version_ - static_cast<int64_t>(run_.below(40));
  const Time call = run_.now();
  const auto answer = std::make_shared<Answer>();
  for (const auto& id : ids_) ++under_way_of_[id];
  const auto asked = world_.ask("delete_where", 30 * second, [this, version_max, answer](Process& process) {
    serve_delete_where(world_, process, version_max, *answer);
    answer->at = run_.now();
  });
  for (const auto& id : ids_) --under_way_of_[id];
  if (asked == World::Asked::refused) return;
  for (const auto& id : ids_) record_write(name, id, Kind::remove_where, version_max, call, asked, answer);
}

void Seed::read(const std::string& name) {
  const auto ids = some_ids();
  const Time call = run_.now();
  std::map<std::string, bool> open;
  for (const auto& id : ids) open[id] = under_way_of_[id] > 0 || doubtful_until_[id] > call;
  const auto answer = std::make_shared<Answer>();
  const auto asked = world_.ask("read", 30 * second, [this, ids, answer](Process& process) {
    serve_read(world_, process, ids, *answer);
  });
  if (asked != World::Asked::answered || answer->did != Did::yes) return;
  verdict.counts.reads_moved += answer->moved;
  for (const auto& id : ids) {
    const std::string key = key_text(id);
    const auto found = answer->versions.find(id);
    const std::string value = found == answer->versions.end() ? "" : std::to_string(found->second);
    checker::Operation operation{.process = name, .key = key, .call = call, .ret = run_.now()};
    if (!value.empty()) operation.value = value;
    // What is acknowledged it must show; what nobody was told of may be on the primary only, until its window closes.
    if (answer->moved && open[id]) operation.stale = world_.window() + 2 * second;
    if (answer->moved && suspect_.contains(id)) operation.stale = checker::never;
    if (!answer->by_target && stale_reads_) operation.stale = world_.source.stale_reads;
    history_.add(operation);
    ++verdict.counts.acknowledged;
    run_.note(name + ": read " + id + "=" + value + (answer->by_target ? " from the target" : ""));
  }
}

Did Seed::change(const std::string& name, Change change) {
  const Time call = run_.now();
  const auto answer = std::make_shared<Answer>();
  if (change == Change::drop) dropped_ = call;
  for (const auto& id : ids_) ++under_way_of_[id];
  const auto asked = world_.ask("change", 60 * second, [this, change, answer](Process& process) {
    serve_change(world_, process, change, *answer);
    answer->at = run_.now();
  });
  for (const auto& id : ids_) --under_way_of_[id];
  if (asked == World::Asked::refused) return Did::no;
  const Did did = asked == World::Asked::answered ? answer->did : Did::unknown;
  run_.note(name + ": " + (change == Change::drop ? "drop" : "create") + ": " +
            (did == Did::yes  ? "done"
             : did == Did::no ? "not done"
                              : "unknown") +
            (answer->error.empty() ? "" : ": " + answer->error));
  if (change == Change::create || did == Did::no) return did;
  for (const auto& id : ids_)
    record_write(name, id, did == Did::yes ? Kind::remove : Kind::remove_where, 0, call, asked, answer);
  return did;
}

// Whoever drops it makes it again: it tries until the collection is there.
void Seed::recreate(const std::string& name) {
  if (std::exchange(changing_, true)) return;
  (void)change(name, Change::drop);
  while (run_.now() < ends_ && !world_.source.rows.has_collection("things")) {
    if (change(name, Change::create) != Did::yes) run_.sleep_until(run_.now() + run_.between(0, second));
  }
  changing_ = false;
}

void Seed::client(const std::string& name) {
  while (run_.now() < ends_) {
    run_.sleep_until(run_.now() + run_.between(0, 2 * think_));
    ++verdict.counts.operations;
    const uint64_t what = run_.below(100);
    if (changes_ && run_.chance(0.01)) {
      recreate(name);
    } else if (what < 45) {
      put(name);
    } else if (what < 60) {
      erase(name);
    } else if (what < 60 + wheres_) {
      erase_where(name);
    } else {
      read(name);
    }
  }
  --under_way_;
}

}  // namespace vmproxy::sim
