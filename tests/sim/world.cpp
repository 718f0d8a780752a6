#include "tests/sim/world.h"

#include <algorithm>

#include "tests/support/rig.h"

namespace vmproxy::sim {

World::World(Scheduler& scheduler, Duration source_window, Duration target_window)
    : run(scheduler), source(scheduler, "source"), target(scheduler, "target"), disk(scheduler) {
  source.rows.caps.max_exec = source.rows.caps.max_zombie = source_window;
  target.rows.caps.max_exec = target.rows.caps.max_zombie = target_window;
  source.rows.add_collection(support::things());
  disk.unfollowed = [this] {
    return serving() && process_->migration && process_->migration->context().mirror.unfollowed();
  };
  options.name = "move";
  options.source_label = "old (fake)";
  options.target_label = "new (fake)";
  options.included = [](const model::CollectionName&) { return true; };
  options.pre_drain_max = std::chrono::seconds(5);
  options.fence_max = std::chrono::seconds(5);
  options.pool_threads = 4;
  options.backfill.parallel = 2;
}

bool World::start() {
  const Group group = run.new_group();
  auto* fresh = new Process(disk, run.random());
  group_ = group;
  running_ = true;
  const uint64_t life = ++lives_;
  const auto ended = std::make_shared<std::optional<Result<void>>>();
  run.spawn(group, "start", [this, fresh, ended] {
    const auto open = [&]() -> Result<void> {
      auto opened = journal::Journal::open(fresh->store, fresh->clock, fresh->metrics, {});
      if (!opened) return opened.error();
      fresh->journal = std::move(*opened);
      fresh->migration =
          std::make_unique<cutover::Migration>(*fresh->journal, source, target, &dialect, fresh->upstream,
                                               fresh->clock, fresh->random, fresh->metrics, options);
      return fresh->migration->open();
    };
    *ended = open();
    run.notify(&lives_);
  });
  const Time deadline = run.now() + 600 * second;
  while (!*ended && life == lives_ && run.now() < deadline) (void)run.wait(&lives_, deadline);
  if (*ended && **ended && life == lives_) {
    process_ = fresh;
    run.note("world: started");
    return true;
  }
  run.note("world: did not start: " + (life != lives_ ? "it was killed"
                                       : *ended       ? (*ended)->error().message
                                                      : "it takes too long"));
  run.kill(group);
  if (life == lives_) running_ = false;
  return false;
}

void World::kill(bool machine) {
  run.note(machine ? "world: the machine ends" : "world: kill -9");
  killed_.push_back(run.now());
  run.kill(group_);
  process_ = nullptr;
  running_ = false;
  ++lives_;
  run.notify(&lives_);
  source.sender_died();
  target.sender_died();
  if (machine) disk.machine_ended();
  for (const auto& call : calls_) {
    if (const auto waiting = call.lock()) run.notify(waiting.get());
  }
  calls_.clear();
}

Time World::died_after(Time when) const {
  const auto at = std::lower_bound(killed_.begin(), killed_.end(), when);
  return at == killed_.end() ? never : *at;
}

bool World::stop() {
  if (!serving()) return true;
  run.note("world: stops");
  Process* ending = process_;
  process_ = nullptr;
  const auto served = [this] {
    return std::all_of(calls_.begin(), calls_.end(), [](const auto& call) {
      const auto under_way = call.lock();
      return !under_way || under_way->answered;
    });
  };
  const uint64_t life = lives_;
  const Time drained = run.now() + 30 * second;
  while (life == lives_ && !served() && run.now() < drained) run.sleep_until(run.now() + 10 * millisecond);
  if (life != lives_) return false;  // killed meanwhile
  if (!served()) {
    kill(false);
    return false;
  }
  const auto ended = std::make_shared<bool>(false);
  run.spawn(group_, "stop", [this, ending, ended] {
    ending->migration->close();
    ending->migration.reset();
    (void)ending->journal->close();
    ending->journal.reset();
    *ended = true;
    run.notify(&lives_);
  });
  const Time closed = run.now() + 120 * second;
  while (!*ended && life == lives_ && run.now() < closed) (void)run.wait(&lives_, closed);
  if (!*ended && life != lives_) return false;
  if (!*ended) {
    kill(false);
    return false;
  }
  ++lives_;
  running_ = false;
  calls_.clear();
  delete ending;
  return true;
}

World::Asked World::ask(std::string what, Time patience, std::function<void(Process&)> serve) {
  if (!serving()) {
    run.sleep_until(run.now() + run.between(0, 5 * millisecond));
    return Asked::refused;
  }
  std::erase_if(calls_, [](const auto& call) { return call.expired(); });
  const auto call = std::make_shared<Call>();
  calls_.push_back(call);
  const uint64_t life = lives_;
  run.spawn(group_, std::move(what), [this, call, process = process_, serve = std::move(serve)] {
    serve(*process);
    call->answered = true;
    run.notify(call.get());
  });
  const Time deadline = run.now() + patience;
  while (!call->answered && lives_ == life && run.now() < deadline) (void)run.wait(call.get(), deadline);
  return call->answered ? Asked::answered : Asked::lost;
}

}  // namespace vmproxy::sim
