#include "cutover/turn.h"

#include "cutover/audit.h"

namespace vmproxy::cutover {

void Turn::lock() {
  std::unique_lock hold(mutex_);
  changed_.wait(hold, [this] { return !taken_; });
  taken_ = true;
}

void Turn::unlock() {
  {
    std::lock_guard hold(mutex_);
    taken_ = false;
    lasting_.clear();
  }
  changed_.notify_all();
}

Result<Turn::Held> Turn::ask(const std::string& action, std::string_view waits_for) {
  std::unique_lock hold(mutex_);
  const auto lasts = [&] { return !lasting_.empty() && lasting_ != waits_for; };
  changed_.wait(hold, [&] { return !taken_ || lasts(); });
  if (taken_) {
    return Error(Code::precondition, action + " refused, nothing changed: " + lasting_ +
                                         " is under way since " + rfc3339(since_) +
                                         ". Try again when it has ended" +
                                         (advice_.empty() ? "" : "; " + advice_));
  }
  taken_ = true;
  return Held(*this, std::adopt_lock);
}

void Turn::lasts(std::string action, std::string advice) {
  {
    std::lock_guard hold(mutex_);
    lasting_ = std::move(action);
    advice_ = std::move(advice);
    since_ = clock_.wall();
  }
  changed_.notify_all();
}

}  // namespace vmproxy::cutover
