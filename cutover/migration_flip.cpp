// The change of the primary (correctness.md 6): promotion, and with roles swapped the rollback after it. The names of
// its steps stand at each. Until COMMIT every failure leaves the old primary in place and lets the waiting writes run there.
#include <algorithm>
#include <future>
#include <optional>
#include <utility>

#include "base/beside.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/seconds.h"
#include "cutover/flip_guards.h"
#include "cutover/migration.h"
#include "cutover/pacer.h"
#include "cutover/refusals.h"
#include "cutover/step_times.h"
#include "journal/rows.h"

namespace vmproxy::cutover {

using journal::Side;

namespace {

constexpr Duration pace_gentle = std::chrono::milliseconds(250);
constexpr Duration patience = std::chrono::seconds(15);
constexpr Duration lag_short =
    std::chrono::milliseconds(100);  // a replica that is this little behind is soon level
constexpr Duration lag_medium = std::chrono::milliseconds(500);  // a rollback does not wait for better
constexpr Duration dead_settles_in =
    std::chrono::seconds(10);  // behind the last deadline: clients are told, what is left goes to the source
constexpr uint64_t pace_backlog_max = 2000;  // keys to compare that are worth slowing writes for
constexpr uint64_t remainder_max =
    300;  // keys left to compare in the fence: one read of each side, also with those written until it closes
constexpr double remainder_grows = 4;  // so many times, as the patience ends
constexpr int repairs_max = 3;
constexpr uint64_t urgent_keys_max = 100;  // keys compared in the fence of a rollback
constexpr size_t windows_max = 10'000;     // keys of open windows that are read again before the fence
constexpr size_t windows_in_fence_max = 300;
constexpr Duration readers_leave_in = std::chrono::milliseconds(250);
constexpr Duration still_there_timeout = std::chrono::seconds(10);  // for all collections
constexpr Duration still_there_patience = std::chrono::seconds(2);  // with a database that stumbles
constexpr size_t asked_at_once = 16;

}  // namespace

// Outside the fence: everything that can be paid while writes go on is paid, so that the fence is short.
Result<void> Migration::pre_drain(bool urgent) {
  auto reread = mirror_.reread_suspects();
  if (!reread) return reread.error().within("nothing changed");
  mirror_.reread_windows(windows_max);
  const TimePoint began = clock_.now();
  const Deadline deadline = began + options_.pre_drain_max;
  const uint64_t first = mirror_.numbers().lag_changes;
  Pacer pacer(gate_, clock_, {pace_gentle, options_.fence_max / 2, patience}, first);
  int repairs = 0;
  // A replica can never be nearer than reads of the primary let it.
  const bool reads_wait =
      (state().primary == Side::source ? source_ : target_).capabilities().read_wait > Duration::zero();
  while (true) {
    if (!urgent && give_way_) return gives_way().within("promote ended, nothing changed");
    const auto numbers = mirror_.numbers();
    // A short pause is worth waiting for; the longer the replica keeps us waiting, the longer a pause is better than none.
    const double waited = std::min(1.0, seconds_of(clock_.now() - began) / seconds_of(patience));
    const double lag_last = seconds_of(options_.fence_max) / 2;
    const double lag_first = std::min(lag_last, seconds_of(urgent || reads_wait ? lag_medium : lag_short));
    const double lag_now = lag_first + waited * (lag_last - lag_first);
    const auto level = [&] { return mirror_.numbers().lag_seconds < lag_now && mirror_.only_windows_owed(); };
    if (level() && urgent) return {};
    if (level()) {
      auto delta = compare_written(UINT64_MAX, deadline);
      if (!delta && (!delta.error().retryable() || clock_.now() >= deadline)) {
        return delta.error().within("comparing what was written lately");
      }
      // A database may stumble over a read among writes; it is asked again.
      if (delta && delta->different > 0 && ++repairs > repairs_max) {
        return Error(Code::precondition,
                     std::to_string(delta->different) +
                         " records differ again and again although they were repaired (" + delta->example +
                         "). Nothing changed. Something else writes to one of the databases?");
      }
      const auto remainder = static_cast<uint64_t>(remainder_max * (1 + waited * (remainder_grows - 1)));
      if (delta && delta->different == 0 && mirror_.written().count() <= remainder && level()) return {};
    }
    pacer.look(numbers.lag_changes + std::min<uint64_t>(mirror_.written().count(), pace_backlog_max));
    if (clock_.now() >= deadline) {
      return Error(Code::timeout, "the replica does not catch up: " + std::to_string(first) +
                                      " changes at first, " + std::to_string(numbers.lag_changes) + " now" +
                                      (numbers.problem.empty() ? "" : "; " + numbers.problem) + "; " +
                                      std::to_string(mirror_.written().count()) +
                                      " written keys not yet compared. Nothing changed.");
    }
    if (!waiting(std::chrono::milliseconds(20))) return Error(Code::cancelled, "the proxy is stopping");
  }
}

// The old primary is dead: only what the journal holds can be carried over, and it is on its way already. READs of it that
// hang, and attempts that may still land on the new primary, are waited for here, where nobody else waits. Writes go on
// meanwhile: what must be read by the end of it may be more than the operator was told of.
Result<void> Migration::pre_drain_without_primary(bool give_up) {
  const TimePoint began = clock_.now();
  const Duration landing = source_.capabilities().max_zombie;
  std::optional<TimePoint> images_since;  // what lands late may make one of what was on the source
  while (const auto unsettled = mirror_.write_journaled()) {
    const TimePoint now = clock_.now();
    if (mirror_.images_waiting() == 0) {
      images_since.reset();
    } else if (!images_since) {
      images_since = now;
    }
    if (now >= images_since.value_or(began + landing) + options_.pre_drain_max)
      return Error(unsettled->code, unsettled->message + ". Nothing changed.");
    if (!waiting(std::chrono::milliseconds(20))) return Error(Code::cancelled, "the proxy is stopping");
  }
  const auto unread = mirror_.unread();
  if (unread.count > 0 && !give_up)
    return must_be_read(unread).within("rollback refused, nothing changed: the target does not answer");
  return {};
}

// H16: a COMMIT that failed may be on the disk all the same, and a restart would find the new primary while the
// application's writes went to the old one. So the abort must be durable before the gate opens; only a journal that stays
// broken for another fence_max ends the wait, and then nothing later can become durable before the abort does.
void Migration::keep_aborted(const State& aborted) noexcept {
  // What is thrown here (no memory) is waited out as a failing disk is; but the gate stays closed until the journal has taken it.
  const auto tried = [](const auto& what) {
    try {
      return what();
    } catch (const std::exception&) {
      return false;
    }
  };
  const Deadline deadline = clock_.in(options_.fence_max);
  while (true) {
    const bool saved = tried([&] {
      if (journal_.failure()) (void)journal_.reopen();
      return save_state(journal_, aborted).has_value();
    });
    if (saved) return;
    if (clock_.now() >= deadline || !waiting(std::chrono::milliseconds(20))) break;
  }
  const auto put = [&] {
    put_state(journal_, aborted);
    return true;
  };
  while (!tried(put) && waiting(std::chrono::milliseconds(20))) {
  }
  (void)tried([&] {
    log::error(
        "the abort of a change of the primary is not durable yet: the journal cannot be written. Do not kill the proxy before "
        "`vmproxy status` shows the journal as writable",
        {{"migration", options_.name}});
    return true;
  });
}

// The new primary must still hold its collections. One that came back empty has no lag, and nothing that was written lately
// differs there: only asking tells. What it has lost is a gap now.
Result<void> Migration::still_there(Side to) {
  const Deadline deadline = clock_.in(still_there_timeout), patient_until = clock_.in(still_there_patience);
  const auto all = jobs();
  Result<void> done;
  for (size_t first = 0; done && first < all.size(); first += asked_at_once) {
    if (to == Side::target && give_way_) return gives_way().within("promote ended, nothing changed");
    std::vector<std::pair<std::string, std::future<Result<void>>>> asked;
    for (size_t i = first; i < std::min(all.size(), first + asked_at_once); ++i) {
      asked.emplace_back(all[i]->key,
                         beside([this, to, collection = all[i], deadline, patient_until]() -> Result<void> {
                           while (true) {
                             auto there = collections_.still_there(to, *collection, deadline);
                             if (there || !there.error().retryable() || clock_.now() >= patient_until)
                               return there;
                             if (!waiting(std::chrono::milliseconds(50))) return there;
                           }
                         }));
    }
    for (auto& [key, answer] : asked) {  // each is waited for
      auto there = answer.get();
      if (there) continue;
      if (to == Side::target || there.error().retryable()) {
        done = there.error().within("nothing changed");
      } else {
        // What was made after the promotion and cannot be made on the source is no reason to stay where trouble is.
        log::warn("a collection could not be made on the source before the rollback",
                  {{"collection", key}, {"error", there.error().message}});
      }
    }
  }
  return done;
}

// Asked before the preparation, and with the gate closed: a gap, a refused record, or a change of collections that came after
// the gates were asked is nothing the comparison could find. `given_up`: so many are in quarantine by the operator's choice.
Result<void> Migration::still_whole(Side to, const Actor& actor, size_t given_up) {
  if (journal_.has_gaps() && !forced(actor, "gaps")) {
    return Error(
        Code::precondition,
        "a capture gap was opened meanwhile: `vmproxy status` names it, `vmproxy validate --full --repair` closes it, "
        "--force gaps goes on in spite of it");
  }
  const uint64_t refused = mirror_.quarantine().count();
  if (refused > given_up && !forced(actor, "quarantine")) {
    return Error(
        Code::precondition,
        std::to_string(refused - given_up) + " records could not be brought to the " +
            (to == Side::target ? "target" : "source") +
            " meanwhile, which lacks them: `vmproxy quarantine list` names them and the reasons; once those are "
            "gone, `vmproxy quarantine retry` brings them over (--force quarantine goes on without them)");
  }
  if (to == Side::source && !forced(actor, "ddl")) {
    bool changed = false;
    auto looked =
        journal_.scan_rows(journal::rows::state, "ddl/", "", [&](std::string_view, std::string_view) {
          changed = true;
          return false;
        });
    if (!looked) return looked;
    if (changed)
      return Error(Code::precondition,
                   "collections were changed meanwhile, or before: `vmproxy rollback --force ddl` goes on");
  }
  return {};
}

// What hangs at a dead primary ends in an error, by its own deadline and not before.
Duration Migration::fence_max(bool old_primary_dead) const {
  if (!old_primary_dead) return options_.fence_max;
  return std::max(options_.fence_max, options_.proxy.request_max + dead_settles_in);
}

// A write that is still under way at the deadline aborts the flip: withdrawing it would be the other policy.
Result<void> Migration::drain(bool old_primary_dead, Deadline deadline) {
  while (!gate_.wait_drained(std::min(deadline, clock_.in(std::chrono::seconds(1))))) {
    if (!waiting(Duration::zero())) return Error(Code::cancelled, "the proxy is stopping");
    if (clock_.now() < deadline) continue;
    const auto waited =
        std::chrono::duration_cast<std::chrono::milliseconds>(fence_max(old_primary_dead)).count();
    return Error(
        Code::timeout,
        std::to_string(gate_.inside()) + " writes were still under way after " + std::to_string(waited) +
            " ms" +
            (old_primary_dead ? ", at a target that does not answer. Their clients may have set longer "
                                "deadlines of their own: try again when those have passed"
                              : ""));
  }
  return {};
}

Result<void> Migration::in_fence(Side to, const Actor& actor, bool old_primary_dead, Deadline deadline,
                                 Fence& readers, StepTimes& steps, bool& lanes_stopped) {
  const bool urgent = to == Side::source;
  // DRAIN.
  Result<void> done = drain(old_primary_dead, deadline);
  steps.ended("drain");
  VMPROXY_FAULT("flip.drained");
  // POSITION, CATCHUP: the lanes are stopped afterwards, nothing is in flight on the follower (H58).
  // What the gates asked about may have happened since.
  if (done) done = still_whole(to, actor, 0);
  size_t given_up = 0;
  // DELTA begins beside it: the old primary does not change any more, so it is read while the lanes still catch up. Where
  // such a read has to wait (Capabilities::read_wait), the two waits are one.
  const uint64_t keys_max = urgent ? urgent_keys_max : UINT64_MAX;
  std::future<Result<Delta>> compared;
  std::promise<Result<void>> caught_up;  // after it: whatever happens, it is told
  if (done && !old_primary_dead) {
    compared = beside([this, keys_max, deadline, ready = caught_up.get_future().share()] {
      return compare_written(keys_max, deadline, [&ready] { return ready.get(); });
    });
  }
  if (done && old_primary_dead) {
    auto caught = mirror_.catch_up_without_primary(
        "only the former primary had this; it did not answer when the primary was changed",
        forced(actor, "unread"), deadline);
    if (!caught) {
      done = caught.error();
    } else if (caught->unread.count > 0) {
      done = must_be_read(caught->unread).within("the target does not answer");
    } else {
      given_up = caught->given_up;
    }
  } else if (done) {
    // What such a write has done by now, readers may have seen. What it does from now on nobody is shown: then it would be gone
    // again once the new primary answers. A read that takes long is not waited for.
    if (mirror_.any_window()) {
      readers.close();
      (void)read_gate_.wait_drained(std::min(deadline, clock_.in(readers_leave_in)));
    }
    mirror_.reread_windows(windows_in_fence_max);
    done = mirror_.catch_up(deadline);
  }
  lanes_stopped = static_cast<bool>(done);
  steps.ended("catch-up");
  VMPROXY_FAULT("flip.caught_up");
  caught_up.set_value(done);
  if (compared.valid()) {
    auto delta = compared.get();
    if (!done) {
      // said below
    } else if (!delta) {
      done = delta.error().within("comparing what was written last");
    } else if (delta->different > 0) {
      done = Error(Code::precondition, std::to_string(delta->different) + " records written last differ (" +
                                           delta->example + "); they are repaired, try again");
    }
  }
  // What came while the lanes caught up: they may have found what is a gap, and a record that the new primary refused has left
  // its lane and is nowhere there.
  if (done) done = still_whole(to, actor, given_up);
  steps.ended("compare");
  if (VMPROXY_FAULT_HIT("flip.compared").fails && done)
    done = Error(Code::precondition, "records written last differ; try again");
  if (done && !urgent && give_way_) done = gives_way();
  return done;
}

Result<void> Migration::flip(Side to, Phase phase_after, const Actor& actor, const std::string& action,
                             bool old_primary_dead) {
  std::lock_guard comparing(comparing_);
  const bool urgent = to == Side::source;
  StepTimes steps(clock_);
  const HeldReads held(mirror_, old_primary_dead);
  // By the names of today: afterwards a write of the old one would make the target an empty collection beside the renamed one.
  if (to == Side::source && !old_primary_dead)
    renames_.settle("", *routing_.get(), clock_.in(std::chrono::seconds(2)));
  auto drained = still_there(to);
  if (drained) drained = still_whole(to, actor, 0);
  if (drained)
    drained = old_primary_dead ? pre_drain_without_primary(forced(actor, "unread")) : pre_drain(urgent);
  if (!drained) {
    note(actor, action, "refused: ", drained.error().message);
    return drained;
  }
  steps.ended("pre-drain");
  // PREPARE
  State prepared = state();
  State aborted = prepared;  // made now: when it is needed nothing may fail
  prepared.flip_intended = true;
  prepared.flip_to = to;
  auto intended = save_state(journal_, prepared);
  if (!intended) return intended.error().within("nothing changed");
  VMPROXY_FAULT("flip.prepared");
  {
    std::lock_guard hold(mutex_);
    state_ = prepared;
  }
  steps.ended("prepare");
  // FENCE
  const TimePoint closed_at = clock_.now();
  const Deadline deadline = closed_at + fence_max(old_primary_dead);
  Fence fence(gate_), readers(read_gate_);
  fence.close();
  VMPROXY_FAULT("flip.fenced");
  StoppedLanes lanes(mirror_);  // goes before the fence does
  Result<void> done;
  try {
    done = in_fence(to, actor, old_primary_dead, deadline, readers, steps, lanes.stopped);
    if (done) {
      // COMMIT
      State committed = prepared;
      committed.flip_intended = false;
      committed.primary = to;
      ++committed.epoch;
      committed.phase = phase_after;
      committed.reads_percent = to == Side::target ? 100 : 0;
      // Nor does what an unfinished pass had compared say anything of a target that comes back from the dead.
      if (old_primary_dead) committed.validated = committed.validating_full = false;
      if (to == Side::source) {
        committed.rolled_back_at = rfc3339(clock_.wall());
        committed.rolled_back_reason = actor.reason;
      }
      done = move(committed, actor, action);
    }
  } catch (const std::exception& broken) {
    // Nothing is thrown once it is committed (move() says so), so the old primary stays.
    done = Error(Code::internal, std::string("it failed on our side: ") + broken.what());
    lanes.stopped = true;  // or not: then they go on as they do
  }
  if (done) {
    VMPROXY_FAULT("flip.committed");
    mirror_.set_primary(to);
    VMPROXY_FAULT("flip.primary");
  } else {
    VMPROXY_FAULT("flip.aborting");
    keep_aborted(aborted);
    VMPROXY_FAULT("flip.aborted");
    {
      std::lock_guard hold(mutex_);
      std::swap(state_, aborted);
    }
    note(actor, action, "aborted: ", done.error().message);
  }
  steps.ended(done ? "commit" : "abort");
  // REVERSE before OPEN.
  lanes.resume();
  VMPROXY_FAULT("flip.lanes");
  fence.end();
  readers.end();
  steps.ended("open");
  const double pause = std::chrono::duration<double>(clock_.now() - closed_at).count();
  {
    std::lock_guard hold(mutex_);
    last_pause_seconds_ = pause;
  }
  metrics_
      .histogram("promotion_pause_seconds", "How long writes waited in the fence of a promotion or rollback")
      .observe(pause);
  if (!done) return done.error().within(action + " aborted, nothing changed");
  VMPROXY_FAULT("flip.opened");
  auto carried = mirror_.carry_suspects();
  VMPROXY_FAULT("flip.carried");
  if (!carried)
    log::warn("suspects stay as they are until the next validation",
              {{"migration", options_.name}, {"error", carried.error().message}});
  log::info(
      "primary changed",
      {{"migration", options_.name}, {"action", action}, {"pause_seconds", pause}, {"steps", steps.text()}});
  return {};
}

}  // namespace vmproxy::cutover
