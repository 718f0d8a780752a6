#include "journal/rows.h"
#include "proxy/context.h"

namespace vmproxy::proxy {
namespace {

constexpr std::string_view read_rows = "reads/";  // + reason -> empty

journal::Row row_of(const std::string& reason, bool there) {
  return {std::string(journal::rows::state), std::string(read_rows) + reason,
          there ? std::optional<std::string>("") : std::nullopt};
}

}  // namespace

bool ReadCounts::unanswerable(std::string_view reason) {
  for (const char* passing : {"stale", "quarantine", "credential", "gap", "not_included", "not_decoded"}) {
    if (reason == passing) return false;
  }
  return !reason.starts_with("target_");
}

ReadCounts::Reason* ReadCounts::reason_of(const std::string& reason) {
  auto at = returned_.find(reason);
  if (at == returned_.end()) {
    // Reasons are stable codes; the bound only keeps a bug from growing the map.
    if (returned_.size() >= 200) return nullptr;
    auto metric = metrics_.counter(
        "reads_returned_total", "Reads meant for the target that the source answered", {{"reason", reason}});
    at = returned_.emplace(reason, Reason{0, metric}).first;
  }
  return &at->second;
}

void ReadCounts::Once::note() {
  if (*this || is_.exchange(true)) return;
  if (auto* journal = journal_.load())
    journal->put_rows({{std::string(journal::rows::state), std::string(row_), ""}});
}

Result<void> ReadCounts::Once::restore(journal::Journal& journal) {
  auto kept = journal.row(journal::rows::state, std::string(row_));
  if (!kept) return kept.error();
  is_ = kept->has_value();
  journal_ = &journal;
  return {};
}

void ReadCounts::Once::forget() {
  if (!is_.exchange(false)) return;
  if (auto* journal = journal_.load())
    journal->put_rows({{std::string(journal::rows::state), std::string(row_), std::nullopt}});
}

Result<void> ReadCounts::restore(journal::Journal& journal) {
  for (auto* once : {&seen_, &tried_}) {
    if (auto kept = once->restore(journal); !kept) return kept;
  }
  std::lock_guard hold(mutex_);
  journal_ = &journal;
  return journal.scan_rows(journal::rows::state, read_rows, "",
                           [this](std::string_view row, std::string_view) {
                             if (auto* seen = reason_of(std::string(row.substr(read_rows.size()))))
                               seen->reads = 1;
                             return true;
                           });
}

void ReadCounts::forget() {
  seen_.forget();
  tried_.forget();
  std::lock_guard hold(mutex_);
  std::vector<journal::Row> rows;
  std::erase_if(returned_, [&](const auto& entry) {
    if (!unanswerable(entry.first)) return false;
    rows.push_back(row_of(entry.first, false));
    return true;
  });
  if (journal_ != nullptr && !rows.empty()) journal_->put_rows(std::move(rows));
}

void ReadCounts::returned(const std::string& reason) {
  to_source();
  std::lock_guard hold(mutex_);
  auto* counted = reason_of(reason);
  if (counted == nullptr) return;
  ++counted->reads;
  counted->metric.add();
  if (counted->reads == 1 && journal_ != nullptr && unanswerable(reason))
    journal_->put_rows({row_of(reason, true)});
}

std::map<std::string, uint64_t> ReadCounts::returned_by_reason() const {
  std::lock_guard hold(mutex_);
  std::map<std::string, uint64_t> counts;
  for (const auto& [reason, counted] : returned_) counts[reason] = counted.reads;
  return counts;
}

}  // namespace vmproxy::proxy
