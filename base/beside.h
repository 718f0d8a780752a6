// beside(): work on a thread of its own, for a caller that waits for the result soon.
#pragma once

#include <exception>
#include <future>
#include <system_error>

#include "base/error.h"

namespace vmproxy {

// `work` returns a Result; what it throws is an error of it. Where there is no thread to be had it runs when its result is
// asked for. The future's end waits for the work.
template <class Work>
auto beside(Work work) -> std::future<decltype(work())> {
  const auto guarded = [work]() -> decltype(work()) {
    try {
      return work();
    } catch (const std::exception& broken) {
      return Error(Code::internal, broken.what());
    }
  };
  try {
    return std::async(std::launch::async, guarded);
  } catch (const std::system_error&) {
    return std::async(std::launch::deferred, guarded);
  }
}

}  // namespace vmproxy
