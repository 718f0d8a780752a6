#include "tests/model/search.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <random>
#include <unordered_set>
#include <utility>

#include "tests/model/world.h"

namespace vmproxy::model_check {
namespace {

struct Node {
  uint32_t parent = 0;
  uint32_t depth = 0;
  Step step{};
  Digest digest;
  std::vector<Step> next;
  std::string unfinished;
};

struct DigestHash {
  size_t operator()(const Digest& digest) const { return digest.high ^ digest.low; }
};

std::vector<Step> path_to(const std::vector<Node>& nodes, size_t at) {
  std::vector<Step> path;
  for (; at != 0; at = nodes[at].parent) path.push_back(nodes[at].step);
  std::reverse(path.begin(), path.end());
  return path;
}

std::vector<std::string> texts_of(const Scenario& scenario, const std::vector<Step>& path) {
  std::vector<std::string> texts;
  for (size_t i = 0; i < path.size(); ++i) {
    World world(scenario);
    (void)world.play(std::vector<Step>(path.begin(), path.begin() + static_cast<std::ptrdiff_t>(i)));
    texts.push_back(world.text(path[i]));
  }
  return texts;
}

// What a walk no longer begins once it winds down: everything in flight comes to its end.
bool begins_something(const Step& step) {
  switch (step.act) {
    case Do::begin:
    case Do::client_gone:
    case Do::lost_landed:
    case Do::lost_late:
    case Do::prepare:
    case Do::crash: return true;
    default: return false;
  }
}

constexpr size_t steps_before_winding_down = 60, idle_steps_max = 200, steps_max = 2'000;

class Walker {
 public:
  explicit Walker(uint64_t seed) : random_(seed) {}

  std::optional<Step> operator()(const World::View& view) {
    if (!view.wrong.empty() || path.size() > steps_max) return std::nullopt;
    idle_ = view.digest == last_ ? idle_ + 1 : 0;
    last_ = view.digest;
    const bool winds_down = path.size() >= steps_before_winding_down;
    std::vector<Step> next;
    for (const Step& step : view.next) {
      if (!winds_down || !begins_something(step)) next.push_back(step);
    }
    at_rest = next.empty() || (winds_down && idle_ > idle_steps_max);
    if (at_rest) return std::nullopt;
    path.push_back(next[random_() % next.size()]);
    return path.back();
  }

  std::vector<Step> path;
  bool at_rest = false;

 private:
  std::mt19937_64 random_;
  Digest last_;
  size_t idle_ = 0;
};

// Those steps of the path that can be taken, in its order; and what is wrong then.
std::string wrong_on(const Scenario& scenario, std::vector<Step>& path) {
  std::vector<Step> taken;
  size_t at = 0;
  World world(scenario);
  const auto view = world.play({}, [&](const World::View& now) -> std::optional<Step> {
    if (!now.wrong.empty()) return std::nullopt;
    for (; at < path.size(); ++at) {
      if (std::find(now.next.begin(), now.next.end(), path[at]) == now.next.end()) continue;
      taken.push_back(path[at]);
      return path[at++];
    }
    return std::nullopt;
  });
  path = std::move(taken);
  return view.wrong;
}

std::vector<Step> shortened(const Scenario& scenario, std::vector<Step> path) {
  for (bool shorter = true; shorter;) {
    shorter = false;
    for (size_t i = 0; i < path.size(); ++i) {
      auto less = path;
      less.erase(less.begin() + static_cast<std::ptrdiff_t>(i));
      if (wrong_on(scenario, less).empty()) continue;
      path = std::move(less);
      shorter = true;
    }
  }
  return path;
}

}  // namespace

Found walk(const Scenario& scenario, size_t walks, uint64_t seed) {
  Found found;
  for (size_t i = 0; i < walks; ++i) {
    Walker walker(seed + i);
    World world(scenario);
    const auto view = world.play({}, std::ref(walker));
    found.transitions += walker.path.size();
    found.depth = std::max(found.depth, walker.path.size());
    if (!view.wrong.empty()) {
      const auto path = shortened(scenario, walker.path);
      auto same = path;
      found.violation = wrong_on(scenario, same);
      found.trace = texts_of(scenario, path);
      return found;
    }
    if (walker.at_rest && !view.unfinished.empty()) {
      found.violation = view.unfinished;
      found.trace = texts_of(scenario, walker.path);
      return found;
    }
    found.states += walker.at_rest ? 1 : 0;
  }
  return found;
}

Found search(const Scenario& scenario, const Limits& limits) {
  Found found;
  std::vector<Node> nodes;
  std::unordered_set<Digest, DigestHash> seen;
  const auto began = std::chrono::steady_clock::now();
  const auto spent = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  };
  const auto violated = [&](std::string what, std::vector<Step> path) {
    found.violation = std::move(what);
    found.trace = texts_of(scenario, path);
    found.states = nodes.size();
  };
  {
    World world(scenario);
    auto view = world.play({});
    nodes.push_back({0, 0, {}, view.digest, std::move(view.next), std::move(view.unfinished)});
    seen.insert(view.digest);
    if (!view.wrong.empty()) {
      violated(view.wrong, {});
      return found;
    }
  }
  for (size_t at = 0; at < nodes.size() && nodes[at].depth < limits.depth; ++at) {
    auto path = path_to(nodes, at);
    const auto next = std::move(nodes[at].next);
    const std::string unfinished = std::move(nodes[at].unfinished);
    path.emplace_back();
    bool moved = false;
    for (const Step& step : next) {
      path.back() = step;
      World world(scenario);
      auto view = world.play(path);
      ++found.transitions;
      if (!view.wrong.empty()) {
        violated(view.wrong, path);
        return found;
      }
      // A step that leaves everything as it is leads nowhere.
      const bool fresh = seen.insert(view.digest).second;
      if (fresh) {
        nodes.push_back({static_cast<uint32_t>(at), nodes[at].depth + 1, step, view.digest,
                         std::move(view.next), std::move(view.unfinished)});
        found.depth = std::max<size_t>(found.depth, nodes.back().depth);
      }
      moved = moved || !(view.digest == nodes[at].digest);
    }
    if (!moved && !unfinished.empty()) {
      path.pop_back();
      violated(unfinished, path);
      return found;
    }
    if (nodes.size() > limits.states || spent() > limits.seconds) {
      found.states = nodes.size();
      return found;
    }
  }
  found.states = nodes.size();
  found.exhausted = true;
  return found;
}

}  // namespace vmproxy::model_check
