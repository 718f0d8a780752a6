// How much goes into one call to a side that does not answer in time.
#include "proxy/batch_size.h"

#include <catch2/catch.hpp>

using namespace vmproxy;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_CASE("what is not answered in time is a quarter the next time, and never nothing") {
  proxy::BatchSize batch(512, seconds(10));
  CHECK(batch.now() == 512);
  batch.failed(512, seconds(10));
  CHECK(batch.now() == 128);
  batch.failed(512, seconds(10));  // another lane's, sent at the same time
  CHECK(batch.now() == 128);
  for (const size_t next : {32, 8, 2, 1, 1}) {
    batch.failed(batch.now(), seconds(10));
    CHECK(batch.now() == next);
  }
}

TEST_CASE("a failure that came at once says nothing of how much was sent") {
  proxy::BatchSize batch(512, seconds(10));
  batch.failed(512, seconds(1));
  CHECK(batch.now() == 512);
}

TEST_CASE(
    "it grows while whole batches are answered early, and stands where they take two thirds of the time at most") {
  proxy::BatchSize batch(512, seconds(10));
  batch.failed(4, seconds(10));
  REQUIRE(batch.now() == 1);
  batch.answered(1, milliseconds(100));
  CHECK(batch.now() == 2);
  // A tenth of a second each.
  for (int i = 0; i < 100; ++i) batch.answered(batch.now(), batch.now() * milliseconds(100));
  CHECK(batch.now() >= 50);
  CHECK(batch.now() <= 66);
  for (int i = 0; i < 10; ++i) batch.answered(batch.now(), milliseconds(10));
  CHECK(batch.now() == 512);
}

TEST_CASE("small batches say nothing against large ones") {
  proxy::BatchSize batch(512, seconds(10));
  batch.answered(1, seconds(9));
  batch.answered(1, milliseconds(1));
  CHECK(batch.now() == 512);
}

TEST_CASE("a side that takes seconds for each call, whatever it carries, gets whole batches again") {
  proxy::BatchSize batch(64, seconds(10));
  batch.failed(64, seconds(10));
  for (int i = 0; i < 60; ++i) batch.answered(batch.now(), seconds(4));
  CHECK(batch.now() == 64);
}
