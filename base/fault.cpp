#include "base/fault.h"

#ifdef VMPROXY_FAULTS
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/log.h"
#endif

namespace vmproxy::fault {

#ifndef VMPROXY_FAULTS

Result<void> arm(std::string_view text) {
  if (text.empty()) return {};
  return Error(Code::unsupported, "this build has no fault points, so none can be armed");
}

#else

constinit std::atomic<bool> active{false};

namespace {

constexpr size_t rules_max = 100;
constexpr uint64_t delay_ms_max = 60'000;

struct Rule {
  size_t point = 0;
  uint64_t nth = 0;  // 0: each
  Action action = kill;
  uint64_t amount = 0;  // of delay and short
  uint64_t seen = 0;
};

// The one thing here that belongs to the process and to no object: a point is a place in the code.
struct State {
  std::array<std::atomic<uint64_t>, points_count> hits{};
  std::mutex mutex;  // what follows
  std::string text;
  std::vector<Rule> rules;
};
State& state() {
  static State& kept = *new State;  // threads may pass points while the process ends
  return kept;
}

struct Word {
  std::string_view text;
  Action action;
  bool takes_amount;
};
constexpr Word words[] = {{"kill", kill, false}, {"delay", delay, true},       {"fail", fail, false},
                          {"drop", drop, false}, {"short", short_write, true}, {"full", full, false}};

Error bad(std::string_view item, const std::string& why) {
  return {Code::invalid, "fault point '" + std::string(item.substr(0, 200)) + "': " + why};
}

std::optional<uint64_t> number_of(std::string_view text) {
  uint64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size())
    return std::nullopt;
  return number;
}

// Up to `end`, which goes as well.
std::string_view cut_off(std::string_view& text, char end) {
  const size_t at = std::min(text.find(end), text.size());
  const std::string_view head = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return head;
}

Result<Rule> rule_of(std::string_view item) {
  std::string_view rest = item;
  const std::string_view name = cut_off(rest, ':');
  const std::string_view nth = cut_off(rest, ':');
  const std::string_view action = cut_off(rest, '=');
  Rule rule;
  while (rule.point < points_count && points[rule.point].name != name) ++rule.point;
  if (rule.point == points_count)
    return bad(item,
               "there is no '" + std::string(name.substr(0, 60)) + "'; `vmproxy debug faults` lists them");
  const auto number = number_of(nth);
  if (nth != "*" && (!number || *number == 0))
    return bad(item, "NAME:NTH:ACTION is needed, NTH being a number from 1, or * for each hit");
  if (nth != "*") rule.nth = *number;
  const Word* word = nullptr;
  for (const Word& known : words) {
    if (known.text == action) word = &known;
  }
  const std::string able = names_of(points[rule.point].actions);
  if (word == nullptr) return bad(item, "no such action; this point takes " + able);
  if ((points[rule.point].actions & word->action) == 0)
    return bad(item, "this point does not take '" + std::string(action) + "'; it takes " + able);
  const auto amount = number_of(rest);
  if (word->takes_amount && !amount)
    return bad(item, "'" + std::string(action) + "' needs a number, as in " + std::string(action) + "=10");
  if (!word->takes_amount && item.find('=') != item.npos)
    return bad(item, "'" + std::string(action) + "' takes no number");
  if (word->action == delay && *amount > delay_ms_max)
    return bad(item, "a delay is at most " + std::to_string(delay_ms_max) + " ms");
  rule.action = word->action;
  rule.amount = amount.value_or(0);
  return rule;
}

Result<std::vector<Rule>> rules_of(std::string_view text) {
  std::vector<Rule> rules;
  if (text.empty() || text == "count") return rules;
  for (bool more = true; more;) {
    more = text.find(',') != text.npos;
    auto rule = rule_of(cut_off(text, ','));
    if (!rule) return rule.error();
    if (rules.size() == rules_max)
      return Error(Code::invalid, "more than " + std::to_string(rules_max) + " fault points");
    rules.push_back(*rule);
  }
  return rules;
}

[[noreturn]] void die() {
  while (true) ::kill(::getpid(), SIGKILL);
}

}  // namespace

Result<void> arm(std::string_view text) {
  auto rules = rules_of(text);
  if (!rules) return rules.error();
  State& all = state();
  std::lock_guard hold(all.mutex);
  all.text = text;
  all.rules = std::move(*rules);
  for (auto& count : all.hits) count = 0;
  active = !text.empty();
  return {};
}

std::string armed() {
  std::lock_guard hold(state().mutex);
  return state().text;
}

uint64_t hits(size_t point) {
  return state().hits.at(point);
}

std::string names_of(unsigned actions) {
  std::string names;
  for (const Word& word : words) {
    if ((actions & word.action) != 0) names += (names.empty() ? "" : ", ") + std::string(word.text);
  }
  return names;
}

Hit reached(size_t point) {
  State& all = state();
  all.hits[point].fetch_add(1, std::memory_order_relaxed);
  Hit hit;
  bool dies = false;
  uint64_t wait_ms = 0;
  {
    std::lock_guard hold(all.mutex);
    for (Rule& rule : all.rules) {
      if (rule.point != point) continue;
      ++rule.seen;
      if (rule.nth != 0 && rule.nth != rule.seen) continue;
      switch (rule.action) {
        case kill: dies = true; break;
        case delay: wait_ms += rule.amount; break;
        case fail: hit.fails = true; break;
        case drop: hit.drops = true; break;
        case short_write: hit.bytes_max = rule.amount; break;
        case full: hit.full = true; break;
      }
      if (rule.nth != 0 || rule.seen == 1)
        log::warn("a fault point acts",
                  {{"name", points[point].name}, {"action", names_of(rule.action)}, {"hit", rule.seen}});
    }
  }
  if (wait_ms > 0) std::this_thread::sleep_for(std::chrono::milliseconds(wait_ms));
  if (dies) die();
  return hit;
}

#endif

}  // namespace vmproxy::fault
