#include "cutover/state.h"

#include "journal/rows.h"
#include "model/codec.h"

namespace vmproxy::cutover {
namespace {

constexpr uint8_t state_format =
    3;  // 1: without what a pass under way vouches for; 2: without what a person decided
constexpr std::string_view state_row = "migration";
constexpr std::string_view names[] = {"created", "mirroring",   "backfilling", "validating", "ready",
                                      "canary",  "reads_moved", "promoted",    "finalized",  "abandoned"};

}  // namespace

std::string_view name_of(Phase phase) {
  return names[static_cast<size_t>(phase)];
}

bool goes_on(const State& state) {
  if (!state.started || state.primary != journal::Side::source || state.phase >= Phase::ready) return false;
  if (!state.capture || !state.settled) return true;
  if (state.until == "mirroring") return false;
  if (!state.copied) return true;
  if (state.until == "backfilling") return false;
  return !state.validated || state.phase == Phase::validating;
}

Result<State> load_state(journal::Journal& journal) {
  auto row = journal.row(journal::rows::state, state_row);
  if (!row) return row.error();
  State state;
  if (!*row) return state;
  model::Reader reader(**row);
  const uint8_t format = reader.u8();
  if (format == 0 || format > state_format) {
    return Error(Code::unsupported, "the migration's state has format " + std::to_string(format) +
                                        ", which this version does not know; use the version that wrote it");
  }
  state.phase = static_cast<Phase>(reader.u8());
  state.primary = static_cast<journal::Side>(reader.u8());
  state.epoch = reader.u64();
  state.routing_generation = reader.u64();
  state.salt = reader.u64();
  state.reads_percent = reader.f64();
  state.capture = reader.u8() != 0;
  state.copy_generation = reader.u64();
  state.settled = reader.u8() != 0;
  state.copied = reader.u8() != 0;
  state.validation_pass = reader.u64();
  state.validated = reader.u8() != 0;
  state.flip_intended = reader.u8() != 0;
  state.flip_to = static_cast<journal::Side>(reader.u8());
  state.rolled_back_at = reader.bytes();
  state.rolled_back_reason = reader.bytes();
  if (format >= 2) {
    state.validating_full = reader.u8() != 0;
    state.validation_horizon = reader.u64();
    state.validation_round = reader.u64();
  }
  if (format >= 3) {
    state.started = reader.u8() != 0;
    state.until = reader.bytes();
    const uint64_t forced = reader.varint();
    for (uint64_t i = 0; i < forced && reader.ok(); ++i) state.start_force.push_back(reader.bytes());
    state.paused = reader.u8() != 0;
    if (reader.u8() != 0) state.rate = reader.f64();
    state.doubted_pass = reader.u64();
  } else {
    state.started = state.capture &&
                    state.phase != Phase::created;  // such a version went on by itself with what it had armed
  }
  const bool possible = state.phase <= Phase::abandoned && state.primary <= journal::Side::target &&
                        state.flip_to <= journal::Side::target && state.reads_percent >= 0 &&
                        state.reads_percent <= 100;
  if (!reader.done() || !possible) return Error(Code::corrupt, "the migration's state is damaged");
  return state;
}

namespace {

journal::Row row_of(const State& state) {
  model::Writer writer;
  writer.u8(state_format);
  writer.u8(static_cast<uint8_t>(state.phase));
  writer.u8(static_cast<uint8_t>(state.primary));
  writer.u64(state.epoch);
  writer.u64(state.routing_generation);
  writer.u64(state.salt);
  writer.f64(state.reads_percent);
  writer.u8(state.capture ? 1 : 0);
  writer.u64(state.copy_generation);
  writer.u8(state.settled ? 1 : 0);
  writer.u8(state.copied ? 1 : 0);
  writer.u64(state.validation_pass);
  writer.u8(state.validated ? 1 : 0);
  writer.u8(state.flip_intended ? 1 : 0);
  writer.u8(static_cast<uint8_t>(state.flip_to));
  writer.bytes(state.rolled_back_at);
  writer.bytes(state.rolled_back_reason);
  writer.u8(state.validating_full ? 1 : 0);
  writer.u64(state.validation_horizon);
  writer.u64(state.validation_round);
  writer.u8(state.started ? 1 : 0);
  writer.bytes(state.until);
  writer.varint(state.start_force.size());
  for (const auto& gate : state.start_force) writer.bytes(gate);
  writer.u8(state.paused ? 1 : 0);
  writer.u8(state.rate ? 1 : 0);
  if (state.rate) writer.f64(*state.rate);
  writer.u64(state.doubted_pass);
  return {std::string(journal::rows::state), std::string(state_row), writer.take()};
}

}  // namespace

Result<void> save_state(journal::Journal& journal, const State& state) {
  return journal.commit_rows({row_of(state)});
}

void put_state(journal::Journal& journal, const State& state) {
  journal.put_rows({row_of(state)});
}

}  // namespace vmproxy::cutover
