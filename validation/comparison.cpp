#include "validation/comparison.h"

#include <algorithm>
#include <future>

#include "base/beside.h"
#include "base/fault.h"
#include "mapping/equality.h"

namespace vmproxy::validation {
namespace {

// No system that we know today keeps the direction only of what it is given: all give back the vector that
// was put in, up to the rounding that `difference` allows. One that normalises gets a capability that is
// asked here.
constexpr bool directions_only = false;

bool same(const Found& a, const Found& b) {
  if (a.record.has_value() != b.record.has_value() || a.problem != b.problem) return false;
  // Not by bits: a database may round a vector in its own time (seen with one that rebuilds its index).
  return !a.record || !mapping::difference(*a.record, *b.record, directions_only);
}

// A plan of our own, so that what we carry there and back is not counted as loss of the copy.
std::shared_ptr<const mapping::Plan> own_plan(const Job& job, const protocols::Driver& source,
                                              const protocols::Driver& target) {
  auto plan = mapping::Plan::make(job.plan->source(), source.capabilities(), job.plan->target().name,
                                  target.capabilities());
  if (!plan || (*plan)->hash() != job.plan->hash()) return job.plan;
  return std::shared_ptr<const mapping::Plan>(std::move(*plan));
}

}  // namespace

std::string_view name_of(Mismatch::Kind kind) {
  switch (kind) {
    case Mismatch::Kind::missing: return "missing";
    case Mismatch::Kind::extra: return "extra";
    case Mismatch::Kind::different: return "different";
  }
  return "different";
}

Comparison::Comparison(const Job& job, protocols::Driver& source, protocols::Driver& target)
    : job_(job), plan_(own_plan(job, source, target)), source_(source), target_(target) {}

Result<std::map<model::Key, Found>> Comparison::read(Side side, std::span<const model::Key> keys,
                                                     protocols::ReadParts parts, Deadline deadline) const {
  const bool at_source = side == Side::source;
  std::vector<model::Key> there;
  there.reserve(keys.size());
  for (const auto& key : keys) {
    if (at_source) {
      there.push_back(key);
    } else if (auto mapped = plan_->key_to_target(key)) {
      there.push_back(std::move(*mapped));
    }  // else it has no place there, so it is absent
  }
  auto& driver = at_source ? source_ : target_;
  const auto& schema = at_source ? plan_->source() : plan_->target();
  const size_t step = std::max<size_t>(1, driver.capabilities().batch_records_max);
  std::map<model::Key, Found> found;
  for (size_t from = 0; from < there.size(); from += step) {
    const std::span<const model::Key> part(there.data() + from, std::min(step, there.size() - from));
    auto shown = driver.read_each(schema, part, parts, deadline);
    if (VMPROXY_FAULT_HIT("check.read").drops) shown = Error(Code::connection_lost, "the answer was lost");
    if (!shown) return shown.error();
    for (const auto& [index, error] : shown->refused) {
      if (error.retryable()) return error;  // it passes, and is waited for
      const auto key = at_source ? Result<model::Key>(part[index]) : plan_->key_to_source(part[index]);
      if (key) found[*key].problem = error.message;
    }
    for (auto& record : shown->records) {
      if (at_source) {
        auto key = record.key;
        found[std::move(key)].record = std::move(record);
        continue;
      }
      auto key = plan_->key_to_source(record.key);
      if (!key) continue;  // not one that was asked for
      if (!parts.vectors || !parts.content) {
        // A part of a record cannot be brought into another form; that it exists is all that was asked.
        model::Record shell;
        shell.key = *key;
        found[*key].record = std::move(shell);
        continue;
      }
      auto here = plan_->to_source(record);
      if (here) {
        found[*key].record = std::move(*here);
      } else {
        found[*key].problem = here.error().message;
      }
    }
  }
  return found;
}

Result<std::map<model::Key, Look>> Comparison::look(
    std::span<const model::Key> keys, Side primary, Deadline deadline,
    const std::function<Result<void>()>& follower_ready) const {
  const Side follower = primary == Side::source ? Side::target : Side::source;
  using Records = Result<std::map<model::Key, Found>>;
  // It stands still then: where both reads have to wait, the waits are one.
  std::future<Records> read_beside;
  if (follower_ready) {
    read_beside = beside([this, keys, primary, deadline] { return read(primary, keys, {}, deadline); });
    auto ready = follower_ready();
    if (!ready) return ready.error();
  }
  auto followers = read(follower, keys, {}, deadline);
  if (!followers) return followers.error();
  auto primaries = read_beside.valid() ? read_beside.get() : read(primary, keys, {}, deadline);
  if (!primaries) return primaries.error();
  auto& sources = primary == Side::source ? *primaries : *followers;
  auto& targets = primary == Side::source ? *followers : *primaries;
  std::map<model::Key, Look> looks;
  for (const auto& key : keys) {
    Look look;
    if (const auto source = sources.find(key); source != sources.end())
      look.source = std::move(source->second);
    if (const auto target = targets.find(key); target != targets.end())
      look.target = std::move(target->second);
    looks.emplace(key, std::move(look));
  }
  return looks;
}

std::optional<Mismatch> Comparison::judge(const Look& look, Side primary) const {
  const bool source = !look.source.absent(), target = !look.target.absent();
  if (!source && !target) return std::nullopt;
  if (source && target) {
    if (!look.source.problem.empty()) {
      return Mismatch{Mismatch::Kind::different,
                      "the source's record cannot be read: " + look.source.problem};
    }
    if (!look.target.problem.empty()) {
      return Mismatch{Mismatch::Kind::different,
                      "the target's record cannot be read back: " + look.target.problem};
    }
    auto found = difference(*look.source.record, *look.target.record);
    if (!found) return std::nullopt;
    return Mismatch{Mismatch::Kind::different, *found + " (source / target)"};
  }
  const auto kind = source == (primary == Side::source) ? Mismatch::Kind::missing : Mismatch::Kind::extra;
  std::string detail = source ? "on the source only" : "on the target only";
  if (!look.source.problem.empty()) detail += "; it cannot be read there: " + look.source.problem;
  if (source && look.source.record) {
    if (auto there = plan_->to_target(*look.source.record); !there) {
      detail += "; the target cannot hold it: " + there.error().message;
    }
  }
  return Mismatch{kind, std::move(detail)};
}

bool Comparison::unchanged(const Look& before, const Look& now) {
  return same(before.source, now.source) && same(before.target, now.target);
}

// Equal after the documented mapping: what the mapping changes or loses by its notes is no difference.
std::optional<std::string> Comparison::difference(const model::Record& source,
                                                  const model::Record& target) const {
  auto found = mapping::difference(source, target, directions_only);
  if (!found) return found;
  auto there = plan_->to_target(source);
  if (!there) return found;
  auto back = plan_->to_source(*there);
  if (!back) return found;
  return mapping::difference(*back, target, directions_only) ? found : std::nullopt;
}

}  // namespace vmproxy::validation
