#include "proxy/ledger.h"

#include <algorithm>

namespace vmproxy::proxy {
namespace {
constexpr journal::Seq trim_step = 256;  // trimming costs a range deletion: not for each intent
}

void Ledger::open(journal::Seq seq) {
  std::lock_guard hold(mutex_);
  open_.emplace(seq, UINT64_MAX);
}

void Ledger::expect(journal::Seq seq, uint64_t entries) {
  std::lock_guard hold(mutex_);
  const auto at = open_.find(seq);
  if (at == open_.end()) return;
  at->second = entries;
  if (entries == 0) close(seq);
}

void Ledger::done(journal::Seq seq) {
  std::lock_guard hold(mutex_);
  const auto at = open_.find(seq);
  if (at == open_.end()) return;
  if (--at->second == 0) close(seq);
}

void Ledger::close(journal::Seq seq) {
  open_.erase(seq);
  last_closed_ = std::max(last_closed_, seq);
  trim(trim_step);
}

void Ledger::flush() {
  std::lock_guard hold(mutex_);
  trim(1);
}

void Ledger::trim(journal::Seq step) {
  journal::Seq below = open_.empty() ? last_closed_ + 1 : open_.begin()->first;
  if (!held_.empty()) below = std::min(below, held_.begin()->first);
  if (below >= trimmed_ + step) {
    trimmed_ = below;
    journal_.trim_below(below);
  }
}

bool Ledger::gone_below(journal::Seq seq) {
  journal::Seq trimmed = 0;
  {
    std::lock_guard hold(mutex_);
    trim(1);
    if (!open_.empty() && open_.begin()->first < seq) return false;
    if (!held_.empty() && held_.begin()->first < seq) return false;
    trimmed = trimmed_;
  }
  // Not under the lock: this looks at the disk.
  return journal_.stats().trimmed_below >= std::min(trimmed, seq);
}

void Ledger::hold(journal::Seq seq) {
  std::lock_guard hold(mutex_);
  ++held_[seq];
}

void Ledger::release(journal::Seq seq) {
  std::lock_guard hold(mutex_);
  const auto at = held_.find(seq);
  if (at != held_.end() && --at->second == 0) held_.erase(at);
}

uint64_t Ledger::unfinished() const {
  std::lock_guard hold(mutex_);
  return open_.size();
}

}  // namespace vmproxy::proxy
