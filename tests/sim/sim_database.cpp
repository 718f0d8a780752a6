#include "tests/sim/sim_database.h"

#include <algorithm>

#include "model/filter.h"

namespace vmproxy::sim {

using model::Key;
using model::Record;
using protocols::ApplyResult;

namespace {
// Some calls have half an hour.
constexpr Time silence_max = 60 * second;
}  // namespace

SimDatabase::SimDatabase(Scheduler& run, std::string name) : run_(run), name_(std::move(name)) {}

Time SimDatabase::window() const {
  const Duration max_exec = rows.caps.max_exec.value_or(std::chrono::seconds(30));
  return std::chrono::nanoseconds(std::min<Duration>(max_exec, rows.caps.max_zombie)).count();
}

void SimDatabase::note_changes(const support::FakeDriver::Rows& before) {
  const auto after = rows.rows();
  for (const auto& [id, version] : after) {
    const auto was = before.find(id);
    if (was == before.end() || was->second != version) changes_[id].push_back({run_.now(), version});
  }
  for (const auto& [id, version] : before) {
    if (!after.contains(id)) changes_[id].push_back({run_.now(), std::nullopt});
  }
}

std::shared_ptr<const support::FakeDriver::State> SimDatabase::some_state(Time ago_max) {
  const Time when = run_.now() - run_.between(0, ago_max);
  std::shared_ptr<const support::FakeDriver::State> found;
  for (const auto& [since, state] : states_) {
    if (since <= when) found = state;
  }
  return found;
}

std::vector<Time> SimDatabase::became(const std::string& id, std::optional<int64_t> version, Time from,
                                      Time to) const {
  std::vector<Time> times;
  const auto found = changes_.find(id);
  if (found == changes_.end()) return times;
  for (const auto& change : found->second) {
    if (change.version == version && change.at >= from && change.at <= to) times.push_back(change.at);
  }
  return times;
}

std::set<std::optional<int64_t>> SimDatabase::held(const std::string& id, Time from, Time to) const {
  std::optional<int64_t> first;
  std::set<std::optional<int64_t>> versions;
  const auto found = changes_.find(id);
  for (const auto& change : found == changes_.end() ? std::vector<Change>() : found->second) {
    if (change.at <= from) first = change.version;
    if (change.at > from && change.at <= to) versions.insert(change.version);
  }
  versions.insert(first);
  return versions;
}

bool SimDatabase::changed_after(Time when) const {
  return std::any_of(changes_.begin(), changes_.end(),
                     [when](const auto& of) { return !of.second.empty() && of.second.back().at > when; });
}

void SimDatabase::put(const std::string& id, int64_t version) {
  rows.put(id, version);
  changes_[id].push_back({run_.now(), version});
}

void SimDatabase::replaced_by_an_empty_one() {
  const auto before = rows.rows();
  rows.drop_collection("things");
  note_changes(before);
  states_.clear();
  ++lives_;
}

template <class T>
Result<T> SimDatabase::exchange(std::string what, size_t batch, Deadline deadline, Execute<T> execute,
                                Time stale_max) {
  // What the wire carries outlives whoever asked.
  struct Wire {
    std::optional<Result<T>> answer;
  };
  const auto wire = std::make_shared<Wire>();
  const auto latency = [this] {
    return run_.chance(0.02) ? run_.between(0, 300 * millisecond) : run_.between(0, faults.latency_max);
  };
  const auto left = std::chrono::nanoseconds(deadline - SystemClock().now()).count();
  const Time gives_up = run_.now() + std::max<Time>(0, left);
  const auto said = [this, what](std::string_view end) {
    run_.note(name_ + ": " + what + ": " + std::string(end));
  };
  if (away() && !silent) {
    run_.sleep_until(std::min(gives_up, run_.now() + latency()));
    said("away");
    return Error(Code::refused_connection, name_ + " is away");
  }
  if (run_.chance(faults.refuse)) {
    run_.sleep_until(std::min(gives_up, run_.now() + latency()));
    said("refused");
    return Error(Code::quota, name_ + " has too much to do");
  }
  const bool writes = batch > 0;
  bool request_lost = run_.chance(faults.loss / 2), answer_lost = run_.chance(faults.loss / 2);
  const bool lasts = what != "drop" && what != "create";  // those are done when they arrive, or never
  const bool late =
      writes && lasts && run_.chance(what == "erase_where" ? faults.late_where + faults.late : faults.late);
  if (request_lost || answer_lost || late) ++lost;
  if (late) answer_lost = request_lost = true;

  const bool unheard = away();
  if (unheard) request_lost = true;

  const auto perform = [this, wire, execute, said, batch, writes, answer_lost, stale_max,
                        life = lives_](bool again) {
    if (away() || life != lives_) return said("was on the way when it went away");
    const auto former = stale_max > 0 && run_.chance(faults.stale) ? some_state(stale_max) : nullptr;
    if (former) ++stale;
    const bool keeps = writes && (stale_scans > 0 || stale_reads > 0);
    if (keeps && states_.empty()) states_.emplace_back(run_.now(), rows.state());
    const bool part = !again && batch > 1 && run_.chance(faults.part);
    if (part) {
      ++partial;
      rows.break_next_batch_after(run_.below(batch));
    }
    const auto before = writes ? rows.rows() : support::FakeDriver::Rows();
    if (former) rows.freeze_at(former);
    auto answer = execute();
    if (former) rows.thaw();
    if (writes) note_changes(before);
    if (keeps) states_.emplace_back(run_.now(), rows.state());
    // Of those from before that time only the last one can still be shown.
    while (states_.size() > 1 && states_[1].first < run_.now() - std::max(stale_scans, stale_reads))
      states_.pop_front();
    said(again ? "executed later" : part ? "executed in part" : former ? "shows what was" : "executed");
    if (!answer_lost && !again) wire->answer.emplace(std::move(answer));
  };
  const Time arrives = run_.now() + latency();
  if (writes) said("sent");
  if (!request_lost) {
    run_.at(arrives, [this, perform, lasts, sent = run_.now()] {
      if (!lasts || sender_died_ < sent || run_.chance(0.5)) return perform(false);
      run_.at(run_.between(run_.now(), std::max(run_.now(), sent + window() * 9 / 10)),
              [perform] { perform(false); });
    });
  }
  // The connection breaks, or nothing is heard until the deadline, or until the system notices.
  const Time silence = std::min(gives_up, run_.now() + silence_max);
  const Time answered = request_lost || answer_lost
                            ? (!unheard && run_.chance(0.7) ? run_.now() + latency() + latency() : silence)
                            : arrives + 1 + latency();
  if (writes && (late || (answer_lost && lasts && run_.chance(faults.replay)))) {
    // Counted from its beginning: the bound is promised from then on also where a kill cuts it off.
    const Time when = run_.between(arrives, run_.now() + window() * 9 / 10);
    ++(late ? landed_late : replayed);
    run_.at(when, [perform] { perform(true); });
  }
  if (answered >= gives_up) {
    run_.sleep_until(gives_up);
    said("no answer in time");
    return Error(Code::timeout, name_ + " did not answer in time");
  }
  run_.sleep_until(answered);
  if (!wire->answer) {
    said("connection lost");
    return Error(Code::connection_lost, "the connection to " + name_ + " broke");
  }
  return std::move(*wire->answer);
}

Result<protocols::ServerInfo> SimDatabase::describe_server(Deadline deadline) {
  return exchange<protocols::ServerInfo>("describe_server", 0, deadline,
                                         [this, deadline] { return rows.describe_server(deadline); });
}
Result<std::vector<protocols::Space>> SimDatabase::list_spaces(Deadline) {
  return std::vector<protocols::Space>{};
}
Result<std::vector<model::Schema>> SimDatabase::list_collections(Deadline deadline) {
  return exchange<std::vector<model::Schema>>("list_collections", 0, deadline,
                                              [this, deadline] { return rows.list_collections(deadline); });
}
Result<protocols::Holdings> SimDatabase::list_all(Deadline deadline) {
  return exchange<protocols::Holdings>("list_all", 0, deadline,
                                       [this, deadline] { return rows.list_all(deadline); });
}
Result<std::optional<model::Schema>> SimDatabase::describe(const model::CollectionName& name,
                                                           Deadline deadline) {
  return exchange<std::optional<model::Schema>>(
      "describe", 0, deadline, [this, name, deadline] { return rows.describe(name, deadline); });
}
Result<void> SimDatabase::create(const model::Schema& schema, Deadline deadline) {
  return exchange<void>("create", 1, deadline,
                        [this, schema, deadline] { return rows.create(schema, deadline); });
}
Result<void> SimDatabase::alter(const model::CollectionName& now, const model::Schema& wanted,
                                Deadline deadline) {
  return exchange<void>("alter", 1, deadline,
                        [this, now, wanted, deadline] { return rows.alter(now, wanted, deadline); });
}
Result<void> SimDatabase::drop(const model::CollectionName& name, Deadline deadline) {
  return exchange<void>("drop", 1, deadline, [this, name, deadline] { return rows.drop(name, deadline); });
}
Result<void> SimDatabase::build_indexes(const model::Schema& schema, Deadline deadline) {
  return exchange<void>("build_indexes", 0, deadline,
                        [this, schema, deadline] { return rows.build_indexes(schema, deadline); });
}

Result<std::vector<Record>> SimDatabase::read(const model::Schema& schema, std::span<const Key> keys,
                                              protocols::ReadParts parts, Deadline deadline) {
  return exchange<std::vector<Record>>(
      "read", 0, deadline,
      [this, schema, all = std::vector<Key>(keys.begin(), keys.end()), parts, deadline] {
        return rows.read(schema, all, parts, deadline);
      },
      stale_reads);
}
Result<protocols::ReadResult> SimDatabase::read_each(const model::Schema& schema, std::span<const Key> keys,
                                                     protocols::ReadParts parts, Deadline deadline) {
  return exchange<protocols::ReadResult>(
      "read_each", 0, deadline,
      [this, schema, all = std::vector<Key>(keys.begin(), keys.end()), parts, deadline] {
        return rows.read_each(schema, all, parts, deadline);
      },
      stale_reads);
}

Result<ApplyResult> SimDatabase::upsert(const model::Schema& schema, std::span<const Record> records,
                                        protocols::UpsertMode mode, Deadline deadline) {
  std::string what = inserts(mode) ? "insert" : "upsert";
  for (const auto& record : records)
    what += " " + model::to_string(record.key.id) + "=" + std::to_string(support::version_of(record));
  return exchange<ApplyResult>(std::move(what), records.size(), deadline,
                               [this, schema, all = std::vector<Record>(records.begin(), records.end()), mode,
                                deadline] { return rows.upsert(schema, all, mode, deadline); });
}
Result<ApplyResult> SimDatabase::erase(const model::Schema& schema, std::span<const Key> keys,
                                       Deadline deadline) {
  std::string what = "erase";
  for (const auto& key : keys) what += " " + model::to_string(key.id);
  return exchange<ApplyResult>(std::move(what), keys.size(), deadline,
                               [this, schema, all = std::vector<Key>(keys.begin(), keys.end()), deadline] {
                                 return rows.erase(schema, all, deadline);
                               });
}
Result<void> SimDatabase::erase_where(const std::string& collection, const model::Filter& filter,
                                      Deadline deadline) {
  return exchange<void>("erase_where", 1, deadline, [this, collection, filter, deadline]() -> Result<void> {
    model::Schema schema;
    schema.name = {"", collection};
    model::Query query;
    query.kind = model::Query::Kind::get;
    query.collection = schema.name;
    query.filter = filter;
    auto found = rows.query(schema, query, deadline);
    if (!found) return found.error();
    std::vector<Key> keys;
    for (const auto& record : found->records) keys.push_back(record.key);
    if (keys.empty()) return {};
    auto done = rows.erase(schema, keys, deadline);
    if (!done) return done.error();
    if (!done->refused.empty())
      return done->refused.front().error.not_whole(done->refused.size() < keys.size());
    return {};
  });
}

Result<model::QueryResult> SimDatabase::query(const model::Schema& schema, const model::Query& query,
                                              Deadline deadline) {
  return exchange<model::QueryResult>(
      "query", 0, deadline, [this, schema, query, deadline] { return rows.query(schema, query, deadline); });
}
Result<std::vector<protocols::ScanRange>> SimDatabase::plan_scan(const model::Schema& schema,
                                                                 size_t ranges_wanted, Deadline deadline) {
  return exchange<std::vector<protocols::ScanRange>>(
      "plan_scan", 0, deadline,
      [this, schema, ranges_wanted, deadline] { return rows.plan_scan(schema, ranges_wanted, deadline); });
}
Result<protocols::ScanPage> SimDatabase::scan(const model::Schema& schema, const protocols::ScanRange& range,
                                              const std::string& cursor, size_t records_max,
                                              protocols::ReadParts parts, Deadline deadline) {
  auto page = exchange<protocols::ScanPage>(
      "scan", 0, deadline,
      [this, schema, range, cursor, records_max, parts, deadline] {
        return rows.scan(schema, range, cursor, records_max, parts, deadline);
      },
      stale_scans);
  if (page && !page->records.empty() && run_.chance(faults.twice))
    page->records.push_back(page->records[run_.below(page->records.size())]);
  return page;
}

}  // namespace vmproxy::sim
