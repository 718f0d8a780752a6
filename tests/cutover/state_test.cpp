// The migration's durable rows, in every format that was ever written.
#include "cutover/state.h"

#include <catch2/catch.hpp>
#include <cstring>

#include "cutover/validation_request.h"
#include "model/codec.h"
#include "tests/support/kept.h"

using namespace vmproxy;
using cutover::Phase;
using cutover::State;
using support::Kept;

namespace {

void put(Kept& kept, const model::Writer& row) {
  REQUIRE(kept.journal->commit_rows({{std::string(journal::rows::state), "migration", row.view()}}));
}

// As version 1 wrote it.
model::Writer row_of(uint8_t format, Phase phase, bool capture) {
  model::Writer row;
  row.u8(format);
  row.u8(static_cast<uint8_t>(phase));
  row.u8(0);    // source
  row.u64(3);   // epoch
  row.u64(17);  // routing generation
  row.u64(99);  // salt
  row.f64(0);
  row.u8(capture ? 1 : 0);
  row.u64(2);  // copy generation
  row.u8(1);   // settled
  row.u8(0);   // copied
  row.u64(4);  // validation pass
  row.u8(0);   // validated
  row.u8(0);
  row.u8(1);
  row.bytes("2026-01-01T00:00:00Z");
  row.bytes("why");
  return row;
}

}  // namespace

TEST_CASE("a state of an earlier format opens, and goes on as that version did") {
  const uint8_t format = GENERATE(uint8_t{1}, uint8_t{2});
  const Phase phase = GENERATE(Phase::created, Phase::backfilling, Phase::ready, Phase::abandoned);
  const bool capture = phase == Phase::backfilling || phase == Phase::ready;
  Kept kept;
  auto row = row_of(format, phase, capture);
  if (format == 2) {
    row.u8(1);    // validating full
    row.u64(11);  // horizon
    row.u64(12);  // round
  }
  put(kept, row);
  const auto state = cutover::load_state(*kept.journal);
  REQUIRE(state);
  CHECK(state->phase == phase);
  CHECK(state->epoch == 3);
  CHECK(state->copy_generation == 2);
  CHECK(state->rolled_back_reason == "why");
  CHECK(state->validating_full == (format == 2));
  CHECK(state->validation_round == (format == 2 ? 12u : 0u));
  CHECK(state->until == "ready");
  CHECK(state->started == capture);
  CHECK(cutover::goes_on(*state) == (phase == Phase::backfilling));
  CHECK_FALSE(state->paused);
  CHECK_FALSE(state->rate);
  CHECK(state->start_force.empty());
  CHECK(state->doubted_pass == 0);
  // And is written as this version writes.
  REQUIRE(cutover::save_state(*kept.journal, *state));
  const auto again = cutover::load_state(*kept.journal);
  REQUIRE(again);
  CHECK(again->started == capture);
}

TEST_CASE("a state comes back as it was written") {
  Kept kept;
  State state;
  state.phase = Phase::backfilling;
  state.capture = state.settled = true;
  state.validating_full = true;
  state.validation_pass = 6;
  state.started = true;
  state.until = "mirroring";
  state.start_force = {"target_not_empty", "another"};
  state.paused = true;
  state.rate = 12.5;
  state.doubted_pass = 5;
  state.rolled_back_reason = "why";
  REQUIRE(cutover::save_state(*kept.journal, state));
  const auto read = cutover::load_state(*kept.journal);
  REQUIRE(read);
  CHECK(read->phase == state.phase);
  CHECK(read->validating_full);
  CHECK(read->validation_pass == 6);
  CHECK(read->started);
  CHECK(read->until == "mirroring");
  CHECK(read->start_force == state.start_force);
  CHECK(read->paused);
  CHECK(read->rate == 12.5);
  CHECK(read->doubted_pass == 5);
  CHECK(read->rolled_back_reason == "why");
}

TEST_CASE("a state of a format that is not known is refused with its number, a damaged one as such") {
  Kept kept;
  SECTION("a later format") {
    put(kept, row_of(4, Phase::ready, true));
    const auto state = cutover::load_state(*kept.journal);
    REQUIRE_FALSE(state);
    CHECK(state.error().code == Code::unsupported);
    CHECK(state.error().message.find("format 4") != std::string::npos);
  }
  SECTION("cut short") {
    put(kept, row_of(3, Phase::ready, true));
    const auto state = cutover::load_state(*kept.journal);
    REQUIRE_FALSE(state);
    CHECK(state.error().code == Code::corrupt);
  }
  SECTION("a value that nothing writes") {
    std::string bytes = row_of(1, Phase::ready, true).take();
    SECTION("a primary that is no side") {
      bytes[2] = 7;
    }
    SECTION("a percentage that is no number") {
      std::memset(bytes.data() + 27, 0xff, 8);
    }
    SECTION("a phase behind the last") {
      bytes[1] = 99;
    }
    REQUIRE(kept.journal->commit_rows({{std::string(journal::rows::state), "migration", bytes}}));
    const auto state = cutover::load_state(*kept.journal);
    REQUIRE_FALSE(state);
    CHECK(state.error().code == Code::corrupt);
  }
}

TEST_CASE("the comparison that was asked for comes back as it was written, or not at all") {
  Kept kept;
  const auto none = cutover::load_validation_request(*kept.journal);
  REQUIRE(none);
  CHECK(none->number == 0);
  CHECK_FALSE(none->open);
  const auto row = cutover::row_of({7, true, {false, 12.5, true}});
  REQUIRE(kept.journal->commit_rows({row}));
  const auto read = cutover::load_validation_request(*kept.journal);
  REQUIRE(read);
  CHECK(read->number == 7);
  CHECK(read->open);
  CHECK_FALSE(read->options.full);
  CHECK(read->options.sample_percent == 12.5);
  CHECK(read->options.repair);
  auto damaged = row;
  Code code = Code::corrupt;
  SECTION("cut short") {
    damaged.value->pop_back();
  }
  SECTION("a later format") {
    damaged.value->front() = 2;
    code = Code::unsupported;
  }
  REQUIRE(kept.journal->commit_rows({damaged}));
  const auto refused = cutover::load_validation_request(*kept.journal);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == code);
}

TEST_CASE("what goes on by itself after a restart") {
  State state;
  CHECK_FALSE(cutover::goes_on(state));
  state.started = true;
  CHECK(cutover::goes_on(state));  // accepted, not armed
  state.phase = Phase::mirroring;
  state.capture = true;
  state.until = "mirroring";
  CHECK(cutover::goes_on(state));  // not settled
  state.settled = true;
  CHECK_FALSE(cutover::goes_on(state));
  state.until = "backfilling";
  CHECK(cutover::goes_on(state));
  state.copied = true;
  CHECK_FALSE(cutover::goes_on(state));
  state.until = "ready";
  CHECK(cutover::goes_on(state));
  state.phase = Phase::ready;
  CHECK_FALSE(cutover::goes_on(state));
  state.phase = Phase::mirroring;
  state.primary = journal::Side::target;
  CHECK_FALSE(cutover::goes_on(state));
}
