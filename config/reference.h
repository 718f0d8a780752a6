// References in values: `${NAME}`, `${NAME:-default}`, `${file:PATH}`; `$${` stands for a literal `${`.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace vmproxy::config {

// `{`, `}`, `:` and `,` mean something else to YAML inside of `{a: ${B:-}}`. hide_references() replaces the
// characters inside references by single control bytes, so that columns stay right and YAML sees a plain
// word; show_references() puts them back.
std::string hide_references(std::string_view text);
std::string show_references(std::string_view text);

struct ReferenceError {
  size_t offset;  // in the value, where the reference begins
  std::string text;
};
using Lookup = std::function<std::optional<std::string>(const std::string& name)>;

// The value with every reference replaced, once: what a variable holds is not searched again.
// `directory`: where relative paths of `${file:...}` begin.
boost::system::result<std::string, ReferenceError> expand(std::string_view value,
                                                          const std::string& directory,
                                                          const Lookup& variable);
bool has_reference(std::string_view value);

// boost::system::result wants to know what to throw from value(); we never call it.
[[noreturn]] void throw_exception_from_error(const ReferenceError& error,
                                             const boost::source_location& where);

}  // namespace vmproxy::config
