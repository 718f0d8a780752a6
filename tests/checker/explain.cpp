#include "tests/checker/explain.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace vmproxy::checker {
namespace {

constexpr uint64_t steps_searched_max = 20'000'000;
constexpr uint64_t states_each_max = 100'000;

using Indices = std::vector<uint32_t>;
using Groups = std::vector<Indices>;

class Shrinker {
 public:
  Shrinker(std::span<const Step> steps, uint64_t states_max)
      : steps_(steps.begin(), steps.end()), states_max_(std::min(states_max, states_each_max)) {}

  Indices run() {
    Indices kept(steps_.size());
    std::iota(kept.begin(), kept.end(), 0);
    cut_end(kept);
    for (int round = 0; round < 2; ++round) {
      drop_values(kept);
      drop_reads(kept);
    }
    std::sort(kept.begin(), kept.end(), [this](uint32_t a, uint32_t b) {
      return steps_[a].call != steps_[b].call ? steps_[a].call < steps_[b].call : a < b;
    });
    return kept;
  }

 private:
  // The history as it stood at `end`: what was under way may have happened, or not.
  std::vector<Step> at(Time end, const Indices& kept) const {
    std::vector<Step> steps;
    for (const uint32_t i : kept) {
      Step step = steps_[i];
      const bool open = step.last > end && !step.optional;
      if (step.call > end || (open && step.does == Step::Does::read)) continue;
      step.optional |= open;
      steps.push_back(step);
    }
    return steps;
  }

  bool impossible(const std::vector<Step>& steps) {
    searched_ += steps.size();
    if (searched_ > steps_searched_max) return false;
    return search_register(steps, states_max_).answer == Answer::impossible;
  }
  bool impossible(const Indices& kept) { return impossible(at(end_, kept)); }

  void cut_end(Indices& kept) {
    std::vector<Time> ends;
    for (const Step& step : steps_) {
      if (!step.optional) ends.push_back(step.last);
    }
    std::sort(ends.begin(), ends.end());
    ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
    // Impossible at one moment is impossible at each later one.
    const auto first =
        std::partition_point(ends.begin(), ends.end(), [&](Time end) { return !impossible(at(end, kept)); });
    if (first == ends.end()) return;
    end_ = *first;
    std::erase_if(kept, [&](uint32_t i) {
      const Step& step = steps_[i];
      return step.call > end_ || (step.does == Step::Does::read && step.last > end_);
    });
  }

  // A possible order stays one when all operations of one value are struck out of it, so what is impossible without
  // them is impossible because of the others. Not so where a write depends on what it finds.
  void drop_values(Indices& kept) {
    std::map<uint32_t, Indices> by_value;
    for (const uint32_t i : kept) {
      if (steps_[i].does == Step::Does::write_if_absent) return;
      by_value[steps_[i].value].push_back(i);
    }
    Groups groups;
    for (auto& [value, group] : by_value) groups.push_back(std::move(group));
    // Old values first: most of them have nothing to do with it.
    std::sort(groups.begin(), groups.end(), [this](const Indices& a, const Indices& b) {
      return steps_[a.front()].call < steps_[b.front()].call;
    });
    kept = fewest({}, std::move(groups));
  }

  void drop_reads(Indices& kept) {
    Indices writes;
    Groups reads;
    for (const uint32_t i : kept) {
      if (steps_[i].does == Step::Does::read) {
        reads.push_back({i});
      } else {
        writes.push_back(i);
      }
    }
    kept = fewest(writes, std::move(reads));
  }

  // Drops groups in ever smaller runs for as long as the rest stays impossible.
  Indices fewest(const Indices& fixed, Groups groups) {
    for (size_t run = groups.size(); run > 0; run /= 2) {
      for (size_t from = 0; from < groups.size();) {
        Groups rest(groups.begin(), groups.begin() + static_cast<ptrdiff_t>(from));
        if (from + run < groups.size())
          rest.insert(rest.end(), groups.begin() + static_cast<ptrdiff_t>(from + run), groups.end());
        if (impossible(together(fixed, rest))) {
          groups = std::move(rest);
        } else {
          from += run;
        }
      }
    }
    return together(fixed, groups);
  }

  static Indices together(Indices all, const Groups& groups) {
    for (const Indices& group : groups) all.insert(all.end(), group.begin(), group.end());
    return all;
  }

  std::vector<Step> steps_;
  uint64_t states_max_;
  uint64_t searched_ = 0;
  Time end_ = never;
};

}  // namespace

std::vector<uint32_t> explain_impossible(std::span<const Step> steps, uint64_t states_max) {
  return Shrinker(steps, states_max).run();
}

}  // namespace vmproxy::checker
