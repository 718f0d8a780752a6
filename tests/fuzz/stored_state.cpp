// The row that says where a migration stands.
#include <cmath>

#include "cutover/state.h"
#include "row_journal.h"
#include "tests/fuzz/target.h"

using namespace vmproxy;
using fuzz::must;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::RowJournal journal{std::string(fuzz::text_of(data, size))};
  const auto state = cutover::load_state(journal);
  if (!state) {
    must(state.error().code == Code::corrupt || state.error().code == Code::unsupported,
         "damage is called so");
    return 0;
  }
  must(!cutover::name_of(state->phase).empty(), "a phase that exists");
  must(state->primary <= journal::Side::target && state->flip_to <= journal::Side::target,
       "a side that exists");
  must(state->reads_percent >= 0 && state->reads_percent <= 100, "a percentage");
  (void)cutover::goes_on(*state);
  must(cutover::save_state(journal, *state).has_value(), "a state can be kept");
  const auto written = journal.value();
  const auto again = cutover::load_state(journal);
  must(again.has_value() && cutover::save_state(journal, *again).has_value() && journal.value() == written,
       "and comes back as it was");
  return 0;
}
