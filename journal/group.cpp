#include "journal/group.h"

namespace vmproxy::journal {

using store::Batch;

void Group::put(std::string key, std::string value) {
  bytes += key.size() + value.size();
  batch.put(std::move(key), std::move(value));
}

void Group::put_visible(std::string key, std::string value) {
  newest_[key] = batch.size();
  put(std::move(key), std::move(value));
}

void Group::erase_visible(std::string key) {
  newest_[key] = batch.size();
  bytes += key.size();
  batch.erase(std::move(key));
}

void Group::erase_visible_range(std::string from, std::string to) {
  std::erase_if(newest_, [&](const auto& entry) { return entry.first >= from && entry.first < to; });
  erased_.emplace_back(from, to);
  erase_range(std::move(from), std::move(to));
}

void Group::erase_range(std::string from, std::string to) {
  bytes += from.size() + to.size();
  batch.erase_range(std::move(from), std::move(to));
}

std::optional<std::optional<std::string>> Group::find(const std::string& key) const {
  if (const auto found = newest_.find(key); found != newest_.end()) {
    const auto& operation = batch.operations()[found->second];
    if (operation.kind == Batch::Kind::put) return std::optional<std::string>(operation.value);
    return std::optional<std::string>();
  }
  for (const auto& [from, to] : erased_) {
    if (key >= from && key < to) return std::optional<std::string>();
  }
  return std::nullopt;
}

void Group::keys_between(const std::string& from, const std::string& to,
                         std::vector<std::string>& keys) const {
  for (const auto& [key, operation] : newest_) {
    if (key >= from && key < to) keys.push_back(key);
  }
}

void Group::keep_lazy() {
  Group kept;
  std::vector<bool> waited_for(batch.size());
  for (const auto& completion : completions) {
    for (size_t i = completion.first; i < completion.last; ++i) waited_for[i] = true;
  }
  size_t i = 0;
  for (auto& operation : batch.take()) {
    const bool visible = newest_.contains(operation.key) || operation.kind == Batch::Kind::erase_range;
    if (waited_for[i++]) continue;
    switch (operation.kind) {
      case Batch::Kind::put:
        if (visible)
          kept.put_visible(std::move(operation.key), std::move(operation.value));
        else
          kept.put(std::move(operation.key), std::move(operation.value));
        break;
      case Batch::Kind::erase: kept.erase_visible(std::move(operation.key)); break;
      case Batch::Kind::erase_range:
        kept.erase_visible_range(std::move(operation.key), std::move(operation.value));
        break;
    }
  }
  kept.number = number;
  kept.completions = std::move(completions);
  *this = std::move(kept);
}

}  // namespace vmproxy::journal
