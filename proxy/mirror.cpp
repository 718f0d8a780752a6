#include "proxy/mirror.h"

#include <algorithm>
#include <exception>

#include "base/fault.h"
#include "base/log.h"
#include "base/rule.h"
#include "journal/rows.h"
#include "proxy/images.h"

namespace vmproxy::proxy {
namespace {

constexpr size_t touched_at_once = 10'000;

}  // namespace

Mirror::Mirror(journal::Journal& journal, Collections& collections, Transfer& transfer,
               const protocols::Dialect* dialect, Clock& clock, Random& random, Metrics& metrics,
               MirrorOptions options)
    : journal_(journal),
      collections_(collections),
      transfer_(transfer),
      clock_(clock),
      options_(options),
      debts_(journal, clock, options.debts_max),
      ledger_(journal),
      quarantine_(journal, clock),
      written_(journal),
      suspects_(journal),
      lanes_({journal, collections, transfer, dialect, in_flight_, freshness_, debts_, ledger_, quarantine_,
              clock, random, metrics},
             options.lanes),
      primary_since_(clock.now()) {}

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
  // Those that a kill behind COMMIT left: where READs of this primary settle, no suspect is about it.
  if (reads_settle() && suspects_.count() > 0) {
    if (auto carried = carry_suspects(); !carried)
      log::warn("suspects stay as they are until the next validation", {{"error", carried.error().message}});
  }
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
  ticket.op = in_flight_.begin_keyed(ticket.collection_key, ticket.encoded, journal_.next());
  freshness_.began(ticket.collection_key, ticket.op);
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
  const journal::Seq now = journal_.next();
  ledger_.hold(now);
  ticket.enumerated_from = now;
  // H42: also what is in flight now may be executed after the enumeration and before the rest.
  ticket.op = in_flight_.begin_broad(ticket.collection_key, &ticket.enumerated_from);
  freshness_.began(ticket.collection_key, ticket.op);
  if (!VMPROXY_RULE("predicate.from-in-flight")) ticket.enumerated_from = now;
  ledger_.hold(ticket.enumerated_from);
  ledger_.release(now);
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
  if (ticket.broad) ticket.named = ticket.keys.size();
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

// --- what the replica has

bool Mirror::dirty(const model::CollectionName& collection, const model::Key& key) {
  const std::string name = model::to_string(collection);
  const std::string encoded = model::encode(key);
  // In this order: a write leaves the table for the marks, and the marks for its lane.
  if (in_flight_.busy(name, encoded) || marks_.coming(name, encoded) || lanes_.has(name, encoded))
    return true;
  const auto owed = debts_.owed(name, encoded);
  return !owed || *owed;  // who cannot look does not say that both sides are equal
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
  VMPROXY_FAULT("mirror.repaired");
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
    windows_.push_back({windows[i], collections[i], TimePoint::max(), 0, false});
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

Result<void> Mirror::reread_touched(const std::vector<std::string>& collections) {
  for (const auto& name : collections) {
    const std::string prefix = touched_key(generation_, name, "");
    std::string from;
    for (bool more = true; more;) {
      std::vector<Debt> debts;
      auto scanned = journal_.scan_latest_rows(
          journal::rows::touched, prefix, from, [&](std::string_view row, std::string_view) {
            debts.push_back(
                {0, name, std::string(row.substr(prefix.size())), DebtReason::repair, Duration::zero()});
            return debts.size() < touched_at_once;
          });
      if (!scanned) return scanned.error().within("what was written before the restart could not be listed");
      more = debts.size() == touched_at_once;
      if (more) from = prefix + debts.back().key + '\0';
      if (!debts.empty()) debts_.add(debts);
    }
  }
  changed_.notify_all();
  return {};
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
  if (primary_ == Side::source && VMPROXY_RULE("ddl.read-anew")) {
    // The next life may have begun when the source is asked about the end of this one, and one of these writes may be of it:
    // its intent stands until its key is read there.
    lanes_.read_anew(collection);
  } else {
    // The target makes a collection anew only behind this.
    std::vector<Debt> debts;
    for (auto& entry : lanes_.remove(collection)) {
      for (auto& debt : entry.debts) debts.push_back(std::move(debt));
    }
    // H43: what was owed by name is owed again: a late write may land on the collection's next life.
    if (VMPROXY_RULE("ddl.debts-kept")) debts_.put_back(std::move(debts));
  }
  VMPROXY_FAULT("mirror.forgotten");
  // H20: what was journaled before is of the life before, also after a restart.
  journal_.put_rows({{std::string(journal::rows::state), std::string(life_rows) + collection,
                      std::to_string(journal_.next())}});
  VMPROXY_FAULT("mirror.reborn");
  quarantine_.remove_collection(collection);
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
              "record; write it through the application, drop it from quarantine, then run `vmproxy validate --full --repair`");
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

uint64_t Mirror::lag_changes() const {
  return lanes_.size() + debts_.count(DebtReason::collapsed);
}

Mirror::Numbers Mirror::numbers() {
  Numbers n;
  n.lag_changes = lag_changes();
  n.rates = lag_trend_.rates();
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
