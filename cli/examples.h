// Examples for --help, by command ("" for the whole program).
#pragma once

#include <string>
#include <string_view>

namespace vmproxy::cli {

std::string examples_of(std::string_view command);

}  // namespace vmproxy::cli
