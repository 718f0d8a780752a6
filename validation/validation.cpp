#include "validation/validation.h"

#include <algorithm>

#include "validation/pass.h"

namespace vmproxy::validation {
namespace {

// Called with the state's mutex held.
Report report_of(const PassState& state) {
  Report report;
  report.phase = state.phase;
  report.reason = state.reason;
  if (state.running && !state.waiting.empty()) {
    const size_t others = state.waiting.size() - 1;
    report.reason =
        state.waiting.begin()->second + (others == 0 ? "" : " (and " + std::to_string(others) + " more)");
  }
  report.compared = state.counts.compared;
  report.looked_up = state.counts.looked_up;
  report.total = std::max(state.total, report.compared + report.looked_up);
  report.different = state.counts.different;
  report.missing = state.counts.missing;
  report.extra = state.counts.extra;
  report.repaired = state.counts.repaired;
  report.unsettled = state.counts.unsettled;
  return report;
}

}  // namespace

Validation::Validation(journal::Journal& journal, protocols::Driver& source, protocols::Driver& target,
                       journal::Sink& sink, Clock& clock, Random& random, Metrics& metrics,
                       const Metrics::Labels& labels)
    : parts_(
          new Parts{journal, source, target, sink, clock, random,
                    metrics.gauge("validation_different",
                                  "Records that differed, were missing or extra in the last validation pass",
                                  labels)}) {}

Validation::~Validation() {
  stop();
}

Result<Report> Validation::run(std::vector<Job> jobs, journal::Side primary, Options options,
                               std::string pass_id) {
  auto& state = parts_->state;
  {
    std::lock_guard hold(state.mutex);
    if (state.running) return Error(Code::precondition, "a validation is under way already");
    if (state.stopping) {
      state.stopping = false;
      return Error(Code::cancelled, "the validation was stopped before it began");
    }
    state.running = true;
    state.phase = "running";
    state.reason.clear();
    state.waiting.clear();
    state.counts = {};
    state.total = 0;
  }
  auto done = Pass(*parts_, std::move(jobs), primary, std::move(options), std::move(pass_id)).execute();
  std::lock_guard hold(state.mutex);
  state.running = state.stopping = false;
  state.waiting.clear();
  if (!done) {
    state.phase = done.error().code == Code::cancelled ? "stopped" : "failed";
    state.reason = done.error().message;
    return done.error();
  }
  state.phase = state.counts.differences() == 0 ? "clean" : "different";
  parts_->different.set(static_cast<double>(state.counts.differences()));
  if (state.counts.unsettled > 0) {
    state.reason =
        std::to_string(state.counts.unsettled) +
        " records were written, or owed to the replica, all the time and could not be compared; each is read "
        "again, and a promotion compares them first";
  }
  return report_of(state);
}

void Validation::stop() {
  {
    std::lock_guard hold(parts_->state.mutex);
    parts_->state.stopping = true;
  }
  parts_->state.changed.notify_all();
}

void Validation::forget_stop() {
  std::lock_guard hold(parts_->state.mutex);
  if (!parts_->state.running) parts_->state.stopping = false;
}

Report Validation::progress() const {
  std::lock_guard hold(parts_->state.mutex);
  return report_of(parts_->state);
}

Result<std::vector<Finding>> Validation::findings(size_t limit) {
  return PassRows(parts_->journal).findings(limit);
}

Result<KeysReport> Validation::compare_keys(const Job& job, const std::vector<model::Key>& keys,
                                            journal::Side primary, Deadline deadline,
                                            const std::function<Result<void>()>& follower_ready) {
  const Comparison comparison(job, parts_->source, parts_->target);
  const auto dirty = [&](const model::Key& key) { return parts_->sink.dirty(job.name, key); };
  KeysReport report;
  report.compared = report.total = keys.size();
  // Twice: what differs in one look may be a write that came between the two reads.
  std::map<model::Key, Suspect> suspects;
  std::vector<model::Key> open = keys;
  // What waits in quarantine differs, and perhaps cannot be read; it has a gate of its own.
  std::erase_if(
      open, [&](const model::Key& key) { return parts_->sink.quarantined(job.name, key) && !dirty(key); });
  for (int round = 0; round < 2 && !open.empty(); ++round) {
    std::map<model::Key, bool> owed;
    const bool still =
        round == 0 && follower_ready;  // what is owed before the follower is ready is of no account
    for (const auto& key : open) owed[key] = !still && dirty(key);
    auto looks = comparison.look(open, primary, deadline, still ? follower_ready : nullptr);
    if (!looks) return looks.error().within("collection '" + model::to_string(job.name) + "'");
    open.clear();
    for (auto& [key, look] : *looks) {
      const auto mismatch = comparison.judge(look, primary);
      auto& suspect = suspects[key];
      const Verdict verdict =
          take_in(suspect, std::move(look), owed[key] || dirty(key), mismatch.has_value());
      if (verdict == Verdict::open && round == 0) {
        open.push_back(key);
      } else if (verdict == Verdict::open) {
        ++report.unsettled;
        report.unsettled_keys.push_back(key);
      } else if (verdict == Verdict::mismatch && !parts_->sink.quarantined(job.name, key)) {
        auto& count = mismatch->kind == Mismatch::Kind::missing ? report.missing
                      : mismatch->kind == Mismatch::Kind::extra ? report.extra
                                                                : report.different;
        ++count;
        report.different_keys.push_back(key);
        if (report.example.empty()) {
          report.example = model::to_string(job.name) + " " + model::to_string(key.id) + " is " +
                           std::string(name_of(mismatch->kind)) +
                           (mismatch->detail.empty() ? "" : ": " + mismatch->detail);
        }
      }
    }
  }
  report.phase = report.differences() == 0 ? "clean" : "different";
  return report;
}

}  // namespace vmproxy::validation
