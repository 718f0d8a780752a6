// What the targets share: the entry point, and must(), a property whose breach ends the process as a crash does.
// The replay program links all targets at once: there CMake gives each entry point a name of its own.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace vmproxy::fuzz {

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

inline void must(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "a property does not hold: %s\n", what);
  std::abort();
}

// Of an input in two parts: its first line without the line's end, and what follows.
inline std::pair<std::string_view, std::string_view> first_line(std::string_view input) {
  const auto end = input.find('\n');
  if (end == std::string_view::npos) return {input, {}};
  return {input.substr(0, end), input.substr(end + 1)};
}

// Of an input in many: a piece of at most 65,535 bytes, behind its length in two bytes, the high one first. What is
// announced and not there is left out.
inline std::string_view next_piece(std::string_view& input) {
  if (input.size() < 2) {
    input = {};
    return {};
  }
  const size_t length = static_cast<uint8_t>(input[0]) * size_t{256} + static_cast<uint8_t>(input[1]);
  const auto piece = input.substr(2, length);
  input.remove_prefix(2 + piece.size());
  return piece;
}

}  // namespace vmproxy::fuzz
