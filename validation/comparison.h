// Comparison: one collection's records on both sides, read and judged in the source's form. Knows no time and
// keeps nothing. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "validation/validation.h"

namespace vmproxy::validation {

using journal::Side;

// What one side showed for a key: a record, or one that cannot be read or brought into the source's form, or nothing.
struct Found {
  std::optional<model::Record> record;
  std::string problem;

  bool absent() const { return !record && problem.empty(); }
};

// Both sides at about one time.
struct Look {
  Found source, target;

  const Found& of(Side side) const { return side == Side::source ? source : target; }
};

struct Mismatch {
  enum class Kind { missing, extra, different };
  Kind kind;
  std::string detail;
};
std::string_view name_of(Mismatch::Kind kind);

class Comparison {
 public:
  Comparison(const Job& job, protocols::Driver& source, protocols::Driver& target);

  // By source keys; keys that are not in the result are absent.
  Result<std::map<model::Key, Found>> read(Side side, std::span<const model::Key> keys,
                                           protocols::ReadParts parts, Deadline deadline) const;
  // The follower first: a write that ends in between then shows as a changed primary. With `follower_ready` the
  // follower once that returns and the primary beside it: for a primary that does not change any more.
  Result<std::map<model::Key, Look>> look(
      std::span<const model::Key> keys, Side primary, Deadline deadline,
      const std::function<Result<void>()>& follower_ready = nullptr) const;

  // Nothing: equal, or absent on both.
  std::optional<Mismatch> judge(const Look& look, Side primary) const;
  // Did neither side change between two looks?
  static bool unchanged(const Look& before, const Look& now);

  const model::CollectionName& name() const { return job_.name; }
  const mapping::Plan& plan() const { return *plan_; }

 private:
  std::optional<std::string> difference(const model::Record& source, const model::Record& target) const;

  const Job job_;
  std::shared_ptr<const mapping::Plan> plan_;
  protocols::Driver& source_;
  protocols::Driver& target_;
};

}  // namespace vmproxy::validation
