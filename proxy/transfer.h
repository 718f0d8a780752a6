// Transfer: reads records from one side and writes them to the other, always speaking the source's form: keys and
// records are mapped to and from the target here and nowhere else. Blocking; thread-safe.
#pragma once

#include <span>
#include <vector>

#include "journal/journal.h"
#include "proxy/collections.h"

namespace vmproxy::proxy {

using journal::Side;

inline Side other(Side side) {
  return side == Side::source ? Side::target : Side::source;
}

class Transfer {
 public:
  Transfer(protocols::Driver& source, protocols::Driver& target) : source_(source), target_(target) {}

  protocols::Driver& driver(Side side) const { return side == Side::source ? source_ : target_; }

  // Records that exist; absent keys are left out. So is a key that has no form on the target: no record there can have it.
  Result<std::vector<model::Record>> read(Side side, const Collection& collection,
                                          std::span<const model::Key> keys, Deadline deadline,
                                          model::Consistency consistency = model::Consistency::strong) const;
  // The same; keys whose record cannot be read until somebody changes something are refused, by index into `keys`, and
  // the others come all the same.
  Result<protocols::ReadResult> read_each(Side side, const Collection& collection,
                                          std::span<const model::Key> keys, Deadline deadline,
                                          model::Consistency consistency = model::Consistency::strong) const;
  // Refusals by index into `records` (mapping refusals included). What the driver takes in one call at most is cut here;
  // an error of a later piece is never surely_not_done. With replace_all or insert_all a record that the mapping cannot carry
  // ends the call before anything is sent.
  Result<protocols::ApplyResult> upsert(Side side, const Collection& collection,
                                        std::span<const model::Record> records, protocols::UpsertMode mode,
                                        Deadline deadline) const;
  // A key that has no form on the target has nothing to erase there: it is done.
  Result<protocols::ApplyResult> erase(Side side, const Collection& collection,
                                       std::span<const model::Key> keys, Deadline deadline) const;
  // A get with limit or offset whose order the target's ids do not keep (Plan::keeps_order) is cut here, among the keys of
  // all matches; above ordered_max of them it is unsupported, "query.order: ...".
  Result<model::QueryResult> query(Side side, const Collection& collection, const model::Query& query,
                                   Deadline deadline) const;
  static constexpr uint64_t ordered_max = 100'000;

 private:
  Result<model::QueryResult> ask_target(const Collection& collection, const model::Query& query,
                                        Deadline deadline) const;
  Result<model::QueryResult> cut_here(const Collection& collection, const model::Query& query,
                                      Deadline deadline) const;

  protocols::Driver& source_;
  protocols::Driver& target_;
};

}  // namespace vmproxy::proxy
