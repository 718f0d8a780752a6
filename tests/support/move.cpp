#include "tests/support/move.h"

#include <future>

#include "proxy/images.h"
#include "proxy/target_backend.h"

namespace vmproxy::support {

Move::Move() {
  source.add_collection(things());
  // How long a start waits for writes from before it, in steps of the clock that take real time.
  source.caps.max_exec = target.caps.max_exec = seconds(10);
  source.stamp_with(clock);
  target.stamp_with(clock);
  options.name = "move";
  options.source_label = "old (fake)";
  options.target_label = "new (fake)";
  options.included = [](const model::CollectionName& name) { return name.name != "excluded"; };
  options.mirror.lanes.lanes = 4;
  options.pre_drain_max = seconds(2);
  options.fence_max = seconds(2);
  options.backfill.batch = 10;
  options.backfill.parallel = 2;
}

Move::~Move() {
  source.release();
  target.release();
  if (aside_.joinable()) (void)ended();
  if (migration) migration->close();
  migration.reset();
  if (journal) (void)journal->close();
}

Result<void> Move::try_start() {
  auto opened = journal::Journal::open(*store, clock, metrics, {});
  if (!opened) FAIL(opened.error().message);
  journal = std::move(*opened);
  migration = std::make_unique<cutover::Migration>(*journal, source, target, &dialect, upstream, clock,
                                                   random, metrics, options);
  return migration->open();
}

void Move::start() {
  auto done = try_start();
  if (!done) FAIL(done.error().message);
}

void Move::copy_until_held(FakeDriver& at, Call call) {
  at.hold(call);
  start();
  REQUIRE(migration->start("ready", {}));
  REQUIRE(reaches("backfilling"));
  REQUIRE(eventually([&] { return at.held() > 0; }));
}

bool Move::reaches(const std::string& state) {
  return reaches([&] {
    const auto now = status().state;
    // Whoever settles only waits, for the longest that a write from before the barrier may take: larger steps do no harm.
    if (now == "mirroring" && state != now) clock.advance(milliseconds(500));
    return now == state;
  });
}

bool Move::reaches(const std::function<bool()>& what) {
  const auto give_up = std::chrono::steady_clock::now() + seconds(60);
  while (std::chrono::steady_clock::now() < give_up) {
    if (what()) return true;
    clock.advance(milliseconds(20));
    std::this_thread::sleep_for(std::chrono::microseconds(200));  // of polling; nothing relies on its length
  }
  return false;
}

void Move::validate_until_clean() {
  cutover::ValidateOptions all;
  all.repair = true;
  const auto clean = [this] { return status().validation.phase == "clean" && status().gaps == 0; };
  const auto over = [this] { return status().validation.phase != "running"; };
  if (!eventually(over)) FAIL("the validation that was asked for before does not end");
  for (int pass = 0; pass == 0 || (pass < 10 && !clean()); ++pass) {
    auto begun = migration->validate(all, {});
    if (!begun) FAIL(begun.error().message);
    if (!eventually(over)) FAIL("the validation does not end");
    if (!quiet()) FAIL("what was repaired does not arrive: " << status().verdict);
  }
  // The gaps are closed a moment before the state says so.
  const bool validated = eventually([&] {
    const auto state = cutover::load_state(*journal);
    return state && state->validated;
  });
  if (!validated) FAIL("no validation is clean: " << status().verdict);
}

void Move::ready() {
  start();
  auto started = migration->start("ready", {});
  if (!started) FAIL(started.error().message);
  if (!reaches("ready")) FAIL("not ready: " << status().verdict);
}

void Move::crash(const Disk& disk) {
  source.release();
  target.release();
  if (aside_.joinable()) (void)ended();
  migration->close();
  migration.reset();
  journal.reset();
  const auto slot = store->read_slot();  // a file of its own
  store = store::make_memory_store();
  if (!slot || !store->write_slot(*slot)) FAIL("the slot does not come over");
  store::Batch batch;
  for (const auto& [key, value] : disk) batch.put(key, value);
  if (!store->commit(batch, store::Sync::yes)) FAIL("the store does not take its own content");
}

void Move::aside(std::function<Result<void>()> call) {
  aside_done_ = false;
  aside_ = std::thread([this, call = std::move(call)] {
    aside_result_ = call();
    aside_done_ = true;
  });
}

void Move::promote_aside() {
  aside([this] { return migration->promote({}); });
}

Result<void> Move::ended() {
  (void)eventually([&] { return aside_done_.load(); });
  aside_.join();
  return aside_result_;
}

Result<void> Move::run(const std::function<Result<void>()>& call) {
  std::promise<Result<void>> promise;
  auto result = promise.get_future();
  std::thread thread([&] { promise.set_value(call()); });
  (void)eventually([&] { return result.wait_for(seconds(0)) == std::future_status::ready; });
  thread.join();
  return result.get();
}

Result<void> Move::promote(std::vector<std::string> force) {
  return run([&] { return migration->promote({"test", "", force}); });
}
Result<void> Move::rollback(std::vector<std::string> force) {
  return run([&] { return migration->rollback({"test", "", force}); });
}

bool Move::intended() {
  const auto state = cutover::load_state(*journal);
  return state && state->flip_intended;
}

void Move::enter() {
  std::promise<void> inside;
  context().gate.enter([&inside] { inside.set_value(); });
  inside.get_future().wait();
}

void Move::change(const journal::Image& image, bool uncertain) {
  enter();
  proxy::Gate::Inside inside(context().gate);
  const auto routing = context().routing.get();
  const std::string id = model::to_string(image.key.id);
  const auto execute = [&] {
    if (image.record) {
      source.put(id, version_of(*image.record));
    } else {
      source.remove(id);
    }
  };
  if (routing->primary == Side::source) {
    if (!routing->capture) {
      execute();
      return;
    }
    auto ticket = context().mirror.begin_keyed(*routing, "records.put", {"", "things"}, {image.key},
                                               IntentClass::image);
    std::promise<Result<journal::Seq>> promise;
    context().mirror.journal(ticket, {"POST", "/put", {}, proxy::encode_images({image})},
                             [&promise](Result<journal::Seq> seq) { promise.set_value(std::move(seq)); });
    const auto seq = promise.get_future().get();
    if (seq) ticket.seq = *seq;
    if (!uncertain) execute();
    journal::OutcomeRecord outcome;
    outcome.whole = uncertain ? Outcome::uncertain : Outcome::applied;
    context().mirror.finish(std::move(ticket), std::move(outcome));
    return;
  }
  if (uncertain) target.fail(Call::upsert, Error(Code::timeout, "no answer came in time"));
  proxy::TargetBackend backend(context(), routing, "records.put", clock.in(seconds(10)));
  auto answer = dialect.serve(dialect.table()[0], put_request({image}), backend);
  if (uncertain && answer) FAIL("a write without an answer was acknowledged");
  if (!answer && !uncertain) throw std::runtime_error(answer.error().message);
}

void Move::make_other_where_the_target_has_one() {
  target.add_collection(things("other"));
  target.put("other", "theirs", 7);
  source.add_collection(things("other"));
  source.put("other", "ours", 1);
  REQUIRE(context().collections.refresh(clock.in(seconds(1))));
  REQUIRE(context().mirror.repair({"", "other"}, {key_of("ours")}));  // as if it had been written
  linger();
  CHECK(target.rows("other").size() == 1);
}

void Move::write(const std::string& id, int64_t version) {
  change({key_of(id), record_of(id, version)}, false);
}
void Move::erase(const std::string& id) {
  change({key_of(id), std::nullopt}, false);
}
void Move::write_uncertain(const std::string& id, int64_t version) {
  change({key_of(id), record_of(id, version)}, true);
}

void Move::write_inside(const std::string& id, int64_t version) {
  const auto routing = context().routing.get();
  auto ticket = context().mirror.begin_keyed(*routing, "records.put", {"", "things"}, {key_of(id)},
                                             IntentClass::read_back);
  (routing->primary == Side::source ? source : target).put(id, version);
  journal::OutcomeRecord outcome;
  outcome.whole = Outcome::applied;
  context().mirror.finish(std::move(ticket), outcome);
}

bool Move::quiet() {
  return eventually([&] {
    const auto numbers = context().mirror.numbers();
    return numbers.lag_changes == 0 && numbers.oldest_debt_seconds == 0;
  });
}

}  // namespace vmproxy::support
