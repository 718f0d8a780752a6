// How much goes into one call to a side that does not answer in time.
#include "proxy/batch_size.h"

#include <catch2/catch.hpp>

using namespace vmproxy;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_CASE("what is not answered in time is half the next time, and never nothing") {
  proxy::BatchSize batch(512, seconds(10));
  CHECK(batch.now() == 512);
  batch.failed(512, seconds(10));
  CHECK(batch.now() == 256);
  batch.failed(512, seconds(10));  // another lane's, sent at the same time
  CHECK(batch.now() == 256);
  batch.failed(256, seconds(2));  // the database let it begin within two seconds only
  CHECK(batch.now() == 128);
  for (const size_t next : {64, 32, 16, 8, 4, 2, 1, 1}) {
    batch.failed(batch.now(), seconds(10));
    CHECK(batch.now() == next);
  }
}

TEST_CASE("a failure that came at once says nothing of how much was sent") {
  proxy::BatchSize batch(512, seconds(10));
  batch.failed(512, seconds(1));
  CHECK(batch.now() == 512);
}

TEST_CASE("it grows fast while whole batches are answered at once, slower when they take longer") {
  proxy::BatchSize batch(512, seconds(10));
  batch.failed(2, seconds(10));
  REQUIRE(batch.now() == 1);
  const auto ten_milliseconds_each = [&](int times) {
    for (int i = 0; i < times; ++i) batch.answered(batch.now(), batch.now() * milliseconds(10));
    return batch.now();
  };
  CHECK(ten_milliseconds_each(5) == 32);
  CHECK(ten_milliseconds_each(1) == 37);
  CHECK(ten_milliseconds_each(14) > 120);
  const size_t before = batch.now();
  CHECK(ten_milliseconds_each(10) == before + 10);
}

TEST_CASE("small batches say nothing against large ones") {
  proxy::BatchSize batch(512, seconds(10));
  batch.answered(1, seconds(9));
  batch.answered(1, milliseconds(1));
  CHECK(batch.now() == 512);
}

TEST_CASE("a side that takes seconds for each call, whatever it carries, still gets whole batches again") {
  proxy::BatchSize batch(64, seconds(10));
  batch.failed(64, seconds(10));
  for (int i = 0; i < 48; ++i) batch.answered(batch.now(), seconds(6));
  CHECK(batch.now() == 64);
}
