#include "brute_force.h"

#include <algorithm>
#include <vector>

namespace vmproxy::checker {
namespace {

struct Tried {
  std::vector<bool> taken;
  uint32_t value = 0;
  uint32_t epoch = 0;
};

bool may_come_next(std::span<const Step> steps, const Tried& so_far, size_t next) {
  const Step& step = steps[next];
  if (so_far.taken[next]) return false;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (i == next) continue;
    const bool must_come_before = steps[i].last < step.call && !steps[i].optional;
    const bool must_come_after = step.last < steps[i].call;
    if (so_far.taken[i] ? must_come_after : must_come_before) return false;
  }
  if (step.does == Step::Does::read) return step.value == so_far.value;
  return step.epoch == 0 || step.epoch >= so_far.epoch;
}

bool possible_from(std::span<const Step> steps, const Tried& so_far) {
  bool all = true;
  for (size_t i = 0; i < steps.size(); ++i) all &= so_far.taken[i] || steps[i].optional;
  if (all) return true;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (!may_come_next(steps, so_far, i)) continue;
    Tried next = so_far;
    next.taken[i] = true;
    const Step& step = steps[i];
    if (step.does == Step::Does::write || (step.does == Step::Does::write_if_absent && next.value == 0))
      next.value = step.value;
    next.epoch = std::max(next.epoch, step.epoch);
    if (possible_from(steps, next)) return true;
  }
  return false;
}

}  // namespace

bool possible_by_trying(std::span<const Step> steps) {
  return possible_from(steps, Tried{.taken = std::vector<bool>(steps.size())});
}

}  // namespace vmproxy::checker
