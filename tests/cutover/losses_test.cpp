// What the target cannot hold is shown by field.
#include "cutover/losses.h"

#include "tests/support/move.h"

using namespace vmproxy::support;
using Losses = std::vector<std::pair<std::string, uint64_t>>;

TEST_CASE("fields that the target could not hold are in the status, by collection and field, most first") {
  Move move;
  auto schema = things();
  for (const char* name : {"price", "size", "colour"}) {
    schema.fields.push_back({});
    schema.fields.back().name = name;
    schema.fields.back().kind = vmproxy::model::FieldKind::float64;
  }
  move.source.add_collection(schema);
  move.ready();
  CHECK(move.status().lost_fields.empty());
  const auto carry = [&](const char* field, int times) {
    const auto collection = move.context().collections.find("things");
    REQUIRE(collection);
    auto record = record_of("x", 1);
    record.metadata = vmproxy::model::Object{{field, nullptr}};
    for (int i = 0; i < times; ++i) REQUIRE(collection->plan->to_target(record));
  };
  carry("price", 1);
  carry("size", 3);
  carry("colour", 2);
  CHECK(move.status().lost_fields == Losses{{"things.metadata.size: null", 3},
                                            {"things.metadata.colour: null", 2},
                                            {"things.metadata.price: null", 1}});
  CHECK(vmproxy::cutover::losses_of(move.context().collections, 1) ==
        Losses{{"things.metadata.size: null", 3}, {"others", 3}});
}
