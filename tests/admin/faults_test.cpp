// The fault points as routes: in test builds only.
#include <catch2/catch.hpp>

#include "base/fault.h"
#include "tests/admin/fixture.h"

using namespace vmproxy;
using vmproxy::testing::AdminFixture;

#ifdef VMPROXY_FAULTS

TEST_CASE_METHOD(AdminFixture, "fault points are armed and their hits read") {
  struct Disarmed {
    ~Disarmed() { (void)fault::arm(""); }
  } after;
  const auto armed = send("POST", "/debug/faults", R"({"set": "state.saving:1:fail"})");
  CHECK(armed.status == 200);
  CHECK(object(armed)["armed"] == "state.saving:1:fail");
  CHECK(VMPROXY_FAULT_HIT("state.saving").fails);
  uint64_t hits = 0;
  const auto listed = object(send("GET", "/debug/faults"));
  for (const auto& point : listed.at("points").as_array()) {
    const auto& shown = point.as_object();
    if (shown.at("name") == "state.saving") hits = shown.at("hits").to_number<uint64_t>();
  }
  CHECK(hits == 1);
  const auto refused = send("POST", "/debug/faults", R"({"set": "state.saving:1:drop"})");
  CHECK(refused.status == 400);
  CHECK(refused.body.find("it takes kill, delay, fail") != std::string::npos);
  CHECK(send("POST", "/debug/faults", R"({"set": 1})").status == 400);
  CHECK(fault::armed() == "state.saving:1:fail");
  CHECK(object(send("POST", "/debug/faults", R"({"set": ""})"))["armed"] == "");
}

#else

TEST_CASE_METHOD(AdminFixture, "a build without fault points has no route for them") {
  CHECK(send("GET", "/debug/faults").status == 404);
  CHECK(send("POST", "/debug/faults", R"({"set": ""})").status == 404);
}

#endif
