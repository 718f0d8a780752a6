#include "proxy/mirror.h"

#include <algorithm>
#include <exception>

#include "base/log.h"
#include "journal/rows.h"
#include "proxy/images.h"

namespace vmproxy::proxy {
namespace {

model::Outcome outcome_at(const journal::OutcomeRecord& outcome, size_t index) {
  return index < outcome.items.size() ? outcome.items[index] : outcome.whole;
}

}  // namespace

Mirror::Mirror(journal::Journal& journal, Collections& collections, Transfer& transfer,
               const protocols::Dialect* dialect, Clock& clock, Random& random, Metrics& metrics,
               MirrorOptions options)
    : journal_(journal),
      transfer_(transfer),
      clock_(clock),
      options_(options),
      debts_(journal, clock),
      ledger_(journal),
      quarantine_(journal, clock),
      written_(journal),
      suspects_(journal),
      lanes_({journal, collections, transfer, dialect, in_flight_, freshness_, debts_, ledger_, quarantine_,
              clock, random, metrics},
             options.lanes) {}

Mirror::~Mirror() {
  stop();
}

Result<void> Mirror::start() {
  std::lock_guard one(life_mutex_);
  if (started_) return {};
  lanes_.start(primary_, not_before_);
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::exception& refused) {
    lanes_.stop();
    return Error(Code::overloaded, std::string("a thread of the mirror cannot be started: ") +
                                       refused.what() +
                                       ". Raise the limit of threads of the process or the machine");
  }
  started_ = true;
  return {};
}

void Mirror::stop() {
  std::lock_guard one(life_mutex_);
  {
    std::lock_guard hold(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  lanes_.stop();
  ledger_.flush();
  started_ = false;  // may be started again
  std::lock_guard hold(mutex_);
  stopping_ = false;
}

uint64_t Mirror::next_position() {
  const auto now = static_cast<uint64_t>(clock_.now().time_since_epoch().count());
  uint64_t last = last_position_.load();
  uint64_t next = 0;
  do {
    next = std::max(last + 1, now);
  } while (!last_position_.compare_exchange_weak(last, next));
  return next;
}

Duration Mirror::window_of(Side primary) const {
  return transfer_.driver(primary).capabilities().max_exec.value_or(options_.uncertain_window);
}

// --- the write path

Ticket Mirror::begin_keyed(const Routing& routing, std::string operation, model::CollectionName collection,
                           std::vector<model::Key> keys, journal::IntentClass cls) {
  Ticket ticket;
  ticket.cls = cls;
  ticket.primary = routing.primary;
  ticket.epoch = routing.epoch;
  ticket.operation = std::move(operation);
  ticket.collection_key = model::to_string(collection);
  ticket.collection = std::move(collection);
  for (const auto& key : keys) ticket.encoded.push_back(model::encode(key));
  ticket.named = keys.size();
  ticket.keys = std::move(keys);
  ticket.op = in_flight_.begin_keyed(ticket.collection_key, ticket.encoded);
  return ticket;
}

Ticket Mirror::begin_broad(const Routing& routing, std::string operation, model::CollectionName collection,
                           journal::IntentClass cls) {
  Ticket ticket;
  ticket.broad = true;
  ticket.cls = cls;
  ticket.primary = routing.primary;
  ticket.epoch = routing.epoch;
  ticket.operation = std::move(operation);
  ticket.collection_key = model::to_string(collection);
  ticket.collection = std::move(collection);
  ticket.enumerated_from = journal_.next();
  ledger_.hold(ticket.enumerated_from);
  ticket.op = in_flight_.begin_broad(ticket.collection_key);
  return ticket;
}

void Mirror::add_keys(Ticket& ticket, std::vector<model::Key> keys) {
  std::vector<std::string> encoded;
  for (auto& key : keys) {
    encoded.push_back(model::encode(key));
    ticket.keys.push_back(std::move(key));
  }
  // A delete by filter under way may hit them, and has not listed them: it looks at them again, and their READ waits for it.
  if (!ticket.broad) in_flight_.add_keys(ticket.op, encoded);
  for (auto& key : encoded) ticket.encoded.push_back(std::move(key));
}

void Mirror::journal(Ticket& ticket, journal::IntentBody body,
                     std::function<void(Result<journal::Seq>)> done) {
  journal::IntentHead head;
  head.epoch = ticket.epoch;
  head.primary = ticket.primary;
  head.cls = ticket.cls;
  head.operation = ticket.operation;
  head.collection = ticket.collection;
  head.keys = ticket.keys;
  head.makes_keys = ticket.makes_keys;
  head.enumerated_from = ticket.enumerated_from;
  journal_.append(std::move(head), std::move(body), [this, done = std::move(done)](Result<journal::Seq> seq) {
    if (seq) ledger_.open(*seq);
    done(std::move(seq));
  });
}

void Mirror::drop(Ticket ticket) {
  journal::OutcomeRecord rejected;
  rejected.whole = model::Outcome::rejected;
  finish(std::move(ticket), std::move(rejected));
}

void Mirror::finish(Ticket ticket, journal::OutcomeRecord outcome,
                    std::function<void(Result<void>)> durable) {
  ++writes_;
  // Not journaled and sent all the same: the capture gap stands for it (correctness.md 3), but its keys are read back
  // anyway, so that the gap is as small as can be.
  const bool nameless = ticket.makes_keys && ticket.keys.size() == ticket.named;
  // The intent does not name the keys that the primary made up: a replay finds them here.
  if (ticket.makes_keys) {
    for (size_t i = ticket.named; i < ticket.keys.size(); ++i)
      outcome.images.push_back({ticket.keys[i], std::nullopt});
  }
  {
    std::lock_guard ordered(finish_mutex_);
    if (ticket.broad) {
      finish_broad(ticket, outcome);
    } else {
      finish_keyed(ticket, outcome);
    }
  }
  if (ticket.broad) ledger_.release(ticket.enumerated_from);
  if (outcome.whole != model::Outcome::rejected) {
    std::string gap;
    if (ticket.cls == journal::IntentClass::opaque)
      gap = "operation '" + ticket.operation + "' may have changed records that cannot be named";
    if (nameless)
      gap = "operation '" + ticket.operation + "' made records in '" + ticket.collection_key +
            "' whose keys are not known";
    if (!gap.empty()) {
      journal_.mark_gap(gap, [](Result<void> marked) {
        if (!marked) log::error("a capture gap could not be recorded", {{"error", marked.error().message}});
      });
    }
  }
  if (ticket.seq != 0) {
    journal_.outcome(ticket.seq, std::move(outcome), std::move(durable));
  } else if (durable) {
    durable({});
  }
}

void Mirror::touch(const std::string& collection, const std::vector<std::string>& keys) {
  written_.note(collection, keys);
  const uint64_t generation = generation_;
  if (generation == 0 || keys.empty()) return;
  std::vector<journal::Row> rows;
  for (const auto& key : keys) {
    rows.push_back({std::string(journal::rows::touched), touched_key(generation, collection, key), ""});
  }
  journal_.put_rows(std::move(rows));
}

bool Mirror::reads_settle() const {
  const auto& primary = transfer_.driver(primary_).capabilities();
  return primary.read_after_write && primary.max_exec.has_value();
}

void Mirror::suspect_reads(const std::string& collection, const std::vector<std::string>& keys) {
  if (!transfer_.driver(primary_).capabilities().read_after_write) suspects_.mark(collection, keys);
}

Entry Mirror::read_entry(const std::string& collection, std::string key) {
  Entry entry;
  entry.collection = collection;
  entry.key = std::move(key);
  entry.position = next_position();
  return entry;
}

void Mirror::put(Entry entry) {
  const WriteMarks::Coming coming(marks_, entry.collection, entry.key);
  place(std::move(entry));
}

void Mirror::place(Entry entry) {
  // An image of the target may be the last copy of an acknowledged write, if the target dies (C6): as a debt it would have
  // to be read from there. Its bytes stay in the journal; the entry only says where.
  const bool only_here = entry.image && primary_ == Side::target;
  if (only_here || lanes_.size() < options_.entries_max) {
    lanes_.put(std::move(entry));
    return;
  }
  // H55: no memory for days of outage: only the key is owed, on disk.
  bool first = false;
  {
    std::lock_guard hold(mutex_);
    first = collapsed_collections_[entry.collection]++ == 0;
  }
  if (first) freshness_.block(entry.collection);
  std::vector<Debt> debts{{0, entry.collection, entry.key, DebtReason::collapsed, Duration::zero()}};
  debts_.add(debts);
  debts_.put_back(std::move(entry.debts));
  for (const auto seq : entry.seqs) ledger_.done(seq);
}

void Mirror::finish_keyed(Ticket& ticket, journal::OutcomeRecord& outcome) {
  std::vector<std::string> changed;
  std::vector<Debt> debts;
  std::vector<size_t> entries;
  for (size_t i = 0; i < ticket.encoded.size(); ++i) {
    const auto what = outcome_at(outcome, i);
    if (what == model::Outcome::rejected) continue;
    changed.push_back(ticket.encoded[i]);
    entries.push_back(i);
    if (what == model::Outcome::uncertain) {
      debts.push_back(
          {0, ticket.collection_key, ticket.encoded[i], DebtReason::uncertain, window_of(ticket.primary)});
      // Before end_keyed, so that an op that begins now finds either the op or its window.
      in_flight_.open_window(ticket.collection_key, ticket.encoded[i]);
    }
  }
  touch(ticket.collection_key, changed);
  if (!debts.empty()) debts_.add(debts);
  // Before the op ends, until each key has its entry: at every moment one of the two says that it is dirty.
  const WriteMarks::Coming coming(marks_, ticket.collection_key, changed);
  const auto flight = in_flight_.end_keyed(ticket.op);
  if (ticket.seq != 0) ledger_.expect(ticket.seq, entries.size());
  std::vector<std::string> read;
  for (const size_t i : entries) {
    Entry entry = read_entry(ticket.collection_key, ticket.encoded[i]);
    const bool certain = outcome_at(outcome, i) == model::Outcome::applied;
    entry.image =
        certain && ticket.cls == journal::IntentClass::image && !flight.overlapped[i] && ticket.seq != 0;
    entry.seq = ticket.seq;
    entry.item = static_cast<uint32_t>(i);
    entry.waits = flight.waits;
    if (!entry.waits.empty()) entry.image = false;
    if (!entry.image) read.push_back(entry.key);
    // What is journaled as applied is written from the journal after a restart: nothing else would say that it must be read.
    if (!entry.image && certain && ticket.primary == Side::target) {
      outcome.items.resize(ticket.encoded.size(), outcome.whole);
      outcome.items[i] = model::Outcome::uncertain;
    }
    if (ticket.seq != 0) entry.seqs.push_back(ticket.seq);
    place(std::move(entry));
  }
  suspect_reads(ticket.collection_key, read);
}

void Mirror::finish_broad(Ticket& ticket, const journal::OutcomeRecord& outcome) {
  const WriteMarks::Coming coming(marks_, ticket.collection_key);  // as in finish_keyed
  auto flight = in_flight_.end_broad(ticket.op);
  if (outcome.whole == model::Outcome::rejected) {
    if (ticket.seq != 0) ledger_.expect(ticket.seq, 0);
    lanes_.wake();
    return;
  }
  std::vector<std::string> keys = ticket.encoded;
  keys.insert(keys.end(), flight.keys.begin(), flight.keys.end());
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  touch(ticket.collection_key, keys);
  if (outcome.whole == model::Outcome::uncertain) {
    // H42: it may still run and hit keys that are written later: everything in the window is read again at its end.
    const OpId window = in_flight_.open_collection_window(ticket.collection_key, keys);
    ledger_.hold(ticket.enumerated_from);
    std::lock_guard hold(mutex_);
    windows_.push_back(
        {window, ticket.collection_key, clock_.in(window_of(ticket.primary)), ticket.enumerated_from});
  }
  if (ticket.seq != 0) ledger_.expect(ticket.seq, keys.size());
  suspect_reads(ticket.collection_key, keys);
  for (auto& key : keys) {
    Entry entry = read_entry(ticket.collection_key, std::move(key));
    entry.waits = flight.waits;
    if (ticket.seq != 0) entry.seqs.push_back(ticket.seq);
    place(std::move(entry));
  }
  lanes_.wake();
}

// --- what the replica has

bool Mirror::dirty(const model::CollectionName& collection, const model::Key& key) {
  const std::string name = model::to_string(collection);
  const std::string encoded = model::encode(key);
  // In this order: a write leaves the table for the marks, and the marks for its lane.
  return in_flight_.busy(name, encoded) || marks_.coming(name, encoded) || lanes_.has(name, encoded) ||
         debts_.owed(name, encoded);
}

bool Mirror::quarantined(const model::CollectionName& collection, const model::Key& key) {
  return quarantine_.holds(model::to_string(collection), model::encode(key));
}

void Mirror::backfill(const model::CollectionName& collection, uint64_t incarnation,
                      std::vector<model::Record> rows,
                      std::function<void(Result<journal::BackfillDone>)> done) {
  lanes_.copy(collection, incarnation, std::move(rows), std::move(done));
}

Result<void> Mirror::repair(const model::CollectionName& collection, const std::vector<model::Key>& keys) {
  const std::string name = model::to_string(collection);
  std::vector<Debt> debts;
  std::vector<std::string> encoded;
  for (const auto& key : keys) {
    encoded.push_back(model::encode(key));
    debts.push_back({0, name, encoded.back(), DebtReason::repair, Duration::zero()});
  }
  debts_.add(debts);
  // Nobody has seen both sides equal there: compared before the primary changes.
  written_.note(name, encoded);
  changed_.notify_all();
  return {};
}

void Mirror::set_generation(uint64_t generation) {
  generation_ = generation;
  lanes_.set_generation(generation);
}

std::vector<OpId> Mirror::open_settle(const std::vector<std::string>& collections) {
  std::vector<OpId> windows;
  for (const auto& name : collections) windows.push_back(in_flight_.open_collection_window(name, {}));
  std::lock_guard hold(mutex_);
  for (size_t i = 0; i < windows.size(); ++i) {
    windows_.push_back({windows[i], collections[i], TimePoint::max(), 0});
  }
  return windows;
}

void Mirror::close_settle(const std::vector<OpId>& windows) {
  {
    std::lock_guard hold(mutex_);
    for (auto& window : windows_) {
      if (std::find(windows.begin(), windows.end(), window.window) != windows.end())
        window.closes = clock_.now();
    }
  }
  close_windows(false);
}

void Mirror::pause(const std::string& collection) {
  lanes_.pause(collection);
  freshness_.block(collection);
}

void Mirror::resume(const std::string& collection) {
  lanes_.resume(collection);
  freshness_.unblock(collection);
}

void Mirror::forget(const std::string& collection) {
  // H43: what was owed by name is owed again: a late write may land on the collection's next life.
  std::vector<Debt> debts;
  for (auto& entry : lanes_.remove(collection)) {
    for (auto& debt : entry.debts) debts.push_back(std::move(debt));
  }
  debts_.put_back(std::move(debts));
  // H20: what was journaled before is of the life before, also after a restart.
  journal_.put_rows({{std::string(journal::rows::state), std::string(life_rows) + collection,
                      std::to_string(journal_.next())}});
  (void)quarantine_.remove_collection(collection);
  changed_.notify_all();
}

Result<void> Mirror::retry_quarantined(std::optional<uint64_t> number) {
  std::vector<Quarantined> items;
  if (number) {
    auto found = quarantine_.find(*number);
    if (!found) return found.error();
    if (!*found)
      return Error(Code::not_found, "there is no quarantined change number " + std::to_string(*number));
    if ((*found)->primary != primary_) {
      return Error(
          Code::precondition,
          "change number " + std::to_string(*number) +
              " was refused while the other database was primary: that one may have "
              "the record's last copy, and a retry would read this one. Nothing was done. `vmproxy quarantine show` prints the "
              "record; write it through the application, then drop it from quarantine");
    }
    items.push_back(std::move(**found));
  } else {
    auto all = quarantine_.list(100'000);
    if (!all) return all.error();
    items = std::move(*all);
  }
  std::lock_guard ordered(finish_mutex_);
  for (auto& item : items) {
    if (item.primary != primary_) continue;  // H46
    Entry entry = read_entry(item.collection, item.key);
    entry.waits = in_flight_.broad_of(item.collection);
    entry.quarantined.push_back(item.number);
    put(std::move(entry));
  }
  return {};
}

Mirror::Numbers Mirror::numbers() {
  Numbers n;
  n.lag_changes = lanes_.size() + debts_.count(DebtReason::collapsed);
  const uint64_t oldest = freshness_.oldest_owed();
  if (oldest != 0) {
    const auto age = clock_.now() - TimePoint(Duration(static_cast<Duration::rep>(oldest)));
    n.lag_seconds = std::max(0.0, std::chrono::duration<double>(age).count());
  }
  n.dirty = lanes_.size() + debts_.count();
  n.suspects = suspects_.count();
  n.quarantined = quarantine_.count();
  n.writes = writes_;
  n.applied = lanes_.applied();
  n.failed = lanes_.failed();
  n.in_flight = in_flight_.size();
  n.oldest_debt_seconds = std::chrono::duration<double>(debts_.oldest_age()).count();
  n.problem = lanes_.problem();
  if (journal_full_ && primary_ == Side::target)
    n.problem += (n.problem.empty() ? "" : "; ") + std::string(kept_beyond_max);
  return n;
}

}  // namespace vmproxy::proxy
