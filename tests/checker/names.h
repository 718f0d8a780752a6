// Texts as small numbers, given out in order from 0. Not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>

namespace vmproxy::checker {

class Names {
 public:
  Names() = default;
  Names(Names&&) = default;  // a copy's views would be the other's
  Names& operator=(Names&&) = default;

  uint32_t number_of(std::string_view text) {
    if (const auto found = numbers_.find(text); found != numbers_.end()) return found->second;
    const auto number = static_cast<uint32_t>(texts_.size());
    texts_.emplace_back(text);
    numbers_.emplace(texts_.back(), number);
    return number;
  }
  const std::string& text_of(uint32_t number) const { return texts_[number]; }
  uint32_t size() const { return static_cast<uint32_t>(texts_.size()); }

 private:
  std::deque<std::string> texts_;  // a deque: the map's views stay valid
  std::unordered_map<std::string_view, uint32_t> numbers_;
};

}  // namespace vmproxy::checker
