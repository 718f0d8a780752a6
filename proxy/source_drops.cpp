#include "proxy/source_drops.h"

#include <algorithm>
#include <utility>

#include "base/fault.h"
#include "base/log.h"
#include "journal/rows.h"
#include "journal/unknown_format.h"
#include "model/codec.h"
#include "proxy/paused.h"

namespace vmproxy::proxy {
namespace {

constexpr std::string_view expected_rows = "source-drop/";  // + the name -> format, space, name
constexpr uint8_t expected_format = 1;
constexpr Duration look_every = std::chrono::seconds(5);

journal::Row row_of(const std::string& key, const model::CollectionName* name) {
  journal::Row row{std::string(journal::rows::state), std::string(expected_rows) + key, std::nullopt};
  if (name == nullptr) return row;
  model::Writer writer;
  writer.u8(expected_format);
  writer.bytes(name->space);
  writer.bytes(name->name);
  row.value = writer.take();
  return row;
}

// The collection that a claim is about, when a drop of `dropped` is one of it.
std::optional<model::CollectionName> hit(const std::string& key, const model::CollectionName& dropped) {
  if (!dropped.name.empty()) return key == model::to_string(dropped) ? std::optional(dropped) : std::nullopt;
  const std::string inside = dropped.space + "/";
  if (dropped.space.empty() || !key.starts_with(inside)) return std::nullopt;
  return model::CollectionName{dropped.space, key.substr(inside.size())};
}

}  // namespace

SourceDrops::SourceDrops(journal::Journal& journal, Collections& collections, Transfer& transfer,
                         Mirror& mirror, Clock& clock, bool mirrored)
    : journal_(journal),
      collections_(collections),
      transfer_(transfer),
      mirror_(mirror),
      clock_(clock),
      mirrored_(mirrored),
      following_(clock) {}

Result<void> SourceDrops::load() {
  if (!mirrored_) return journal_.erase_rows(journal::rows::state, expected_rows);  // not any more
  std::map<std::string, Expected> found;
  std::optional<Error> broken;
  const TimePoint lands_until = clock_.in(mirror_.window_of(Side::source));
  auto scanned = journal_.scan_rows(
      journal::rows::state, expected_rows, "", [&](std::string_view row, std::string_view value) {
        const std::string key(row.substr(expected_rows.size()));
        model::Reader reader(value);
        const uint8_t format = reader.u8();
        if (format != expected_format) {
          broken =
              journal::unknown_format("the drop of '" + key + "' on the source", format, expected_format);
          return false;
        }
        model::CollectionName name;
        name.space = reader.bytes();
        name.name = reader.bytes();
        if (!reader.done()) {
          broken = Error(Code::corrupt, "the drop of '" + key +
                                            "' on the source cannot be read from the state of the migration");
          return false;
        }
        found.emplace(key, Expected{std::move(name), 0, lands_until});
        return true;
      });
  if (!scanned) return scanned;
  if (broken) return *broken;
  // What the last run may have asked the target for.
  if (!found.empty() || collections_.any_drop_may_land()) (void)lands_on_target();
  std::lock_guard hold(mutex_);
  expected_ = std::move(found);
  count_locked();
  return {};
}

std::optional<SourceDrops::Call> SourceDrops::begin(const model::CollectionName& name) {
  if (!mirrored_) return std::nullopt;
  std::string key = model::to_string(name);
  std::lock_guard hold(mutex_);
  auto& expected = expected_[key];
  expected.name = name;
  ++expected.under_way;
  count_locked();
  journal_.put_rows({row_of(key, &name)});
  return std::optional<Call>(std::in_place, *this, std::move(key));
}

SourceDrops::Call::~Call() {
  if (drops_ == nullptr) return;
  drops_->ended(name_, drops_->clock_.in(drops_->mirror_.window_of(Side::source)));
}

void SourceDrops::Call::settled() {
  std::exchange(drops_, nullptr)->ended(name_, std::nullopt);
}

void SourceDrops::Call::executed() {
  auto* drops = std::exchange(drops_, nullptr);
  drops->ended(name_, drops->clock_.now());
}

void SourceDrops::ended(const std::string& key, std::optional<TimePoint> lands_until) {
  std::lock_guard hold(mutex_);
  const auto at = expected_.find(key);
  if (at == expected_.end()) return;  // forgotten
  --at->second.under_way;
  if (lands_until)
    at->second.lands_until = std::max(*lands_until, at->second.lands_until.value_or(*lands_until));
  if (at->second.under_way == 0 && !at->second.lands_until) {
    journal_.put_rows({row_of(key, nullptr)});
    expected_.erase(at);
  }
  count_locked();
}

void SourceDrops::count_locked() {
  open_ = static_cast<size_t>(
      std::ranges::count_if(expected_, [](const auto& item) { return item.second.lands_until.has_value(); }));
}

bool SourceDrops::should_settle() {
  if (open_ == 0) return false;
  const TimePoint now = clock_.now();
  std::lock_guard hold(mutex_);
  if (now < look_again_) return false;
  look_again_ = now + look_every;
  return true;
}

Result<void> SourceDrops::settle(TimePoint asked, Deadline deadline) {
  if (open_ == 0) return {};
  std::map<std::string, Expected> open;
  {
    std::lock_guard hold(mutex_);
    for (const auto& item : expected_) {
      if (item.second.lands_until) open.insert(item);
    }
  }
  Result<void> first;
  for (const auto& [key, expected] : open) {
    auto followed = follow(expected.name, deadline);
    const bool again = !followed && followed.error().retryable();
    if (again && first) first = std::move(followed);
    if (again || asked < *expected.lands_until) continue;
    if (!followed) {
      log::warn("a drop on the source is not followed: the target refuses it, and keeps the collection",
                {{"collection", key}, {"error", followed.error().message}});
    }
    std::lock_guard hold(mutex_);
    const auto at = expected_.find(key);
    // Another drop of the name may have come and gone meanwhile.
    if (at == expected_.end() || at->second.lands_until != expected.lands_until) continue;
    at->second.lands_until.reset();
    if (at->second.under_way == 0) {
      journal_.put_rows({row_of(key, nullptr)});
      expected_.erase(at);
    }
    count_locked();
  }
  return first;
}

void SourceDrops::may_land(const std::string& key) {
  collections_.drop_may_land(key, lands_on_target());
}

TimePoint SourceDrops::lands_on_target() {
  const TimePoint until = clock_.in(transfer_.driver(Side::target).capabilities().max_zombie);
  std::lock_guard hold(mutex_);
  lands_on_target_until_ = std::max(lands_on_target_until_, until);
  return until;
}

TimePoint SourceDrops::lands_on_target_until() const {
  std::lock_guard hold(mutex_);
  return lands_on_target_until_;
}

void SourceDrops::forget() {
  if (open_ == 0) return;
  std::lock_guard hold(mutex_);
  std::erase_if(expected_, [this](const auto& item) {
    if (item.second.under_way > 0) return false;
    journal_.put_rows({row_of(item.first, nullptr)});
    return true;
  });
  count_locked();
}

Result<void> SourceDrops::follow(const model::CollectionName& name, Deadline deadline) {
  if (!mirrored_) return {};
  std::unique_lock one(following_, deadline);
  if (!one) return Error(Code::cancelled, "another drop takes its time on the target");
  Result<void> first;
  for (const auto& left : collections_.left_behind()) {
    const auto gone = hit(left.key, name);
    if (!gone || !collections_.included(*gone)) continue;
    auto dropped = drop(left, *gone, deadline);
    if (!dropped && first) {
      first =
          dropped.error().within("collection '" + left.key + "' was dropped and the target still holds it");
    }
  }
  return first;
}

Result<void> SourceDrops::drop(const Collections::LeftBehind& left, const model::CollectionName& name,
                               Deadline deadline) {
  const auto target = collections_.target_name(name);
  if (model::to_string(target) != left.target) return {};  // the configuration gives it another name now
  // What a next life of it is owed waits until the former one has gone.
  const Paused paused(mirror_, left.key);
  const auto there = transfer_.driver(Side::source).describe(name, deadline);
  if (!there && there.error().code != Code::not_found) return there.error();
  if (there && *there) return {};  // made again; who made it looks what the target has of it
  mirror_.forget(left.key);
  auto dropped = transfer_.driver(Side::target).drop(target, deadline);
  if (!dropped && dropped.error().code != Code::not_found) {
    if (!dropped.error().surely_not_done()) may_land(left.key);
    return dropped;
  }
  VMPROXY_FAULT("ddl.dropped");
  auto released = collections_.release(left);
  if (!released) return released;
  log::info("a collection that the source has dropped was dropped on the target", {{"collection", left.key}});
  // Its next life may have begun since we asked, and found the former one in its place.
  const auto next = collections_.find(left.key);
  return next ? collections_.create_on_target(*next, deadline) : Result<void>();
}

}  // namespace vmproxy::proxy
