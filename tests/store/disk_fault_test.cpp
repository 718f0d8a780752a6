// The store on RocksDB when each call of its disk fails in turn. In processes of its own, as an assertion inside RocksDB once
// ended the one that it was in (decision 16).
#include <catch2/catch.hpp>

#include "tests/store/bad_disk_runs.h"

using namespace vmproxy;

namespace {

void every_fault(int step, const std::string& value_bytes, const std::string& writers) {
  for (int fault = 0; fault < bad_disk::faults; ++fault) {
    const auto runs = bad_disk::run(VMPROXY_DISK_FAULT_RUN, static_cast<bad_disk::Fault>(fault), step,
                                    {value_bytes, writers});
    for (const auto& wrong : runs.wrong) FAIL_CHECK(wrong);
    INFO(bad_disk::name_of(static_cast<bad_disk::Fault>(fault)));
    CHECK(runs.count > 5);
  }
}

}  // namespace

TEST_CASE(
    "whichever call of the disk fails, the store refuses, opens again, and keeps what it acknowledged") {
  every_fault(2, "3000", "1");
}

TEST_CASE("the same with three writers at once") {
  every_fault(7, "3000", "3");
}

TEST_CASE("the same while tables are written in the background") {
  every_fault(61, "700000", "2");
}
