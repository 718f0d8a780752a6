#include "cutover/migration.h"

#include <algorithm>

#include "base/fault.h"
#include "base/log.h"
#include "cutover/losses.h"
#include "journal/rows.h"

namespace vmproxy::cutover {

using journal::Side;

Migration::Migration(journal::Journal& journal, protocols::Driver& source, protocols::Driver& target,
                     const protocols::Dialect* dialect, net::Upstream& upstream, Clock& clock, Random& random,
                     Metrics& metrics, MigrationOptions options)
    : journal_(journal),
      source_(source),
      target_(target),
      clock_(clock),
      random_(random),
      metrics_(metrics),
      options_(std::move(options)),
      collections_(journal, source, target, clock, options_.included, options_.names),
      transfer_(source, target),
      mirror_(journal, collections_, transfer_, dialect, clock, random, metrics, options_.mirror),
      routing_(proxy::Routing{}),
      gate_(clock),
      read_gate_(clock),
      keys_(clock),
      renames_(journal, collections_, transfer_, mirror_, keys_, clock),
      drops_(journal, collections_, transfer_, mirror_, keys_, clock),
      source_drops_(journal, collections_, transfer_, mirror_, clock, options_.proxy.mirror_drops),
      reads_(clock),
      read_counts_(metrics),
      target_reads_(clock, random),
      source_reads_(clock, random),
      credentials_(journal, dialect),
      budget_(options_.inflight_bytes),
      change_slots_(std::max<size_t>(1, options_.pool_threads / 4)),
      pool_(options_.pool_threads, 4096),
      context_{options_.name,
               dialect,
               upstream,
               journal,
               collections_,
               transfer_,
               mirror_,
               routing_,
               gate_,
               read_gate_,
               keys_,
               renames_,
               drops_,
               source_drops_,
               reads_,
               read_counts_,
               write_trials_,
               target_reads_,
               source_reads_,
               credentials_,
               budget_,
               change_slots_,
               pool_,
               clock,
               random,
               metrics,
               options_.proxy,
               unknown_requests_,
               uncaptured_writes_,
               write_latency_,
               source_read_latency_},
      backfill_(journal, source, target, mirror_, clock, random, metrics, copy_options()),
      validation_(journal, source, target, mirror_, clock, random, metrics, {{"migration", options_.name}}),
      audit_(journal, clock) {}

Migration::~Migration() {
  close();
}

backfill::Options Migration::copy_options() {
  backfill::Options options = options_.backfill;
  options.application_latency_seconds = [this] { return write_latency_.recent_seconds(clock_.now()); };
  // What the target then still holds of the former life is found by the validation that follows every copy.
  options.copy_anew = true;
  return options;
}

Result<void> Migration::open() {
  collections_.when_reborn([this](const std::string& key) { mirror_.forget(key); });
  collections_.when_gone([this] { mirror_.names_changed(); });
  collections_.when_rekeyed([this] { mirror_.gaps_act_late(Side::target); });
  auto loaded = load_state(journal_);
  if (!loaded) return loaded.error();
  State state = *loaded;
  if (state.salt == 0) state.salt = random_.next() | 1;
  if (state.flip_intended) {
    // PREPARE without COMMIT: the old primary stays, whatever had been done (correctness.md 10).
    state.flip_intended = false;
    audit_.note({"recovery", "", {}}, "change of the primary aborted",
                "the process ended before it was committed");
  }
  auto reads = read_counts_.restore(journal_);
  if (!reads) return reads;
  auto writes = write_trials_.restore(journal_);
  if (!writes) return writes;
  collections_.follow(state.primary);
  auto catalog = collections_.load();
  if (!catalog) return catalog;
  auto renames = renames_.load();
  if (!renames) return renames;
  auto drops = drops_.load();
  if (!drops) return drops;
  auto source_drops = source_drops_.load();
  if (!source_drops) return source_drops;
  auto request = load_validation_request(journal_);
  if (!request) return request.error();
  auto bound = bind(state);
  if (!bound) return bound;
  if (options_.unwatched) state.validating_full = false;
  // Not before the configuration is accepted: with another auth.header it forgets who was let in.
  auto credentials = credentials_.restore(state.primary);
  if (!credentials) return credentials;
  if (credentials_.form_is_kept()) {
    log::warn(
        "whoever asks is told apart as when the target became the primary, by the headers that counted then, until a start "
        "with the source as the primary: only the source can say who may ask by others",
        {{"migration", options_.name}});
  }
  auto saved = save_state(journal_, state);
  if (!saved) return saved;
  VMPROXY_FAULT("bind.saved");
  auto kept = keep_binding();
  if (!kept) return kept;
  VMPROXY_FAULT("bind.kept");
  const bool copying = state.copy_generation != 0 && !(state.copied && state.validated);
  mirror_.set_generation(copying ? state.copy_generation : 0);
  const bool clean = journal_.stats().clean_start;
  auto recovered = mirror_.recover(state.primary, state.epoch, clean);
  if (!recovered) return recovered;
  {
    std::lock_guard hold(mutex_);
    state_ = state;
    opened_ = true;
    // What was under way goes on by itself; what waits for a person waits on.
    request_ = *request;
    request_.open = request_.open && state.capture && state.copied && !options_.unwatched;
    if (request_.open) {
      request_waits_ = true;
      report_of_ = request_.number;
      last_report_.phase = "running";
      wanted_ = Wanted::validate;
    }
    if (goes_on(state)) wanted_ = Wanted::start;
  }
  if (request->open && !request_.open) journal_.put_rows({row_of(request_)});
  if (state.paused) backfill_.pause();
  if (state.rate) backfill_.throttle(*state.rate);
  if (state.copied) {
    std::vector<backfill::Job> copied;
    for (const auto& collection : jobs()) copied.push_back({collection->name, collection->plan});
    // For people only.
    if (auto recalled = backfill_.recall(copied, state.copy_generation); !recalled) {
      log::warn("how many records were copied is not known any more",
                {{"migration", options_.name}, {"error", recalled.error().message}});
    }
  }
  if (!mirror_.unresolved_ddl().empty()) {
    collections_.doubt(mirror_.window_of(Side::source));
    mirror_.gaps_act_late(Side::source);
    auto marked = journal_.mark_gap("a change of collections was under way when the process ended");
    if (!marked) return marked;
  }
  publish(state);
  if (state.capture) {
    auto mirroring = mirror_.start();
    if (!mirroring) return mirroring;
  }
  worker_ = std::thread([this] { work(); });
  return {};
}

void Migration::stop_waiting() {
  {
    std::lock_guard hold(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
}

void Migration::close() {
  stop_waiting();
  backfill_.stop();
  validation_.stop();
  mirror_.stop();
  if (worker_.joinable()) worker_.join();
  mirror_.stop();  // the worker may have armed it just then
  pool_.stop();
}

std::string Migration::not_ready_reason() {
  bool captures = false;
  {
    std::lock_guard hold(mutex_);
    if (!opened_) return "migration '" + options_.name + "' is still reading its journal";
    captures = state_.capture;
  }
  if (captures && options_.proxy.refuse_on_capture_failure) {
    if (const auto failure = journal_.failure()) {
      return "migration '" + options_.name +
             "' refuses writes (journal.capture_failure: refuse): the journal cannot be written: " +
             failure->message;
    }
  }
  return "";
}

State Migration::state() const {
  std::lock_guard hold(mutex_);
  return state_;
}

void Migration::reads_to_source_first() {
  if (source_.capabilities().read_after_write) publish_anew(0);
}

void Migration::publish_anew(double reads_percent) {
  State now;
  {
    std::lock_guard hold(mutex_);
    ++state_.routing_generation;
    now = state_;
  }
  now.reads_percent = reads_percent;
  publish(now);
}

proxy::Routing Migration::routing_of(const State& state) {
  proxy::Routing routing;
  routing.generation = state.routing_generation;
  routing.epoch = state.epoch;
  routing.primary = state.primary;
  routing.capture = state.capture;
  routing.reads_percent = state.reads_percent;
  routing.salt = state.salt;
  routing.finalized = state.phase == Phase::finalized;
  return routing;
}

void Migration::publish(const State& state) {
  publish(std::make_shared<const proxy::Routing>(routing_of(state)));
}

void Migration::publish(std::shared_ptr<const proxy::Routing> routing) noexcept {
  collections_.follow(routing->primary);  // before the first change of collections on the new primary
  routing_.publish(std::move(routing));
}

// Once it is durable nothing can fail any more: a state that is on the disk and not in effect would be worse than either.
Result<void> Migration::move(State next, const Actor& actor, const std::string& action) {
  ++next.routing_generation;
  auto routing = std::make_shared<const proxy::Routing>(routing_of(next));
  const auto fault = VMPROXY_FAULT_HIT("state.saving");
  auto saved = fault.fails ? fault.disk_error() : save_state(journal_, next);
  if (!saved) {
    note(actor, action, "failed: " + saved.error().message);
    return saved.error().within("the new state could not be made durable, nothing changed");
  }
  VMPROXY_FAULT("state.saved");
  const Phase phase = next.phase;
  {
    std::lock_guard hold(mutex_);
    std::swap(state_, next);
  }
  publish(std::move(routing));
  VMPROXY_FAULT("state.published");
  changed_.notify_all();
  note(actor, action, "ok, now ", name_of(phase));
  return {};
}

void Migration::note(const Actor& actor, const std::string& action, std::string_view result,
                     std::string_view more) noexcept {
  try {
    audit_.note(actor, action, std::string(result) + std::string(more));
  } catch (const std::exception& broken) {
    try {
      log::error("what was done could not be noted for the audit",
                 {{"migration", options_.name}, {"action", action}, {"error", broken.what()}});
    } catch (const std::exception&) {  // nor said: what was done holds all the same
    }
  }
}

Status Migration::status() {
  const State state = this->state();
  Status s;
  s.name = options_.name;
  s.state = name_of(state.phase);
  s.primary = state.primary == Side::source ? "source" : "target";
  s.generation = state.routing_generation;
  s.reads_percent = state.primary == Side::target ? routing_.get()->reads_percent : state.reads_percent;
  s.source = options_.source_label;
  s.target = options_.target_label;
  const auto numbers = mirror_.numbers();
  s.lag_changes = numbers.lag_changes;
  s.lag_seconds = numbers.lag_seconds;
  if (const auto& rates = numbers.rates) s.lag_rates = {rates->written, rates->applied, rates->seconds_left};
  s.dirty = numbers.dirty;
  s.suspect = numbers.suspects;
  s.quarantined = numbers.quarantined;
  s.at_risk = mirror_.quarantine().at_risk_count();
  if (auto gaps = journal_.gaps()) s.gaps = gaps->size();
  s.unknown_requests = unknown_requests_;
  const auto progress = backfill_.progress();
  s.backfill.phase = state.copied ? "done" : progress.phase;
  s.backfill.reason = progress.reason;
  s.backfill.records = progress.records;
  s.backfill.total = progress.total;
  s.backfill.rate = progress.rate;
  s.backfill.eta_seconds = progress.eta_seconds;
  const auto report = validation_.progress();
  std::string problem;
  {
    std::lock_guard hold(mutex_);
    const auto& shown = report.phase == "running" ? report : last_report_;
    s.validation.phase = shown.phase.empty() ? "none" : shown.phase;
    s.validation.reason = shown.reason;
    s.validation.compared = shown.compared;
    s.validation.different = shown.different;
    s.validation.missing = shown.missing;
    s.validation.extra = shown.extra;
    s.validation.unsettled = shown.unsettled;
    s.validation.request = report_of_;
    s.last_pause_seconds = last_pause_seconds_;
    problem = problem_;
    s.work.problem = problem_;
    if (!problem_.empty()) s.work.code = vmproxy::name_of(problem_code_);
    s.work.retrying = problem_retried_;
  }
  if (state.validated && !state.validating_full && s.validation.phase == "none") s.validation.phase = "clean";
  if (!problem.empty() && s.backfill.reason.empty()) s.backfill.reason = problem;
  s.lost_fields = losses_of(collections_, 100);
  for (const auto& left : collections_.left_behind()) {
    if (s.left_behind.size() == 100) break;
    s.left_behind.push_back(left.target);
  }
  s.reads.to_target = read_counts_.target_reads();
  s.reads.to_source = read_counts_.source_reads();
  for (const auto& [reason, count] : read_counts_.returned_by_reason())
    s.reads.returned.emplace_back(reason, count);
  s.mirror.writes = numbers.writes;
  s.mirror.applied = numbers.applied;
  s.mirror.failed = numbers.failed;
  s.mirror.health = numbers.problem.empty() ? "ok" : numbers.problem;
  s.rolled_back_at = state.rolled_back_at;
  s.rolled_back_reason = state.rolled_back_reason;

  switch (state.phase) {
    case Phase::created:
      s.verdict = "NOT STARTED: requests pass to the source, nothing is copied yet";
      s.next = "vmproxy start";
      return s;
    case Phase::finalized: s.verdict = "DONE: the target is home, the source is no longer written"; return s;
    case Phase::abandoned:
      s.verdict = "ABANDONED: the source stays home, nothing is mirrored";
      s.next = "vmproxy start";
      return s;
    case Phase::promoted:
      s.gates = gates_for_rollback();
      s.verdict = "PROMOTED: the target answers everything, the source follows";
      s.next = "vmproxy finalize";
      s.back = "vmproxy rollback";
      return s;
    default: break;
  }
  s.gates = state.phase >= Phase::ready ? gates_for_promotion() : gates_for_reads();
  std::string closed;
  for (const Gate& gate : s.gates) {
    if (!gate.ok && closed.empty()) closed = gate.name + ": " + gate.value + " (" + gate.clear_with + ")";
  }
  s.back = state.reads_percent > 0 ? "vmproxy rollback" : "vmproxy abandon";
  if (state.phase < Phase::ready) {
    s.verdict = "NOT READY: " +
                (problem.empty() ? std::string(name_of(state.phase)) + (closed.empty() ? "" : ", " + closed)
                                 : problem);
    s.next = "vmproxy start";
  } else if (!closed.empty()) {
    s.verdict = "NOT READY: " + closed;
    s.next = "vmproxy status";
  } else {
    s.verdict = "READY TO SWITCH";
    s.next = state.reads_percent >= 100
                 ? "vmproxy promote"
                 : "vmproxy cutover --percent " + std::string(state.reads_percent < 10   ? "10"
                                                              : state.reads_percent < 50 ? "50"
                                                                                         : "100");
  }
  return s;
}

}  // namespace vmproxy::cutover
