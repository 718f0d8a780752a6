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
inline void once(Life& life, const std::string& name, const std::function<void()>& step) {
  const auto mark = life.directory / ("done " + name);
  if (std::filesystem::exists(mark)) return;
  step();
  std::ofstream(mark.string()) << "done\n";
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

inline void move_there(Life& life, int64_t writes) {
  once(life, "moved", [&] {
    life.ready();
    life.promote();
    life.writes(writes);
  });
}

inline void create_there(Life& life, const std::string& name, const model::Schema& schema) {
  life.until(
      "the collection " + name, [&] { return life.knows(name) && life.target.has_collection(name); },
      [&] { return ordered(life, change_of(model::SchemaChange::Kind::create_collection, name, schema)); });
}

// The end of a journey, on whatever side it is.
inline void end_equal(Life& life, int64_t writes) {
  life.writes(writes);
  life.compare({"things"});
  life.close();
}

inline void end_back(Life& life) {
  life.roll_back();
  end_equal(life, 10);
}

}  // namespace vmproxy::support
