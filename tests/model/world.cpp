#include "tests/model/world.h"

#include <algorithm>
#include <stdexcept>

#include "base/log.h"
#include "base/rule.h"
#include "journal/rows.h"
#include "proxy/images.h"
#include "tests/model/peek.h"

namespace vmproxy::model_check {

using journal::IntentClass;
using journal::Side;
using model::Outcome;
using proxy::Peek;

namespace {

constexpr int initial = 7;
constexpr int from_before = 5;
constexpr int merged = 8;
constexpr uint64_t generation = 1;
constexpr const char* checkpoint = "the page";
constexpr size_t windows_max = 300;
// What becomes of a drop at the replica: it is done and answered; done; or may be done late.
constexpr int drop_answered = 0, drop_landed = 1, drop_late = 2;

constexpr bool by_filter(char kind) {
  return kind == 'p' || kind == 'P';
}
constexpr bool broad(char kind) {
  return by_filter(kind) || kind == 'x';
}
constexpr bool matches(int value) {
  return value % 2 == 1;
}
constexpr int value_written(char kind, int index) {
  return kind == 'k' ? 2 * index + 1 : index + 1;
}
std::string encoded(int key) {
  return model::encode(key_of(key));
}
void must(const Result<void>& done, const char* what) {
  if (!done) throw std::runtime_error(std::string(what) + ": " + done.error().message);
}

}  // namespace

World::World(const Scenario& scenario)
    : scenario_(scenario),
      lost_left_(scenario.lost),
      crashes_left_(scenario.crashes),
      flips_left_(scenario.flips),
      deaths_left_(scenario.deaths),
      foreign_left_(scenario.foreign),
      settling_(scenario.foreign) {
  if (scenario_.copy) copy_ = Copy::begin;
  source_.attempted = [this](const Attempt& attempt) { return attempted(Side::source, attempt); };
  target_.attempted = [this](const Attempt& attempt) { return attempted(Side::target, attempt); };
  if (scenario_.quick_replica) target_.caps.max_zombie = tick;
  source_.stale_reads = scenario_.stale || !VMPROXY_RULE("read.after-write");
  if (scenario_.stale) source_.caps.read_after_write = false;
  if (scenario_.unbounded) source_.caps.max_exec = std::nullopt;
  clock_.waited = [this](TimePoint deadline) {
    waiting_ = true;
    (void)inside();
    waiting_ = false;
    clock_.advance_to(std::min(deadline, clock_.in(std::chrono::seconds(3))));
  };
  boot(true);
}

World::~World() {
  journal_.cut();
  mirror_.reset();
}

void World::boot(bool first) {
  if (first) source_.there = true;
  collections_ = std::make_unique<proxy::Collections>(
      journal_, source_, target_, clock_, [](const model::CollectionName&) { return true; },
      std::map<std::string, std::string>{});
  must(collections_->load(), "load");
  if (first) {
    must(collections_->refresh(clock_.in(window)), "refresh");
    must(collections_->create_on_target(clock_.in(window)), "create_on_target");
    for (int key = 0; key < scenario_.keys && !scenario_.empty; ++key) {
      source_.set(key, initial);
      if (!scenario_.copy) target_.set(key, initial);
    }
    source_.before = source_.values;
    journal_.sync();
  }
  collections_->follow(primary_);
  proxy::MirrorOptions options;
  options.lanes.lanes = 1;
  options.uncertain_window = window;
  options.lanes.threads = false;
  mirror_ = std::make_unique<proxy::Mirror>(journal_, *collections_, transfer_, &dialect_, clock_, random_,
                                            metrics_, options);
  if (scenario_.copy) mirror_->set_generation(generation);
  must(mirror_->recover(primary_, epoch_, first), "recover");
  collections_->when_reborn([this](const std::string& key) { mirror_->forget(key); });
  if (!mirror_->unresolved_ddl().empty()) {
    gap_ = drop_again_ = true;
    if (primary_ == Side::source) must(collections_->refresh(clock_.in(window)), "refresh");
  }
  if (settling_ && VMPROXY_RULE("settle.window")) settle_ = mirror_->open_settle({collection_name});
  if (dead_) mirror_->hold_reads(true);
  if (collections_->drop_may_land(collection_name)) drop_lands_until_ = clock_.in(target_.caps.max_zombie);
  mirror_->resume_lanes();
}

World::View World::play(std::vector<Step> path, Choose choose) {
  path_ = std::move(path);
  choose_ = std::move(choose);
  at_ = 0;
  try {
    while (true) {
      try {
        while (true) perform(Step(next_step()));
      } catch (Crashed&) {
        crash(path_[at_ - 1]);
      }
    }
  } catch (End&) {
  }
  return std::move(view_);
}

const Step& World::next_step() {
  if (at_ == path_.size()) {
    observe();
    const auto chosen = choose_ ? choose_(view_) : std::nullopt;
    if (!chosen) throw End{};
    path_.push_back(*chosen);
  }
  return path_[at_++];
}

bool World::ends_a_call(const Step& step) {
  return step.act == Do::lands || step.act == Do::lost_landed || step.act == Do::lost_late ||
         step.act == Do::wait_on;
}

Step World::inside() {
  while (true) {
    const Step step = next_step();
    if (ends_a_call(step)) return step;
    perform(step);
  }
}

Result<void> World::attempted(Side to, const Attempt& attempt) {
  on_the_wire_ = attempt;
  on_the_wire_to_ = to;
  on_the_wire_life_ = incarnation();
  const Step step = inside();
  on_the_wire_.reset();
  if (step.act == Do::lands && !VMPROXY_RULE("suspect.kept")) {
    for (const auto& [key, value] : attempt.rows) {  // "it shows the same as before, so it is settled"
      if (side(to).values[static_cast<size_t>(key)] == value)
        Peek::strike_suspect(*mirror_, collection_name, encoded(key));
    }
  }
  if (step.act != Do::lost_late) side(to).land(attempt);
  if (step.act == Do::lands) {
    for (const auto& [key, value] : attempt.rows) {
      if (!VMPROXY_RULE("debt.own-read")) Peek::forget_debts(*mirror_, collection_name, encoded(key));
      if (!VMPROXY_RULE("entry.newer-stays")) Peek::forget_entry(*mirror_, collection_name, encoded(key));
    }
    return {};
  }
  --lost_left_;
  if (step.act == Do::lost_late)
    lost_.push_back({true, 0, 0, attempt, to, clock_.in(side(to).caps.max_zombie)});
  return Error(Code::timeout, "no answer came");
}

uint64_t World::incarnation() const {
  const auto collection = collections_->find(collection_name);
  return collection ? collection->plan->source().incarnation : 0;
}

bool World::covers(char kind, int key) const {
  if (kind == 'j' || kind == 'e') return key == 1;
  if (kind == 'i' || kind == 'k' || kind == 'd' || kind == 'm') return key == 0;
  return key < scenario_.keys;
}

int World::value_after(const Write& write, int index, int key) {
  switch (write.kind) {
    case 'd':
    case 'e': return absent;
    case 'm': return side(write.primary).values[static_cast<size_t>(key)] | merged;
    default: return value_written(write.kind, index);
  }
}

void World::perform(const Step& step) {
  switch (step.act) {
    case Do::begin: begin(static_cast<char>(step.a)); break;
    case Do::send: {
      auto& write = writes_[step.a];
      if (broad(write.kind)) {
        mirror_->journal(write.ticket, {}, [&](Result<journal::Seq> seq) { write.ticket.seq = *seq; });
      }
      send(write);
      break;
    }
    case Do::client_gone: {
      auto& write = writes_[step.a];
      if (VMPROXY_RULE("client.gone")) {
        mirror_->drop(std::move(write.ticket));
        write.phase = Write::Phase::ended;
      } else {
        write.gone = true;
        write.phase = Write::Phase::sent;
      }
      break;
    }
    case Do::execute: execute(step.a, step.b); break;
    case Do::answer: answer(step.a, {step.b, step.c}); break;
    case Do::late: {
      const Lost lost = lost_[step.a];
      lost_.erase(lost_.begin() + step.a);
      execute_late(lost);
      break;
    }
    case Do::dies: lost_.erase(lost_.begin() + step.a); break;
    case Do::time: clock_.advance_to(clock_.in(scenario_.half_windows ? tick : window)); break;
    case Do::chores:
      for (int key = 0; key < scenario_.keys && !VMPROXY_RULE("debt.new-position"); ++key) {
        if (newer_applied(key)) Peek::forget_debts(*mirror_, collection_name, encoded(key));
      }
      Peek::chores(*mirror_);
      break;
    case Do::lane:
      clock_.advance_to(Peek::retry_at(*mirror_));
      (void)Peek::lane_step(*mirror_);
      break;
    case Do::scan:
      page_.clear();
      for (int key = 0; key < scenario_.keys; ++key) {
        const int value = primary().values[static_cast<size_t>(key)];
        if (value != absent) page_.emplace_back(key, value);
      }
      page_life_ = incarnation();
      copy_ = Copy::read;
      break;
    case Do::copy: {
      std::vector<model::Record> rows;
      for (const auto& [key, value] : page_) {
        rows.push_back(record_of(key, value));
        if (!VMPROXY_RULE("copy.supersedes-nothing"))
          Peek::forget_entry(*mirror_, collection_name, encoded(key));
      }
      page_.clear();
      copy_ = Copy::given;
      mirror_->backfill({"", collection_name}, page_life_, std::move(rows),
                        [this](const Result<journal::BackfillDone>& done) {
                          copy_ = done ? Copy::done : Copy::begin;
                          // Behind the debts that stand for rows which were left out.
                          if (done)
                            journal_.put_rows({{std::string(journal::rows::checkpoints), checkpoint, ""}},
                                              nullptr);
                        });
      break;
    }
    case Do::barrier:
      settling_ = false;
      mirror_->close_settle(settle_);
      settle_.clear();
      if (crashes_left_ < scenario_.crashes && VMPROXY_RULE("settle.across-restart"))
        must(mirror_->reread_touched({collection_name}), "reread_touched");
      break;
    case Do::foreign:
      foreign_left_ = false;
      if (step.a == 1) primary().set(0, from_before);
      break;
    case Do::prepare:
    case Do::fence:
    case Do::drain:
    case Do::catch_up:
    case Do::commit:
    case Do::open:
    case Do::abort: change_primary(step); break;
    case Do::again:
      drop_again_ = false;
      replica().drop_all();
      break;
    case Do::dead:
      dead_ = true;
      --deaths_left_;
      primary().answers = false;
      mirror_->hold_reads(true);
      break;
    case Do::force: force(); break;
    case Do::crash: throw Crashed{};
    default: throw std::logic_error("a call of the lane ends where none is");
  }
}

void World::begin(char kind) {
  const auto index = static_cast<int>(writes_.size());
  writes_.emplace_back();
  Write& write = writes_.back();
  write.kind = kind;
  write.primary = VMPROXY_RULE("gate.snapshot") ? primary_ : arrived_;
  write.epoch = VMPROXY_RULE("gate.snapshot") ? epoch_ : arrived_epoch_;
  for (size_t i = 0; i < writes_.size(); ++i) {
    for (size_t key = 0; key < keys_max; ++key) {
      if (writes_[i].acked[key]) write.after[key] |= static_cast<uint8_t>(1u << i);
    }
  }
  for (int key = 0; key < scenario_.keys; ++key) {
    if (covers(kind, key)) last_copy_[static_cast<size_t>(key)].reset();
  }
  proxy::Routing routing;
  routing.primary = write.primary;
  routing.epoch = write.epoch;
  routing.capture = true;
  const model::CollectionName name{"", collection_name};
  write.phase = Write::Phase::held;
  if (by_filter(kind)) {
    write.ticket = mirror_->begin_broad(routing, "records.delete_where", name, IntentClass::predicate);
    std::vector<model::Key> keys;
    for (int key = 0; key < scenario_.keys; ++key) {
      if (matches(primary().values[static_cast<size_t>(key)])) keys.push_back(key_of(key));
    }
    mirror_->add_keys(write.ticket, std::move(keys));
    return;
  }
  if (kind == 'x') {
    write.ticket = mirror_->begin_broad(routing, "collection.drop", name, IntentClass::ddl);
    mirror_->pause(collection_name);
    if (!VMPROXY_RULE("ddl.at-outcome")) mirror_->forget(collection_name);
    return;
  }
  std::vector<model::Key> keys;
  std::vector<journal::Image> images;
  for (int key = 0; key < keys_max; ++key) {
    if (!covers(kind, key)) continue;
    keys.push_back(key_of(key));
    const bool erases = kind == 'd' || kind == 'e';
    images.push_back({key_of(key), erases ? std::nullopt
                                          : std::optional(record_of(
                                                key, kind == 'm' ? merged : value_written(kind, index)))});
    if (!VMPROXY_RULE("touched.at-outcome")) Peek::touch(*mirror_, {encoded(key)}, collection_name);
  }
  write.ticket = mirror_->begin_keyed(routing, "records.put", name, std::move(keys),
                                      kind == 'm' ? IntentClass::read_back : IntentClass::image);
  mirror_->journal(write.ticket, {"POST", "/put", {}, proxy::encode_images(images)},
                   [&](Result<journal::Seq> seq) { write.ticket.seq = *seq; });
  if (!scenario_.gone) send(write);
}

// As Pipeline::capture() lets the first byte go out, or not any more.
void World::send(Write& write) {
  if (write.epoch != epoch_ && VMPROXY_RULE("send.epoch")) {
    mirror_->drop(std::move(write.ticket));
    write.phase = Write::Phase::ended;
    write.rejected = true;
    return;
  }
  write.phase = Write::Phase::sent;
  write.sent_at = clock_.now();
}

TimePoint World::executes_until(Side primary) const {
  return scenario_.unbounded && primary == Side::source ? TimePoint::max() : clock_.in(window);
}

bool World::suspect(int key) const {
  return journal_.now().rows.contains(
      {std::string(journal::rows::suspects), std::string(collection_name) + '\0' + encoded(key)});
}

void World::execute(int index, int key) {
  Write& write = writes_[static_cast<size_t>(index)];
  auto& item = write.item[static_cast<size_t>(key)];
  Database& at = side(write.primary);
  if (write.gone) wrong_ = "C1: a write is executed although its client had gone before the first byte";
  if (write.kind == 'x') {
    write.item = {1, 1};  // dropped, and made again in the same step
    at.drop_all();
    return;
  }
  if (!by_filter(write.kind)) {
    item = 1;
    at.set(key, value_after(write, index, key));
    return;
  }
  const bool match = item == 2 || matches(at.values[static_cast<size_t>(key)]);
  if (match && write.kind == 'P' && item == 0) {
    item = 2;
    return;
  }
  item = 1;
  if (match) at.set(key, absent);
}

void World::execute_late(const Lost& lost) {
  if (lost.replica) {
    side(lost.side).land(lost.attempt);
  } else {
    execute(lost.write, lost.key);
    const auto at = static_cast<size_t>(lost.key);
    if (last_copy_[at] && writes_[static_cast<size_t>(lost.write)].primary != primary_)
      last_copy_[at] = replica().values[at];
    if (writes_[static_cast<size_t>(lost.write)].item[static_cast<size_t>(lost.key)] == 2) {
      lost_.push_back(lost);
    }
  }
}

void World::answer(int index, const std::array<int, keys_max>& outcomes) {
  Write& write = writes_[static_cast<size_t>(index)];
  journal::OutcomeRecord record;
  const bool filter = broad(write.kind);
  const auto outcome = [](int code) { return static_cast<Outcome>(code); };
  std::array<bool, keys_max> late_entry{};
  if (filter) {
    record.whole = outcome(outcomes[0]);
  } else {
    for (int key = 0; key < keys_max; ++key) {
      if (covers(write.kind, key)) record.items.push_back(outcome(outcomes[static_cast<size_t>(key)]));
    }
    record.whole = record.items.front();
    if (record.items.size() == 1) record.items.clear();
    for (const auto item : record.items) {
      if (item != record.whole) record.whole = Outcome::uncertain;
    }
  }
  for (int key = 0; key < keys_max; ++key) {
    if (!covers(write.kind, key)) continue;
    const Outcome what = outcome(outcomes[filter ? 0 : static_cast<size_t>(key)]);
    if (what == Outcome::applied) {
      write.acked[static_cast<size_t>(key)] = true;
      if (write.primary != primary_)
        wrong_ = "I9: a write is acknowledged that was sent to the former primary";
    }
    if (what == Outcome::uncertain && write.item[static_cast<size_t>(key)] != 1)
      lost_.push_back({false, index, key, {}, write.primary, executes_until(write.primary)});
    if (what != Outcome::rejected) {
      if (!VMPROXY_RULE("debt.rows") && !filter) Peek::forget_debts(*mirror_, collection_name, encoded(key));
      for (size_t later = static_cast<size_t>(index) + 1; later < writes_.size(); ++later) {
        if (writes_[later].acked[static_cast<size_t>(key)])
          late_entry[static_cast<size_t>(key)] = !Peek::queued(*mirror_, collection_name, encoded(key));
      }
    } else {
      write.rejected = true;
      if (!VMPROXY_RULE("rejected.keeps-debts")) Peek::forget_debts(*mirror_, collection_name, encoded(key));
    }
  }
  if (write.kind == 'x' && record.whole == Outcome::applied) {
    // As Pipeline::after_ddl does.
    const uint64_t before = incarnation();
    must(collections_->refresh(clock_.in(window)), "refresh");
    if (incarnation() != before) {
      mirror_->forget(collection_name);
      if (!VMPROXY_RULE("touched.by-name"))
        must(journal_.erase_rows(journal::rows::touched, ""), "erase_rows");
      drop_on_replica(outcomes[1]);
    }
  }
  mirror_->finish(std::move(write.ticket), std::move(record));
  for (int key = 0; key < scenario_.keys && !VMPROXY_RULE("window.from-end"); ++key)
    Peek::bring_forward(*mirror_, encoded(key), write.sent_at + window);
  if (write.kind == 'x') mirror_->resume(collection_name);
  write.phase = Write::Phase::ended;
  for (int key = 0; key < keys_max; ++key) {
    if (late_entry[static_cast<size_t>(key)] && !VMPROXY_RULE("position.at-outcome"))
      Peek::forget_entry(*mirror_, collection_name, encoded(key));
  }
}

// The replica follows a drop, as Pipeline::after_ddl does with mirror.ddl: full; or its answer is lost.
void World::drop_on_replica(int how) {
  Attempt drop;
  drop.drop = true;
  if (how == drop_answered) {
    replica().drop_all();  // and made again
    return;
  }
  --lost_left_;
  gap_ = true;
  drop_lands_until_ = clock_.in(replica().caps.max_zombie);
  collections_->drop_may_land(collection_name, drop_lands_until_);
  if (how == drop_landed) {
    replica().land(drop);
  } else {
    lost_.push_back({true, 0, 0, drop, proxy::other(primary_), drop_lands_until_});
  }
}

// The last write of the key ended, and something of one before it is owed.
bool World::newer_applied(int key) const {
  for (size_t i = writes_.size(); i-- > 0;) {
    if (covers(writes_[i].kind, key)) return i > 0 && writes_[i].acked[static_cast<size_t>(key)];
  }
  return false;
}

// The steps of Migration::flip(), by its names.
void World::change_primary(const Step& step) {
  switch (step.act) {
    case Do::prepare:
      must(journal_.commit_rows({{std::string(journal::rows::state), "flip", ""}}), "prepare");
      flip_ = Flip::prepared;
      break;
    case Do::fence:
      flip_ = Flip::fenced;
      arrived_ = primary_;
      arrived_epoch_ = epoch_;
      break;
    case Do::drain:
      flip_ = Flip::drained;
      mirror_->reread_windows(windows_max);
      break;
    case Do::catch_up:
      if (!mirror_->catch_up(clock_.now())) break;
      flip_ = Flip::caught_up;
      if (!VMPROXY_RULE("flip.lanes-stopped")) mirror_->resume_lanes();
      break;
    case Do::commit:
      if (!VMPROXY_RULE("flip.windows-carried")) Peek::forget_windows(*mirror_);
      if (!VMPROXY_RULE("flip.lanes-stopped")) Peek::stop_lanes(*mirror_);
      --flips_left_;
      commit();
      break;
    case Do::open: open(); break;
    default:  // abort
      must(journal_.commit_rows({{std::string(journal::rows::state), "flip", std::nullopt}}), "abort");
      if (flip_ == Flip::caught_up) mirror_->resume_lanes();
      flip_ = Flip::none;
  }
}

// As Migration::flip does with a dead primary, giving up what must be read from it.
void World::force() {
  const auto caught = mirror_->catch_up_without_primary("it is dead", true, clock_.now());
  if (!caught || caught->unread.count > 0) return;
  for (int key = 0; key < scenario_.keys; ++key) {
    const auto at = static_cast<size_t>(key);
    if (mirror_->quarantined({"", collection_name}, key_of(key))) last_copy_[at] = primary().values[at];
  }
  primary().answers = true;
  dead_ = false;
  commit();
}

void World::commit() {
  flip_ = Flip::committed;
  primary_ = proxy::other(primary_);
  ++epoch_;
  must(journal_.commit_rows({{std::string(journal::rows::state), "primary", std::to_string(epoch_)},
                             {std::string(journal::rows::state), "flip", std::nullopt}}),
       "commit");
  collections_->follow(primary_);
  mirror_->set_primary(primary_);
}

void World::open() {
  mirror_->resume_lanes();
  flip_ = Flip::none;
  mirror_->hold_reads(false);
  must(mirror_->carry_suspects(), "carry_suspects");
}

void World::crash(const Step& step) {
  --crashes_left_;
  if (on_the_wire_)
    lost_.push_back(
        {true, 0, 0, *on_the_wire_, on_the_wire_to_, clock_.in(side(on_the_wire_to_).caps.max_zombie)});
  on_the_wire_.reset();
  waiting_ = false;
  for (size_t i = 0; i < writes_.size(); ++i) {
    Write& write = writes_[i];
    for (int key = 0; key < keys_max && write.phase == Write::Phase::sent; ++key) {
      if (covers(write.kind, key) && write.item[static_cast<size_t>(key)] != 1)
        lost_.push_back({false, static_cast<int>(i), key, {}, write.primary, executes_until(write.primary)});
    }
    if (write.phase == Write::Phase::held) write.rejected = true;
    write.phase = Write::Phase::ended;
    write.ticket = {};
  }
  if (!VMPROXY_RULE("flip.commit-durable") && epoch_ > 1) primary_ = proxy::other(primary_);
  if (step.b == 1) Peek::flush(*mirror_);
  const size_t kept = step.b == 1 ? journal_.waiting().size() : step.a;
  journal_.cut();
  mirror_.reset();
  collections_.reset();
  journal_.crash(kept);
  if (copy_ != Copy::none) {
    const auto row = journal_.row(journal::rows::checkpoints, checkpoint);
    copy_ = *row ? Copy::done : Copy::begin;
  }
  page_.clear();
  settle_.clear();
  flip_ = Flip::none;
  boot(false);
}

int World::in_flight() const {
  return static_cast<int>(std::count_if(writes_.begin(), writes_.end(), [](const Write& write) {
    return write.phase == Write::Phase::held || write.phase == Write::Phase::sent;
  }));
}

bool World::drained() const {
  const bool sent = std::any_of(writes_.begin(), writes_.end(),
                                [](const Write& write) { return write.phase == Write::Phase::sent; });
  return in_flight() == 0 || !VMPROXY_RULE("flip.drain") || (!sent && !VMPROXY_RULE("flip.withdrawn"));
}

std::vector<Step> World::possible() const {
  std::vector<Step> next;
  const auto add = [&](Do act, int a = 0, int b = 0, int c = 0) {
    next.push_back({act, static_cast<uint8_t>(a), static_cast<uint8_t>(b), static_cast<uint8_t>(c)});
  };
  const auto add_crashes = [&] {
    if (crashes_left_ == 0 || (writes_.empty() && !scenario_.copy)) return;
    for (size_t kept = 0; kept <= journal_.waiting().size(); ++kept) add(Do::crash, static_cast<int>(kept));
    add(Do::crash, 0, 1);
  };
  if (flip_ ==
      Flip::prepared) {  // nobody looks at that: what else may happen might as well have happened before
    add(Do::fence);
    add_crashes();
    return next;
  }
  const bool calling = on_the_wire_ || waiting_;
  if (on_the_wire_) {
    add(Do::lands);
    if (lost_left_ > 0) {
      add(Do::lost_landed);
      add(Do::lost_late);
    }
  }
  if (waiting_) add(Do::wait_on);
  if (static_cast<int>(writes_.size()) < scenario_.writes && in_flight() < scenario_.at_once &&
      !gate_closed()) {
    for (const char kind : scenario_.kinds) {
      // What the target as primary makes of the others is not the mirror's: they become keyed writes.
      if (!broad(kind) || primary_ == Side::source) add(Do::begin, kind);
    }
  }
  for (size_t i = 0; i < writes_.size(); ++i) {
    const Write& write = writes_[i];
    const int index = static_cast<int>(i);
    if (write.phase == Write::Phase::held) {
      add(Do::send, index);
      if (scenario_.gone) add(Do::client_gone, index);
    }
    if (write.phase != Write::Phase::sent) continue;
    bool all = true, none = true;
    for (int key = 0; key < keys_max; ++key) {
      if (!covers(write.kind, key)) continue;
      const auto item = write.item[static_cast<size_t>(key)];
      if (item != 1 && (key == 0 || write.kind != 'x')) add(Do::execute, index, key);
      all = all && item == 1;
      none = none && item == 0;
    }
    const auto outcomes_of = [&](int key) {
      std::vector<int> outcomes;
      const auto item = write.item[static_cast<size_t>(key)];
      if (!covers(write.kind, key)) return std::vector<int>{0};
      if (item == 1 && !dead_) outcomes.push_back(static_cast<int>(Outcome::applied));
      if (item == 0) outcomes.push_back(static_cast<int>(Outcome::rejected));
      if (!scenario_.certain) outcomes.push_back(static_cast<int>(Outcome::uncertain));
      return outcomes;
    };
    if (broad(write.kind)) {
      if (all) add(Do::answer, index, static_cast<int>(Outcome::applied));
      if (all && write.kind == 'x' && lost_left_ > 0) {
        add(Do::answer, index, static_cast<int>(Outcome::applied), drop_landed);
        add(Do::answer, index, static_cast<int>(Outcome::applied), drop_late);
      }
      if (none) add(Do::answer, index, static_cast<int>(Outcome::rejected));
      if (!scenario_.certain && !scenario_.certain_filters && by_filter(write.kind))
        add(Do::answer, index, static_cast<int>(Outcome::uncertain));
    } else {
      for (const int first : outcomes_of(0)) {
        for (const int second : outcomes_of(1)) add(Do::answer, index, first, second);
      }
    }
  }
  const bool time_matters =
      Peek::time_matters(*mirror_) || clock_.now() < drop_lands_until_ || (scenario_.slow && in_flight() > 0);
  bool may_pass = !on_the_wire_ && time_matters;
  const TimePoint then = clock_.in(scenario_.half_windows ? tick : window);
  for (size_t i = 0; i < lost_.size(); ++i) {
    add(Do::late, static_cast<int>(i));
    add(Do::dies, static_cast<int>(i));
    may_pass = may_pass && lost_[i].until > then;
  }
  if (may_pass) add(Do::time);
  if (Peek::chores_wait(*mirror_)) add(Do::chores);
  if (!calling && Peek::lane_may_step(*mirror_)) add(Do::lane);
  if (copy_ == Copy::begin && (!settling_ || !VMPROXY_RULE("settle.wait"))) add(Do::scan);
  if (copy_ == Copy::read) add(Do::copy);
  if (settling_ && !foreign_left_) add(Do::barrier);
  if (foreign_left_) {
    add(Do::foreign, 0);
    add(Do::foreign, 1);
  }
  switch (flip_) {
    case Flip::none:
      if (flips_left_ > 0 && !settling_ && (copy_ == Copy::none || copy_ == Copy::done) &&
          clock_.now() >= drop_lands_until_)
        add(Do::prepare);
      break;
    case Flip::fenced:
      if (drained()) add(Do::drain);
      break;
    case Flip::drained:
      if (!calling) add(Do::catch_up);
      break;
    case Flip::caught_up: add(Do::commit); break;
    case Flip::committed: add(Do::open); break;
    case Flip::prepared: break;
  }
  if (gate_closed() && flip_ != Flip::committed) add(Do::abort);
  if (drop_again_ && !VMPROXY_RULE("ddl.asked")) add(Do::again);
  if (deaths_left_ > 0 && !writes_.empty()) add(Do::dead);
  if (dead_ && in_flight() == 0 && !calling) add(Do::force);
  add_crashes();
  return next;
}

std::string World::broken_invariant() {
  if (!wrong_.empty()) return wrong_;
  for (int key = 0; key < scenario_.keys; ++key) {
    const auto at = static_cast<size_t>(key);
    const int value = primary().values[at];
    if (last_copy_[at] && replica().values[at] != *last_copy_[at])
      return "C6: the last copy of key " + std::to_string(key) +
             " is overwritten, with what the new primary has";
    if (mirror_->quarantined({"", collection_name}, key_of(key))) continue;
    if (scenario_.flips + scenario_.deaths > 0) {
      // The primary must hold a write that no acknowledged one came after.
      for (size_t later = 0; later < writes_.size(); ++later) {
        if (!writes_[later].acked[at]) continue;
        if (by_filter(writes_[later].kind) && !matches(value)) continue;
        const auto by = static_cast<size_t>(value - 1);
        const bool old = value == initial || (by < writes_.size() && writes_[by].acked[at] &&
                                              (writes_[later].after[at] >> by & 1) != 0);
        if (old)
          return "C2/C6: the primary serves what was there before an acknowledged write of key " +
                 std::to_string(key);
      }
    }
    if (replica().values[at] == value || (gap_ && value == absent)) continue;
    if (suspect(key)) continue;
    if (mirror_->dirty({"", collection_name}, key_of(key))) continue;
    if (scenario_.copy && copy_ != Copy::done) {
      const auto touched = journal_.rows_exist(
          journal::rows::touched, {proxy::touched_key(generation, collection_name, encoded(key))});
      if (!touched->front()) continue;
    }
    if (foreign_left_ || settling_) continue;
    return "I4: the replica has " + std::to_string(replica().values[at]) + " for key " + std::to_string(key) +
           ", the primary " + std::to_string(value) + ", and nothing is owed for it";
  }
  return "";
}

std::string World::unfinished() {
  for (int key = 0; key < scenario_.keys; ++key) {
    const auto at = static_cast<size_t>(key);
    if (mirror_->quarantined({"", collection_name}, key_of(key)) || suspect(key)) continue;
    if (gap_ && primary().values[at] == absent) continue;
    if (replica().values[at] != primary().values[at])
      return "I2/I3: at rest the replica has " + std::to_string(replica().values[at]) + " for key " +
             std::to_string(key) + ", the primary " + std::to_string(primary().values[at]);
  }
  if (dead_) return "stuck: the primary cannot be changed without the dead one";
  if (copy_ != Copy::none && copy_ != Copy::done) return "stuck: the copy does not end";
  if (Peek::owed(*mirror_) > 0) return "stuck: a debt is never paid";
  if (!Peek::lanes_empty(*mirror_)) return "stuck: a lane does not end";
  if (in_flight() > 0) return "stuck: a write does not end";
  return "";
}

Digest World::digest() {
  std::string out;
  const auto number = [&](long long value) { out += std::to_string(value) + ' '; };
  number(primary_ == Side::target);
  number(waiting_ + 2 * foreign_left_ + 4 * settling_ + 8 * gap_ + 16 * drop_again_);
  number(static_cast<int>(flip_) * 2 + target_.there);
  if (!VMPROXY_RULE("gate.snapshot")) number(static_cast<int>(arrived_epoch_));
  number(Peek::ticks_until(drop_lands_until_, clock_.now()));
  number(lost_left_ * 64 + crashes_left_ * 8 + flips_left_);
  if (scenario_.deaths > 0) {
    number(deaths_left_ * 2 + dead_);
    for (const auto& copy : last_copy_) number(copy.value_or(-1));
  }
  number(static_cast<int>(copy_));
  for (const auto& [key, value] : page_) number(key * 100 + value);
  if (!page_.empty()) number(incarnation() == page_life_);
  for (const int value : source_.values) number(value);
  for (const int value : target_.values) number(value);
  number(on_the_wire_ && incarnation() == on_the_wire_life_);
  for (const auto& schema : collections_->catalog()->collections)
    number(schema.native_id == std::to_string(source_.life));
  if (source_.stale_reads) {
    for (const int value : source_.before) number(value);
  }
  std::vector<bool> live(writes_.size());
  for (const Lost& lost : lost_) {
    if (!lost.replica) live[static_cast<size_t>(lost.write)] = true;
  }
  for (size_t i = 0; i < writes_.size(); ++i) {
    const Write& write = writes_[i];
    out += '|';
    if (scenario_.flips + scenario_.deaths > 0) {
      for (size_t key = 0; key < keys_max; ++key) number(write.acked[key] * 64 + write.after[key]);
    }
    if (write.phase == Write::Phase::ended && !live[i]) continue;
    out += write.kind;
    number(static_cast<int>(write.phase) * 2 + static_cast<int>(write.primary));
    number(static_cast<int>(epoch_ - write.epoch));
    if (scenario_.slow) number(std::min<long long>((clock_.now() - write.sent_at + tick / 2) / tick, 3));
    number(write.item[0] * 4 + write.item[1]);
    number(write.gone);
    for (const auto& key : write.ticket.keys) number(number_of(key));
  }
  std::vector<std::string> lost;
  for (const Lost& one : lost_) {
    std::string text = one.replica ? "F" : "W";
    text += std::to_string(one.write) + ',' + std::to_string(one.key) + ',' +
            std::to_string(static_cast<int>(one.side));
    text += ',' + std::to_string(Peek::ticks_until(one.until, clock_.now()));
    for (const auto& [key, value] : one.attempt.rows)
      text += ';' + std::to_string(key) + '=' + std::to_string(value);
    text += one.attempt.insert_only ? '!' : one.attempt.drop ? 'x' : '.';
    lost.push_back(std::move(text));
  }
  std::sort(lost.begin(), lost.end());
  for (const auto& text : lost) out += text;
  if (on_the_wire_) {
    out += '>';
    for (const auto& [key, value] : on_the_wire_->rows) number(key * 100 + value);
    number(on_the_wire_->insert_only);
  }
  Peek::dump(*mirror_, journal_, crashes_left_ > 0, clock_.now(), out);
  // Two hashes of 64 bits: among ten million states two meet with a chance of 1 in 10^24.
  Digest digest{0x9E3779B97F4A7C15ull, 0xC2B2AE3D27D4EB4Full};
  for (const char c : out) {
    const auto byte = static_cast<uint8_t>(c);
    digest.high = (digest.high ^ byte) * 0x100000001B3ull;
    digest.low = (digest.low + byte) * 0xff51afd7ed558ccdull;
    digest.low ^= digest.low >> 31;
  }
  return digest;
}

void World::observe() {
  view_.digest = digest();
  view_.next = possible();
  view_.wrong = broken_invariant();
  view_.unfinished = unfinished();
}

std::string World::text(const Step& step) const {
  static const std::array<const char*, 3> outcomes{"applied", "rejected", "uncertain"};
  const auto number = [](int value) { return std::to_string(value); };
  const std::string key = step.b == 0 ? "a" : "b";
  const auto of = [&](size_t index) {
    const char kind = index < writes_.size() ? writes_[index].kind : '?';
    switch (kind) {
      case 'i':
      case 'k':
      case 'j': return "write " + number(static_cast<int>(index) + 1);
      case 'd':
      case 'e': return "delete " + number(static_cast<int>(index) + 1);
      case 'm': return "merge " + number(static_cast<int>(index) + 1);
      case 'B': return "batch " + number(static_cast<int>(index) + 1);
      case 'x': return "drop " + number(static_cast<int>(index) + 1);
      default: return "delete by filter " + number(static_cast<int>(index) + 1);
    }
  };
  switch (step.act) {
    case Do::begin: {
      std::string what = "a delete by filter";
      if (step.a == 'x') what = "a drop of the collection, made again,";
      if (step.a == 'i' || step.a == 'k' || step.a == 'j') what = "a write";
      if (step.a == 'd' || step.a == 'e') what = "a delete";
      if (step.a == 'm') what = "a merge";
      if (step.a == 'B') what = "a batch of both keys";
      if (step.a == 'j' || step.a == 'e') what += " of key b";
      return what + " begins";
    }
    case Do::send: return of(step.a) + " is sent";
    case Do::client_gone: return "the client of " + of(step.a) + " goes away before the first byte";
    case Do::execute: return "the primary executes " + of(step.a) + " on key " + key;
    case Do::answer:
      if (writes_[step.a].kind == 'x' && step.c != drop_answered)
        return of(step.a) + " ends: applied; the replica " +
               (step.c == drop_landed ? "drops it too, that answer is lost"
                                      : "does not answer, it may drop it late");
      return of(step.a) +
             " ends: " + (covers(writes_[step.a].kind, 0) ? outcomes[step.b] : outcomes[step.c]) +
             (writes_[step.a].kind == 'B' ? std::string(", ") + outcomes[step.c] : "");
    case Do::late:
      return lost_.size() > step.a && lost_[step.a].replica
                 ? "a lost attempt lands on the replica"
                 : "the primary executes " +
                       of(lost_.size() > step.a ? static_cast<size_t>(lost_[step.a].write) : 99) +
                       " after its answer was lost";
    case Do::dies: return "what was lost never lands";
    case Do::time: return "time passes";
    case Do::chores: return "what fell due is queued";
    case Do::lane: return "the lane takes what it has, reads, and sends";
    case Do::lands: return "the replica takes it and answers";
    case Do::lost_landed: return "the replica takes it, the answer is lost";
    case Do::lost_late: return "the answer is lost, it may land late";
    case Do::wait_on: return "the lane has waited";
    case Do::scan: return "the copy reads its page";
    case Do::copy: return "the copy gives it to the lanes";
    case Do::barrier: return "the settle time ends";
    case Do::foreign:
      return step.a == 1 ? "a write from before the barrier is executed"
                         : "the write from before the barrier dies";
    case Do::prepare: return "PREPARE: a change of the primary is intended";
    case Do::fence: return "FENCE: the gate closes";
    case Do::drain: return "DRAIN: no write is in flight";
    case Do::catch_up: return "CATCHUP: the replica has all, the lanes are stopped";
    case Do::commit: return "COMMIT: the primary is another";
    case Do::open: return "OPEN: the lanes go on, the gate opens";
    case Do::abort: return "ABORT: the primary stays, the gate opens";
    case Do::again: return "the drop is done again on the replica";
    case Do::dead: return "the primary no longer answers";
    case Do::force: return "the primary is changed without it; what only it has is given up";
    case Do::crash:
      return step.b == 1 ? "kill -9, all of the journal kept and trimmed; recovery"
                         : "kill -9, " + number(step.a) + " waiting rows of the journal kept; recovery";
  }
  return "?";
}

}  // namespace vmproxy::model_check
