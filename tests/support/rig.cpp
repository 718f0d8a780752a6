#include "tests/support/rig.h"

#include <future>

#include "journal/rows.h"
#include "proxy/images.h"

namespace vmproxy::support {

using journal::Image;

bool eventually(FakeClock& clock, const std::function<bool()>& what) {
  // Real time bounds it too: a loaded machine gets a minute.
  const auto give_up = std::chrono::steady_clock::now() + seconds(60);
  for (int step = 0; std::chrono::steady_clock::now() < give_up; ++step) {
    if (what()) return true;
    if (step < 5000) clock.advance(milliseconds(1));
    std::this_thread::sleep_for(std::chrono::microseconds(200));  // of polling; nothing relies on its length
  }
  return what();
}

void linger(FakeClock& clock) {
  for (int step = 0; step < 150; ++step) {
    clock.advance(milliseconds(1));
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

Rig::Rig() {
  source.add_collection(things());
  source.stamp_with(clock);
  target.stamp_with(clock);
  options.lanes.lanes = 4;
}

Rig::~Rig() {
  source.release();
  target.release();
  stop();
}

void Rig::start(Side primary) {
  replay(primary);
  if (auto started = mirror->start(); !started) FAIL(started.error().message);
}

void Rig::replay(Side primary) {
  auto opened = journal::Journal::open(*store, clock, metrics, {});
  if (!opened) FAIL(opened.error().message);
  journal = std::move(*opened);
  collections = std::make_unique<proxy::Collections>(
      *journal, source, target, clock, [](const model::CollectionName&) { return true; },
      std::map<std::string, std::string>{});
  const auto must = [](const Result<void>& done) {
    if (!done) FAIL(done.error().message);
  };
  must(collections->load());
  if (collections->all().empty()) {
    must(collections->refresh(clock.in(seconds(10))));
    must(collections->create_on_target(clock.in(seconds(10))));
  }
  routing.primary = primary;
  routing.capture = true;
  mirror = std::make_unique<proxy::Mirror>(*journal, *collections, transfer, &dialect, clock, random, metrics,
                                           options);
  mirror->set_generation(generation);
  must(mirror->recover(primary, routing.epoch, journal->stats().clean_start));
}

void Rig::stop() {
  if (mirror) mirror->stop();
  mirror.reset();
  collections.reset();
  if (journal) (void)journal->close();
  journal.reset();
}

void Rig::crash() {
  // What the disk holds at this moment; threads that still run write into the old store only.
  const auto kept = store->dump();
  source.release();
  target.release();
  mirror.reset();
  collections.reset();
  journal.reset();
  store = store::make_memory_store();
  store::Batch batch;
  for (const auto& [key, value] : kept) batch.put(key, value);
  if (!store->commit(batch, store::Sync::yes)) FAIL("the store does not take its own content");
}

Rig::Ticket Rig::journaled(Ticket ticket, std::string body) {
  std::promise<Result<journal::Seq>> promise;
  mirror->journal(ticket, {"POST", "/put", {}, std::move(body)},
                  [&promise](Result<journal::Seq> seq) { promise.set_value(std::move(seq)); });
  auto seq = promise.get_future().get();
  if (!seq) FAIL(seq.error().message);
  ticket.seq = *seq;
  return ticket;
}

Rig::Ticket Rig::begin(std::vector<Image> images, IntentClass cls) {
  std::vector<model::Key> keys;
  for (const auto& image : images) keys.push_back(image.key);
  auto ticket = mirror->begin_keyed(routing, "records.put", {"", "things"}, std::move(keys), cls);
  return journaled(std::move(ticket), proxy::encode_images(images));
}

Rig::Ticket Rig::begin(const std::string& id, int64_t version, IntentClass cls) {
  return begin({{key_of(id), record_of(id, version)}}, cls);
}
Rig::Ticket Rig::begin_erase(const std::string& id) {
  return begin({{key_of(id), std::nullopt}}, IntentClass::image);
}

Rig::Ticket Rig::begin_delete_where(int64_t version_max) {
  auto ticket = mirror->begin_broad(routing, "records.delete_where", {"", "things"}, IntentClass::predicate);
  std::vector<model::Key> keys;
  for (const auto& [id, version] : source.rows()) {
    if (version <= version_max) keys.push_back(key_of(id));
  }
  mirror->add_keys(ticket, std::move(keys));
  return journaled(std::move(ticket), std::to_string(version_max));
}

void Rig::finish(Ticket ticket, Outcome whole, std::vector<Outcome> items) {
  journal::OutcomeRecord outcome;
  outcome.whole = whole;
  outcome.items = std::move(items);
  mirror->finish(std::move(ticket), std::move(outcome));
}

void Rig::write(const std::string& id, int64_t version, IntentClass cls) {
  auto ticket = begin(id, version, cls);
  source.put(id, version);
  applied(std::move(ticket));
}

void Rig::erase(const std::string& id) {
  auto ticket = begin_erase(id);
  source.remove(id);
  applied(std::move(ticket));
}

void Rig::copy_aside(std::vector<model::Record> rows) {
  {
    std::lock_guard hold(copy_mutex_);
    copy_result_.reset();
  }
  mirror->backfill({"", "things"}, collection()->plan->source().incarnation, std::move(rows),
                   [this](Result<journal::BackfillDone> done) {
                     std::lock_guard hold(copy_mutex_);
                     copy_result_ = std::move(done);
                   });
}

Result<journal::BackfillDone> Rig::copied() {
  const bool came = eventually([&] {
    std::lock_guard hold(copy_mutex_);
    return copy_result_.has_value();
  });
  if (!came) return Error(Code::timeout, "the copy's rows were not answered");
  std::lock_guard hold(copy_mutex_);
  return *copy_result_;
}

Result<journal::BackfillDone> Rig::copy(std::vector<model::Record> rows) {
  copy_aside(std::move(rows));
  return copied();
}

bool Rig::quiet() {
  return eventually([&] {
    const auto numbers = mirror->numbers();
    return numbers.lag_changes == 0 && numbers.oldest_debt_seconds == 0;
  });
}

bool Rig::trimmed() {
  return eventually([&] { return journal->stats().trimmed_below == journal->next(); });
}

void Rig::start_with_debts_that_cannot_be_read() {
  options.entries_max = 0;
  options.debts_max = 1;
  start();
  write("a", 1);
  write("b", 1);
  REQUIRE(trimmed());  // the debts are all that is left of them
  store->fail_reads(std::string(journal::rows::debts) + '\0' + "things");
}

std::shared_ptr<const proxy::Collection> Rig::collection(const std::string& name) {
  auto found = collections->find(name);
  if (!found) FAIL("no collection '" << name << "'");
  return found;
}

}  // namespace vmproxy::support
