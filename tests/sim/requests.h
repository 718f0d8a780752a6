// What proxy/pipeline does with a request, step by step, without its sockets: gate, snapshot, in-flight table, intent,
// execution, outcome. Runs in the process.
#pragma once

#include "tests/sim/world.h"

namespace vmproxy::sim {

struct Answer {
  enum class Did { yes, no, unknown };  // no: it did not happen and will not
  Did did = Did::unknown;
  bool by_target = false;
  bool moved = false;  // a read that was not answered by the primary
  uint64_t epoch = 0;
  std::map<std::string, int64_t> versions;  // of reads: what is there
  std::string error;
  Time at =
      never;  // when it was given, whether somebody still waited for it or not; never: the process was killed before
};

using Images = std::vector<journal::Image>;

enum class How {
  image,      // the request says what the records become
  read_back,  // only a read tells
  if_absent   // puts that leave alone what is there; read back as well
};

// Puts of whole records, or deletes by key; not both.
void serve_write(World& world, Process& process, How how, const Images& images, Answer& answer);
void serve_delete_where(World& world, Process& process, int64_t version_max, Answer& answer);
// Drops or makes the one collection that there is, while the source is primary; else it does nothing and says so.
enum class Change { drop, create };
void serve_change(World& world, Process& process, Change change, Answer& answer);
void serve_read(World& world, Process& process, const std::vector<std::string>& ids, Answer& answer);

}  // namespace vmproxy::sim
