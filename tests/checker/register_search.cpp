#include "tests/checker/register_search.h"

#include <algorithm>
#include <boost/unordered/unordered_flat_set.hpp>
#include <vector>

namespace vmproxy::checker {
namespace {

struct Hash {
  uint64_t low = 0, high = 0;

  friend bool operator==(const Hash&, const Hash&) = default;
  friend Hash operator^(const Hash& a, const Hash& b) { return {a.low ^ b.low, a.high ^ b.high}; }
};

struct HashOfHash {
  size_t operator()(const Hash& hash) const { return hash.low; }
};

// The finaliser of splitmix64.
uint64_t mixed(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}
Hash hash_of_step(uint32_t step) {
  return {mixed(step), mixed(step + (1ULL << 40))};
}
Hash hash_of_value(uint32_t value) {
  return {mixed(value + (2ULL << 40)), mixed(value + (3ULL << 40))};
}

// Which optional writes are tried. Where a condition may depend on what it finds, any of them may matter (all);
// but most histories are explained by those that a waiting read needs (wanted), and there are far fewer of these. An
// order that is found with them is an order; only that there is none says nothing.
enum class OptionalWrites : uint8_t { wanted, all };

// Depth first. The state is the set of steps that were taken and the value; everything else follows from the set.
class Search {
 public:
  Search(std::span<const Step> steps, uint64_t states_max, OptionalWrites tried);
  SearchResult run() { return {explore(), states_.size()}; }

 private:
  // A state to come back to, with the moves from it that were not tried yet.
  struct Frame {
    size_t trail;
    uint32_t value;
    uint32_t epoch;
    Time call_max;
    size_t moves_begin, moves_next, moves_end;
  };

  Answer explore();
  void take(uint32_t step);
  void back_to(const Frame& frame);
  void take_matching_reads();
  bool new_state() { return states_.insert(taken_hash_ ^ hash_of_value(value_)).second; }
  void open_frame();
  void collect_moves();
  void collect_optional(uint32_t value, Time window);
  bool forbids_optional(Time call) const;
  bool epoch_fits(const Step& step) const { return step.epoch == 0 || step.epoch >= epoch_; }
  uint32_t value_after(const Step& step) const;
  bool is_wanted(uint32_t value) const { return std::binary_search(wanted_.begin(), wanted_.end(), value); }

  // The steps in order of their calls; values are renumbered 0 (absent), 1, 2 ...
  std::vector<Step> steps_;
  uint32_t end_ = 0;  // the list's head and end
  // The steps that must still be taken, linked in order of their calls.
  std::vector<uint32_t> next_, previous_;
  size_t required_left_ = 0;
  const bool every_optional_matters_;  // some step may depend on what it finds
  // By value.
  std::vector<uint32_t> reads_left_, writes_left_;
  std::vector<std::vector<uint32_t>> optional_of_;  // in order of call
  std::vector<uint32_t> optional_by_last_;
  std::vector<bool> optional_taken_;

  uint32_t value_ = 0;
  uint32_t epoch_ = 0;
  Time call_max_ = before_all;  // of all steps that were taken
  Hash taken_hash_;
  std::vector<uint32_t> trail_;  // the steps that were taken, in order

  std::vector<Frame> frames_;
  std::vector<uint32_t> moves_;   // of all frames, one after the other
  std::vector<uint32_t> wanted_;  // values that reads of the window wait for, sorted
  boost::unordered_flat_set<Hash, HashOfHash> states_;
  uint64_t states_max_;
  uint64_t visits_ = 0;
  uint64_t visits_max_;
};

Search::Search(std::span<const Step> steps, uint64_t states_max, OptionalWrites tried)
    : steps_(steps.begin(), steps.end()),
      every_optional_matters_(tried == OptionalWrites::all),
      states_max_(states_max),
      visits_max_(64 * (states_max + steps.size())) {
  std::sort(steps_.begin(), steps_.end(), [](const Step& a, const Step& b) { return a.call < b.call; });
  std::vector<uint32_t> values{0};
  for (const Step& step : steps_) values.push_back(step.value);
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  reads_left_.resize(values.size());
  writes_left_.resize(values.size());
  optional_of_.resize(values.size());
  optional_taken_.resize(steps_.size());
  next_.resize(steps_.size() + 1);
  previous_.resize(steps_.size() + 1);
  end_ = static_cast<uint32_t>(steps_.size());

  uint32_t tail = end_;
  for (uint32_t i = 0; i < end_; ++i) {
    Step& step = steps_[i];
    step.value =
        static_cast<uint32_t>(std::lower_bound(values.begin(), values.end(), step.value) - values.begin());
    ++(step.does == Step::Does::read ? reads_left_ : writes_left_)[step.value];
    if (step.optional) {
      optional_of_[step.value].push_back(i);
      optional_by_last_.push_back(i);
      continue;
    }
    next_[tail] = i;
    previous_[i] = tail;
    tail = i;
    ++required_left_;
  }
  next_[tail] = end_;
  previous_[end_] = tail;
  std::sort(optional_by_last_.begin(), optional_by_last_.end(),
            [this](uint32_t a, uint32_t b) { return steps_[a].last < steps_[b].last; });
}

Answer Search::explore() {
  take_matching_reads();
  if (required_left_ == 0) return Answer::possible;
  new_state();
  open_frame();
  while (!frames_.empty()) {
    Frame& top = frames_.back();
    back_to(top);
    if (top.moves_next == top.moves_end) {
      moves_.resize(top.moves_begin);
      frames_.pop_back();
      continue;
    }
    take(moves_[top.moves_next++]);
    take_matching_reads();
    if (required_left_ == 0) return Answer::possible;
    if (!new_state()) continue;
    if (states_.size() > states_max_ || visits_ > visits_max_) return Answer::gave_up;
    open_frame();
  }
  return Answer::impossible;
}

uint32_t Search::value_after(const Step& step) const {
  if (step.does == Step::Does::write) return step.value;
  return step.does == Step::Does::write_if_absent && value_ == 0 ? step.value : value_;
}

void Search::take(uint32_t i) {
  const Step& step = steps_[i];
  value_ = value_after(step);
  call_max_ = std::max(call_max_, step.call);
  epoch_ = std::max(epoch_, step.epoch);
  --(step.does == Step::Does::read ? reads_left_ : writes_left_)[step.value];
  if (step.optional) {
    optional_taken_[i] = true;
  } else {
    next_[previous_[i]] = next_[i];
    previous_[next_[i]] = previous_[i];
    --required_left_;
  }
  taken_hash_ = taken_hash_ ^ hash_of_step(i);
  trail_.push_back(i);
}

void Search::back_to(const Frame& frame) {
  while (trail_.size() > frame.trail) {
    const uint32_t i = trail_.back();
    trail_.pop_back();
    const Step& step = steps_[i];
    ++(step.does == Step::Does::read ? reads_left_ : writes_left_)[step.value];
    if (step.optional) {
      optional_taken_[i] = false;
    } else {
      next_[previous_[i]] = i;
      previous_[next_[i]] = i;
      ++required_left_;
    }
    taken_hash_ = taken_hash_ ^ hash_of_step(i);
  }
  value_ = frame.value;
  epoch_ = frame.epoch;
  call_max_ = frame.call_max;
}

// A read that finds its value changes nothing, so it may as well be taken at once, unless an optional write would
// come too late after it. The window: what began before any step that must still be taken has ended.
void Search::take_matching_reads() {
  Time window = never;
  for (uint32_t i = next_[end_]; i != end_ && steps_[i].call <= window; i = next_[i]) {
    ++visits_;
    const Step& step = steps_[i];
    if (step.does == Step::Does::read && step.value == value_ && !forbids_optional(step.call)) {
      take(i);  // its own links stay as they were
    } else {
      window = std::min(window, step.last);
    }
  }
}

// Whether taking a step with this call rules out an optional write that could still be of use.
bool Search::forbids_optional(Time call) const {
  auto at = std::lower_bound(optional_by_last_.begin(), optional_by_last_.end(), call_max_,
                             [this](uint32_t i, Time time) { return steps_[i].last < time; });
  for (; at != optional_by_last_.end() && steps_[*at].last < call; ++at) {
    if (!optional_taken_[*at] && (every_optional_matters_ || reads_left_[steps_[*at].value] > 0)) return true;
  }
  return false;
}

void Search::open_frame() {
  const size_t begin = moves_.size();
  collect_moves();
  frames_.push_back({trail_.size(), value_, epoch_, call_max_, begin, begin, moves_.size()});
}

void Search::collect_moves() {
  const size_t begin = moves_.size();
  // Nobody can write the value again, and somebody has still to read it.
  const bool must_stay = reads_left_[value_] > 0 && writes_left_[value_] == 0;
  bool reads_wait = false;
  Time window = never;
  wanted_.clear();
  for (uint32_t i = next_[end_]; i != end_ && steps_[i].call <= window; i = next_[i]) {
    ++visits_;
    const Step& step = steps_[i];
    window = std::min(window, step.last);
    if (step.does == Step::Does::read && step.value != value_) {
      wanted_.push_back(step.value);
      continue;
    }
    if (step.does != Step::Does::read && !epoch_fits(step)) {
      moves_.resize(begin);  // it can never be taken
      return;
    }
    reads_wait |= step.does == Step::Does::read;
    if (!must_stay || value_after(step) == value_) moves_.push_back(i);
  }
  if (must_stay) return;

  // A write that nobody reads may come first of the writes: what it overwrites is overwritten in any case.
  if (!every_optional_matters_ && !reads_wait) {
    for (size_t at = begin; at < moves_.size(); ++at) {
      const Step& step = steps_[moves_[at]];
      if (reads_left_[step.value] > 0 || (step.epoch != 0 && step.epoch != epoch_) ||
          forbids_optional(step.call))
        continue;
      moves_[begin] = moves_[at];
      moves_.resize(begin + 1);
      return;
    }
  }

  // An optional write is taken only where a read follows it that needs it, or where a condition may depend on it.
  std::sort(wanted_.begin(), wanted_.end());
  wanted_.erase(std::unique(wanted_.begin(), wanted_.end()), wanted_.end());
  if (every_optional_matters_) {
    for (uint32_t value = 0; value < optional_of_.size(); ++value) collect_optional(value, window);
  } else {
    for (const uint32_t value : wanted_) collect_optional(value, window);
  }
  std::sort(moves_.begin() + static_cast<ptrdiff_t>(begin), moves_.end(), [this](uint32_t a, uint32_t b) {
    const bool wanted_a = is_wanted(value_after(steps_[a])), wanted_b = is_wanted(value_after(steps_[b]));
    return wanted_a != wanted_b ? wanted_a : steps_[a].last < steps_[b].last;
  });
}

// Of two that do the same, the one that both begins and ends earlier will do.
void Search::collect_optional(uint32_t value, Time window) {
  const size_t begin = moves_.size();
  for (const uint32_t i : optional_of_[value]) {
    ++visits_;
    const Step& step = steps_[i];
    if (step.call > window) break;
    if (optional_taken_[i] || step.last < call_max_ || !epoch_fits(step) || value_after(step) == value_)
      continue;
    const bool replaceable =
        std::any_of(moves_.begin() + static_cast<ptrdiff_t>(begin), moves_.end(), [&](uint32_t other) {
          return steps_[other].does == step.does && steps_[other].epoch == step.epoch &&
                 steps_[other].last <= step.last;
        });
    if (!replaceable) moves_.push_back(i);
  }
}

bool is_conditional(const Step& step) {
  return step.does == Step::Does::write_if_absent;
}

}  // namespace

SearchResult search_register(std::span<const Step> steps, uint64_t states_max) {
  if (std::none_of(steps.begin(), steps.end(), is_conditional))
    return Search(steps, states_max, OptionalWrites::wanted).run();
  // Each of the two is sometimes lost where the other finds an order at once: they take turns, and more each time.
  uint64_t states = 0;
  for (uint64_t turn = std::min<uint64_t>(10'000, states_max);; turn = std::min(turn * 10, states_max)) {
    for (const OptionalWrites tried : {OptionalWrites::wanted, OptionalWrites::all}) {
      SearchResult result = Search(steps, turn, tried).run();
      result.states = states += result.states;
      const bool says_something = tried == OptionalWrites::all || result.answer != Answer::impossible;
      if (result.answer != Answer::gave_up && says_something) return result;
    }
    if (turn == states_max) return {Answer::gave_up, states};
  }
}

}  // namespace vmproxy::checker
