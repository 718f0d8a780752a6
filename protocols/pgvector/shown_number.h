// Numbers that the server shows as text: of the catalogue, of its clock.
#pragma once

#include <charconv>
#include <string>
#include <string_view>

#include "base/error.h"

namespace vmproxy::protocols::pgvector {

// Error corrupt: all of the text together is no such number, and where it was shown.
template <class Number>
Result<Number> shown_number(std::string_view text, std::string_view where) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size()) return number;
  return Error{Code::corrupt, "the server says '" + std::string(text.substr(0, 40)) + "' for " +
                                  std::string(where) + ", which is no number that it can be"};
}

}  // namespace vmproxy::protocols::pgvector
