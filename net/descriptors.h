// How the process' file descriptors are shared out, so that nobody takes what another needs to go on.
#pragma once

#include <cstddef>

namespace vmproxy::net {

struct DescriptorShares {
  // Connections that are accepted.
  size_t clients;
  // Connections that their requests need; who finds none free waits for one (upstream_places.h).
  size_t databases;
};

// Of the soft limit (RLIMIT_NOFILE) as it is now. 128 stay for the journal's files, the drivers' own connections and the admin API:
// where they find none, nothing is recorded any more. Clients have three quarters of the rest: most of their connections are idle,
// and only a request under way needs one to a database. Each share is at least 1.
DescriptorShares descriptor_shares();

}  // namespace vmproxy::net
