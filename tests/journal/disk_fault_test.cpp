// The journal when each call of its disk fails in turn; tests/store/disk_fault_test.cpp is the store alone.
#include <catch2/catch.hpp>

#include "tests/store/bad_disk_runs.h"

using namespace vmproxy;

TEST_CASE(
    "whichever call of the disk fails, the journal records again, and has what it acknowledged and nothing else") {
  for (int fault = 0; fault < bad_disk::faults; ++fault) {
    const auto runs = bad_disk::run(VMPROXY_DISK_FAULT_RUN, static_cast<bad_disk::Fault>(fault), 2, {});
    for (const auto& wrong : runs.wrong) FAIL_CHECK(wrong);
    INFO(bad_disk::name_of(static_cast<bad_disk::Fault>(fault)));
    CHECK(runs.count > 20);
  }
}
