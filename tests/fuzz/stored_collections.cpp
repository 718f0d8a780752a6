// Rows of the state that say what is moved: the catalog, what is left out, how each collection was moved, names in doubt, claims.
// The first byte of an input says which row it is the value of.
#include "hurried_clock.h"
#include "journal/rows.h"
#include "model/codec.h"
#include "protocols/api/catalog.h"
#include "proxy/collections.h"
#include "table_journal.h"
#include "tests/fuzz/target.h"
#include "tests/support/fake_driver.h"

using namespace vmproxy;
using fuzz::must;

namespace {

std::string catalog_of_things() {
  model::Schema schema;
  schema.name.name = "things";
  schema.vectors.push_back({"", model::VectorKind::dense_f32, 2, model::Metric::l2, {}});
  protocols::Catalog catalog;
  catalog.collections.push_back(schema);
  return protocols::encode(catalog);
}

std::string_view row_of(char which) {
  switch (which) {
    case 'c': return "catalog";
    case 'l': return "left_out";
    case 'r': return "refused";
    case 'b': return "carried";
    case 'd': return "doubt";
    case 'm': return "making/things";
    default: return "claim/things";
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static support::FakeDriver source, target;
  static const std::string things = catalog_of_things();
  fuzz::HurriedClock clock;
  fuzz::TableJournal journal;
  journal.put(journal::rows::state, "catalog", things);
  journal.put(journal::rows::state, row_of(static_cast<char>(data[0])),
              std::string(fuzz::text_of(data, size).substr(1)));
  const auto included = [](const model::CollectionName&) { return true; };
  proxy::Collections first(journal, source, target, clock, included, {});
  const auto loaded = first.load();
  if (!loaded) {
    must(!loaded.error().message.empty(), "an error says why");
    return 0;
  }
  const auto left_out = first.left_out();
  must(first.accept().has_value(), "what was read can be kept");
  proxy::Collections second(journal, source, target, clock, included, {});
  must(second.load().has_value(), "and is read again");
  must(second.reconfigured().empty(), "as what it was");
  must(second.left_out() == left_out && second.left_out_known() == first.left_out_known(),
       "with what is left out");
  must(protocols::encode(*second.catalog()) == protocols::encode(*first.catalog()), "the catalog comes back");
  must(second.in_doubt() == first.in_doubt(), "and the doubt");
  return 0;
}
