#include "proxy/expected_answer.h"

#include <catch2/catch.hpp>

using vmproxy::proxy::ExpectedAnswer;

TEST_CASE(
    "an answer is expected to be as large as the largest of late, and to take four times that while it is made") {
  ExpectedAnswer expected;
  CHECK(expected.making() == 4u << 20);  // nothing is known: 1 MiB
  expected.seen(10u << 20);
  CHECK(expected.making() == 40u << 20);
  expected.seen(100);
  CHECK(expected.making() > 39u << 20);
  for (int times = 0; times < 600; ++times) expected.seen(100);
  CHECK(expected.making() <= 4 * 4096);
}
