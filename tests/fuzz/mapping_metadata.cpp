// Metadata as flat fields and back, for systems that hold less. The first byte of an input says what a system holds, the
// rest is the metadata as JSON.
#include "mapping/flatten.h"

#include "mapping/identity.h"
#include "protocols/wire/json.h"
#include "tests/fuzz/target.h"

using namespace vmproxy;
using fuzz::must;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto text = fuzz::text_of(data, size).substr(1);
  const auto [partition, id] = fuzz::first_line(text);
  must(mapping::split_partition(mapping::join_partition(partition, id)).value() ==
           std::pair(std::string(partition), std::string(id)),
       "a partition and an id come back");
  (void)mapping::split_partition(text);
  const auto value = protocols::wire::parse_json(text);
  if (!value || !value->is_object()) return 0;
  mapping::Holds holds;
  bool* const flags[] = {&holds.objects, &holds.arrays, &holds.arrays_any,
                         &holds.nulls,   &holds.empty,  &holds.u64};
  for (size_t i = 0; i < std::size(flags); ++i) *flags[i] = (data[0] >> i & 1) != 0;
  const auto flat = mapping::flatten(value->object(), holds);
  for (const auto& [name, field] : flat)
    must(holds.fits(field) || mapping::contains_u64(field), "what is flat fits");
  must(mapping::unflatten(flat).value() == value->object(), "metadata comes back");
  if (const auto object = mapping::unflatten(value->object())) {
    must(mapping::unflatten(mapping::flatten(*object, holds)).value() == *object,
         "as does what only looks flat");
  } else {
    must(object.error().code == Code::invalid, "what is not flat is refused");
  }
  return 0;
}
