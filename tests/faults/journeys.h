// What tests/faults/journey.cpp can carry out. A journey goes on wherever the life before it was ended: what must not be done twice
// stands in once(), everything else asks whether it is so already. What fails throws std::runtime_error.
#pragma once

#include <fstream>
#include <functional>

#include "tests/faults/life.h"

namespace vmproxy::support {

using Journey = void (*)(Life&);

// With databases that refuse, lose, or do not answer (trouble.cpp). By name.
extern const std::map<std::string, Journey> journeys_in_trouble;

// Once: also when the process dies right after it was done.
inline bool was_done(const Life& life, const std::string& name) {
  return std::filesystem::exists(life.directory / ("done " + name));
}
inline void once(Life& life, const std::string& name, const std::function<void()>& step) {
  if (was_done(life, name)) return;
  step();
  std::ofstream((life.directory / ("done " + name)).string()) << "done\n";
}

inline model::SchemaChange change_of(model::SchemaChange::Kind kind, const std::string& name,
                                     model::Schema schema) {
  model::SchemaChange change;
  change.kind = kind;
  change.name = {"", name};
  change.schema = std::move(schema);
  return change;
}

// After the promotion, as an order for Life::until().
inline Result<void> ordered(Life& life, const model::SchemaChange& change) {
  auto done = life.change(change);
  return done ? Result<void>() : Result<void>(done.error());
}

}  // namespace vmproxy::support
