#include "proxy/write_trials.h"

#include <vector>

#include "base/log.h"
#include "journal/rows.h"

namespace vmproxy::proxy {
namespace {

constexpr std::string_view write_rows = "writes/";  // + code -> empty
constexpr int under_way_max = 4;
constexpr size_t codes_max = 200;  // they are stable; the bound only keeps a bug from growing the map

journal::Row row_of(const std::string& code, bool there) {
  return {std::string(journal::rows::state), std::string(write_rows) + code,
          there ? std::optional<std::string>("") : std::nullopt};
}

}  // namespace

Result<void> WriteTrials::restore(journal::Journal& journal) {
  std::lock_guard hold(mutex_);
  journal_ = &journal;
  return journal.scan_rows(journal::rows::state, write_rows, "",
                           [this](std::string_view row, std::string_view) {
                             refused_.emplace(row.substr(write_rows.size()), 1);
                             return true;
                           });
}

void WriteTrials::forget() {
  std::lock_guard hold(mutex_);
  std::vector<journal::Row> rows;
  for (const auto& [code, count] : refused_) rows.push_back(row_of(code, false));
  refused_.clear();
  if (journal_ != nullptr && !rows.empty()) journal_->put_rows(std::move(rows));
}

std::shared_ptr<void> WriteTrials::begin() {
  const bool room = ++under_way_ <= under_way_max;
  std::shared_ptr<void> trial(this, [this](void*) { --under_way_; });
  return room ? trial : nullptr;
}

void WriteTrials::refused(const std::string& code) {
  std::lock_guard hold(mutex_);
  if (refused_.size() >= codes_max && !refused_.contains(code)) return;
  if (++refused_[code] > 1) return;
  log::warn(
      "a write by filter was seen that the target cannot carry out; after a promotion the application would be refused it "
      "(the gate 'writes')",
      {{"code", code}});
  if (journal_ != nullptr) journal_->put_rows({row_of(code, true)});
}

std::map<std::string, uint64_t> WriteTrials::refused_by_code() const {
  std::lock_guard hold(mutex_);
  return refused_;
}

}  // namespace vmproxy::proxy
