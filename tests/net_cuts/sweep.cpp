#include "sweep.h"

#include <cstdio>

namespace vmproxy::net_cuts {
namespace {

// Frames after the answer (acknowledgements) may come or not.
constexpr size_t beyond = 100;
// Builds that are many times slower take a part of the bytes.
constexpr size_t step = VMPROXY_CUT_STEP;
constexpr int descriptors_looked_at = 256;

const char* name_of_link(Place place) {
  return place == Place::before_proxy ? "client" : "database";
}

// Connections that no server has accepted yet have no descriptor; both ends may have gone already, and still they are
// served when their turn comes. A listening socket says how many wait.
bool nobody_waits() {
  for (int fd = 0; fd < descriptors_looked_at; ++fd) {
    int listening = 0;
    socklen_t size = sizeof listening;
    if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || listening == 0) continue;
    tcp_info info{};
    size = sizeof info;
    if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_unacked > 0) return false;
  }
  return true;
}

// What is left of an exchange is over: no connection in a pool, none just being made, none that waits. Else the next
// exchange might use one whose bytes have been counted already, and be cut elsewhere.
void settle(Chain& chain, size_t idle) {
  const bool settled = eventually([&] {
    chain.faults.reset("client");
    chain.faults.reset("database");
    // What is accepted between two of these looks is seen by the next round.
    for (int round = 0; round < 3; ++round) {
      if (!nobody_waits() || chain.connections() != 0 || open_descriptors() != idle) return false;
    }
    return true;
  });
  INFO("proxy " << chain.proxy.server.connections() << ", database " << chain.server.server.connections()
                << ", client link " << chain.faults.counts("client").open << ", database link "
                << chain.faults.counts("database").open << ", descriptors " << open_descriptors() << " of "
                << idle);
  REQUIRE(settled);
}

// The bytes that one exchange without a cut has in that direction.
size_t bytes_of_exchange(Chain& chain, const Call& call, const std::string& link, Direction direction,
                         size_t idle) {
  auto before = chain.faults.counts(link);
  const auto body = body_of(1'000'000);
  const auto outcome = call(chain.port, body);
  REQUIRE(outcome.whole);
  REQUIRE(outcome.body == body);
  REQUIRE(chain.database.executed()[body] == 1);
  // What has passed is counted a moment after it has passed.
  auto after = chain.faults.counts(link);
  REQUIRE(eventually([&] {
    after = chain.faults.counts(link);
    return after.of(direction).passed_bytes == after.of(direction).arrived_bytes &&
           after.of(direction).passed_bytes - before.of(direction).passed_bytes >= body_bytes;
  }));
  settle(chain, idle);
  return after.of(direction).passed_bytes - before.of(direction).passed_bytes;
}

struct Told {
  size_t cut_at = 0;
  Outcome outcome;
};

void check_told(const Told& told, const std::string& body, size_t short_of) {
  const auto& [cut_at, outcome] = told;
  if (outcome.whole) {
    CHECK(outcome.body == body);
    CHECK(cut_at >= short_of);
    return;
  }
  INFO(name_of(outcome.error.code) << ": " << outcome.error.message);
  CHECK((outcome.error.code == Code::connection_lost || outcome.error.surely_not_done()));
}

void check_executed(const Told& told, int times) {
  if (told.outcome.whole) {
    CHECK(times == 1);
    return;
  }
  INFO(name_of(told.outcome.error.code) << ": " << told.outcome.error.message);
  CHECK(times <= (told.outcome.error.surely_not_done() ? 0 : 1));
}

}  // namespace

void sweep(const Call& call, bool hold, Place place, Direction direction, Cut cut,
           std::optional<size_t> short_of) {
  const size_t descriptors = open_descriptors();
  {
    Chain chain(hold);
    const size_t idle = open_descriptors();
    const std::string link = name_of_link(place);
    const size_t bytes = bytes_of_exchange(chain, call, link, direction, idle);
    const size_t needed = short_of.value_or(bytes);
    REQUIRE(bytes >= needed);
    faultproxy::LinkFaults faults;
    faults.of(direction).cut = cut;
    std::vector<Told> all;
    for (size_t at = 0; at <= bytes + beyond; at += step) {
      faults.of(direction).cut_after = at;
      chain.faults.set(link, faults);
      all.push_back({at, call(chain.port, body_of(at))});
      INFO("cut at byte " << at << " of " << bytes);
      check_told(all.back(), body_of(at), needed);
      settle(chain, idle);
    }
    std::printf("%zu cuts between proxy and %s\n", all.size(), link.c_str());
    CHECK(all.back().outcome.whole);
    CHECK(chain.faults.counts(link).cut >= needed / step);

    auto executed = chain.database.executed();
    for (const auto& told : all) {
      INFO("cut at byte " << told.cut_at << " of " << bytes);
      check_executed(told, executed[body_of(told.cut_at)]);
    }
  }
  CHECK(eventually([&] { return open_descriptors() <= descriptors; }));
}

}  // namespace vmproxy::net_cuts
