// reads.route_by: what of a read decides, at a percentage, to which side it belongs.
#include <algorithm>
#include <functional>
#include <set>

#include "tests/hazards/fake_proxy.h"

using namespace vmproxy::support;
namespace net = vmproxy::net;
namespace proxy = vmproxy::proxy;

namespace {

struct Routed : Proxy {
  explicit Routed(const std::string& route_by) { move.options.proxy.route_by = route_by; }
  // Whether a read of this id, with these headers, belongs to the target: where it was sent, unless it had to be returned.
  bool to_target(net::Headers headers, const std::string& id = "a") {
    const auto& counts = move.context().read_counts;
    const auto source_reads = counts.source_reads();
    auto request =
        exchange({"POST", "/read", std::move(headers), proxy::encode_images({{key_of(id), std::nullopt}})});
    handle_at_once(request);
    if (!request.answer || request.answer->status != 200) FAIL("no answer");
    served += request.asked_source == 0 ? 1 : 0;
    return counts.source_reads() == source_reads;
  }
  // Which of `readers`, each with headers of its own, have their reads of this id at the target.
  std::set<int> at_target(double percent, int readers, const std::string& id,
                          const std::function<net::Headers(int)>& headers_of) {
    reads(percent);
    std::set<int> target;
    for (int i = 0; i < readers; ++i) {
      if (to_target(headers_of(i), id)) target.insert(i);
    }
    return target;
  }
  int served = 0;  // by the target
};

std::string user(int i) {
  return "u" + std::to_string(i);
}

}  // namespace

TEST_CASE(
    "reads.route_by: header sends all reads with the same value to the same side, and a larger share only adds some") {
  Routed at("header:X-User");
  at.ready();
  const auto at_percent = [&](double percent, const std::string& id) {
    return at.at_target(percent, 100, id, [](int i) { return net::Headers{{"x-user", user(i)}}; });
  };
  const auto ten = at_percent(10, "a");
  CHECK(at.served == static_cast<int>(ten.size()));
  CHECK_FALSE(ten.empty());
  CHECK(ten.size() < 50);
  CHECK(at_percent(10, "another") == ten);
  const auto twenty = at_percent(20, "a");
  CHECK(std::includes(twenty.begin(), twenty.end(), ten.begin(), ten.end()));
  CHECK(twenty.size() > ten.size());
  CHECK(at_percent(10, "a") == ten);
  CHECK(at_percent(100, "a").size() == 100);
}

TEST_CASE("reads.route_by: header spreads values: at 10 percent 8 to 12 percent of 10,000 go to the target") {
  Routed at("header:x-user");
  at.ready();
  at.reads(10);
  int target = 0;
  for (int i = 0; i < 10'000; ++i) target += at.to_target({{"x-user", std::to_string(i)}}) ? 1 : 0;
  CHECK(target >= 800);
  CHECK(target <= 1200);
  CHECK(at.served == target);
}

TEST_CASE("reads.route_by: header, for a read without that header: as by query") {
  Routed at("header:x-user");
  at.ready();
  at.reads(50);
  const auto sides = [&](const std::string& route_by) {
    at.move.context().options.route_by = route_by;
    std::set<int> target;
    for (int i = 0; i < 100; ++i) {
      if (at.to_target({{"x-other", "same"}}, user(i))) target.insert(i);
    }
    return target;
  };
  const auto without = sides("header:x-user");
  CHECK(without == sides("query"));
  CHECK(without == sides("header:x-user"));
  CHECK_FALSE(without.empty());
  CHECK(without.size() < 100);
  CHECK(without != sides("header:x-other"));
}

TEST_CASE(
    "reads.route_by: space sends all reads of a tenant's database to the same side, and a larger share only adds some") {
  constexpr int spaces = 16;
  const auto name = [](int space, const char* which) { return which + std::to_string(space); };
  Routed at("space");
  for (int i = 0; i < spaces; ++i) {
    for (const char* which : {"one", "two"}) {
      auto schema = things(name(i, which));
      schema.name.space = "tenant/" + std::to_string(i);
      at.move.source.add_collection(schema);
    }
  }
  at.ready();
  const auto at_percent = [&](double percent, const char* which, const std::string& id) {
    return at.at_target(percent, spaces, id, [&](int i) { return net::Headers{{"to", name(i, which)}}; });
  };
  const auto half = at_percent(50, "one", "a");
  CHECK_FALSE(half.empty());
  CHECK(half.size() < spaces);
  CHECK(at_percent(50, "one", "another") == half);
  CHECK(at_percent(50, "two", "a") == half);
  const auto more = at_percent(90, "one", "a");
  CHECK(std::includes(more.begin(), more.end(), half.begin(), half.end()));
}

TEST_CASE(
    "reads.route_by: credential sends all reads of a caller to the same side, and a larger share only adds some") {
  Routed at("credential");
  at.ready();
  const auto at_percent = [&](double percent, const std::string& id) {
    return at.at_target(percent, 100, id,
                        [&](int i) { return net::Headers{{"who", user(i)}, {"x-user", id}}; });
  };
  CHECK(at_percent(100, "a").empty());  // the source lets them in first
  CHECK(at.served == 0);
  const auto ten = at_percent(10, "a");
  CHECK(at.served == static_cast<int>(ten.size()));
  CHECK_FALSE(ten.empty());
  CHECK(ten.size() < 50);
  CHECK(at_percent(10, "another") == ten);
  const auto twenty = at_percent(20, "a");
  CHECK(std::includes(twenty.begin(), twenty.end(), ten.begin(), ten.end()));
  CHECK(twenty.size() > ten.size());
}

TEST_CASE(
    "reads.route_by: credential spreads callers: at 10 percent 8 to 12 percent of 10,000 go to the target") {
  Routed at("credential");
  at.ready();
  at.reads(10);
  int target = 0;
  const auto read_of = [&](int caller) {
    return at.to_target({{"authorization", "Bearer " + std::to_string(caller)}});
  };
  constexpr int callers = 9'999;  // and the one that ready() let in: as many as are remembered
  for (int i = 0; i < callers; ++i) (void)read_of(i);
  for (int i = 0; i < callers; ++i) target += read_of(i) ? 1 : 0;
  CHECK(target >= 800);
  CHECK(target <= 1200);
}

TEST_CASE("tenants' databases spread: at 10 percent 8 to 12 percent of 10,000 go to the target") {
  vmproxy::FakeClock clock;
  proxy::ReadRouter router(clock);
  proxy::Routing routing;
  routing.salt = 7;
  routing.reads_percent = 10;
  int target = 0;
  for (int i = 0; i < 10'000; ++i)
    target +=
        router.side_for(routing, "tenant-" + std::to_string(i) + "/default", false) == Side::target ? 1 : 0;
  CHECK(target >= 800);
  CHECK(target <= 1200);
}
