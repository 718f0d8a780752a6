// Lets Catch2 print a Result in a failed check: its stream operator wants printable values, ours are not.
#pragma once

#include <catch2/catch.hpp>

#include "base/error.h"

namespace Catch {

template <class T>
struct StringMaker<boost::system::result<T, vmproxy::Error>> {
  static std::string convert(const boost::system::result<T, vmproxy::Error>& result) {
    if (result) return "a value";
    return "error " + std::string(vmproxy::name_of(result.error().code)) + ": " + result.error().message;
  }
};

}  // namespace Catch
