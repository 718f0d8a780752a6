// Doubt about names: a change of collections ended without anybody knowing how, so what a name stands for is asked again.
#include <algorithm>
#include <charconv>

#include "journal/rows.h"
#include "proxy/collections.h"
#include "proxy/window_max.h"

namespace vmproxy::proxy {
namespace {

constexpr std::string_view doubt_row = "doubt";  // -> milliseconds of its window
constexpr Duration ask_every = std::chrono::seconds(5);

}  // namespace

Result<void> Collections::load_doubt() {
  auto doubted = journal_.row(journal::rows::state, doubt_row);
  if (!doubted) return doubted.error();
  if (!*doubted) return {};
  int64_t ms = 0;
  const char* const end = (*doubted)->data() + (*doubted)->size();
  const auto [read, error] = std::from_chars((*doubted)->data(), end, ms);
  if (error != std::errc() || read != end || ms < 0 || ms > window_max.count())
    return Error(Code::corrupt, "how long names are in doubt cannot be read from the state of the migration");
  doubt(std::chrono::milliseconds(ms));
  return {};
}

void Collections::doubt(Duration window) {
  std::lock_guard hold(mutex_);
  const TimePoint now = clock_.now();
  settles_ = std::max(settles_, now + window);
  ++doubts_;
  ask_again_ = {};
  in_doubt_ = true;
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(settles_ - now).count();
  journal_.put_rows({{std::string(journal::rows::state), std::string(doubt_row), std::to_string(ms)}});
}

bool Collections::should_ask() {
  if (!in_doubt_) return false;
  std::lock_guard hold(mutex_);
  const TimePoint now = clock_.now();
  if (now < ask_again_) return false;
  ask_again_ = now + ask_every;
  return true;
}

std::optional<uint64_t> Collections::settled_doubts() const {
  std::lock_guard hold(mutex_);
  if (clock_.now() < settles_) return std::nullopt;
  return doubts_;
}

void Collections::end_doubts(uint64_t doubts) {
  if (!in_doubt_) return;
  std::lock_guard hold(mutex_);
  if (doubts_ != doubts) return;
  in_doubt_ = false;
  journal_.put_rows({{std::string(journal::rows::state), std::string(doubt_row), std::nullopt}});
}

}  // namespace vmproxy::proxy
