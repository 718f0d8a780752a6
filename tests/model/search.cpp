#include "tests/model/search.h"

#include <algorithm>
#include <chrono>
#include <unordered_set>

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

}  // namespace

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
  for (size_t at = 0; at < nodes.size(); ++at) {
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
