#include "net/descriptors.h"

#include <sys/resource.h>

#include <algorithm>
#include <limits>

namespace vmproxy::net {

DescriptorShares descriptor_shares() {
  constexpr size_t kept = 128;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
    constexpr auto any = std::numeric_limits<size_t>::max();
    return {any, any};
  }
  const size_t left = limit.rlim_cur > kept ? limit.rlim_cur - kept : 0;
  const size_t databases = left / 4;
  return {std::max<size_t>(left - databases, 1), std::max<size_t>(databases, 1)};
}

}  // namespace vmproxy::net
