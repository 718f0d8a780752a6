#include "config/reader.h"

#include <algorithm>
#include <filesystem>
#include <tuple>

namespace vmproxy::config {
namespace {

const char* kind_name(Node::Kind kind) {
  switch (kind) {
    case Node::Kind::null: return "nothing";
    case Node::Kind::scalar: return "a single value";
    case Node::Kind::sequence: return "a list";
    case Node::Kind::map: return "a map";
  }
  return "something else";
}

}  // namespace

std::optional<std::string> scalar_text(const Node& node, const std::string& name, Context& context) {
  if (node.kind != Node::Kind::scalar) {
    context.problem(node.at, "'" + name + "' must be a single value, not " + kind_name(node.kind));
    return std::nullopt;
  }
  auto expanded = expand(node.scalar, context.directory, context.variable);
  if (expanded) return *expanded;
  Position at = node.at;
  // Exact for values on one line without escapes, which is what addresses, names and tokens are.
  at.column += static_cast<int>(expanded.error().offset) + (node.quoted ? 1 : 0);
  context.problem(at, "'" + name + "': " + expanded.error().text);
  return std::nullopt;
}

std::string Context::report() {
  std::sort(problems.begin(), problems.end(), [](const auto& a, const auto& b) {
    return std::tie(a.first.line, a.first.column, a.second) <
           std::tie(b.first.line, b.first.column, b.second);
  });
  std::string all;
  for (const auto& [at, text] : problems) all += (all.empty() ? "" : "\n") + located(origin, at, text);
  return all;
}

MapReader::MapReader(const Node& node, std::string path, Context& context)
    : node_(node), path_(std::move(path)), context_(context), is_map_(node.kind == Node::Kind::map) {
  if (!is_map_ && node.kind != Node::Kind::null) {
    context_.problem(node.at, (path_.empty() ? "the file" : "'" + path_ + "'") +
                                  std::string(" must be a map of keys and values, not ") +
                                  kind_name(node.kind));
  }
}

const Node::Member* MapReader::member(const std::string& key) const {
  for (const auto& candidate : node_.members) {
    if (candidate.key == key) return &candidate;
  }
  return nullptr;
}

const Node* MapReader::find(const std::string& key) {
  known_.push_back(key);
  const Node::Member* found = member(key);
  return found && found->value.kind != Node::Kind::null ? &found->value : nullptr;
}

Position MapReader::at(const std::string& key) const {
  const Node::Member* found = member(key);
  if (!found) return node_.at;
  return found->value.at.line > 0 ? found->value.at : found->at;
}

bool MapReader::require(const std::string& key, const std::string& example) {
  if (find(key)) return true;
  if (is_map_ || node_.kind == Node::Kind::null) {
    context_.problem(at(key), "'" + name_of(key) + "' is missing; write for example " + example);
  }
  return false;
}

bool MapReader::text(const std::string& key, std::string& out) {
  const Node* node = find(key);
  if (!node) return false;
  auto value = scalar_text(*node, name_of(key), context_);
  if (!value) return false;
  out = std::move(*value);
  return true;
}

bool MapReader::secret(const std::string& key, std::string& out) {
  if (!text(key, out)) return false;
  if (out.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos) return true;
  context_.problem(at(key),
                   "'" + name_of(key) + "' holds a line break or a zero byte, which no header can carry");
  out.clear();
  return false;
}

bool MapReader::path(const std::string& key, std::string& out) {
  std::string value;
  if (!text(key, value)) return false;
  if (value.empty() || value.find('\0') != std::string::npos) {
    wrong(key, "the path of a file");
    return false;
  }
  out = (std::filesystem::path(context_.directory) / value).lexically_normal().string();
  return true;
}

bool MapReader::boolean(const std::string& key, bool& out) {
  std::string value;
  if (!text(key, value)) return false;
  if (value == "true" || value == "false") {
    out = value == "true";
    return true;
  }
  wrong(key, "true or false");
  return false;
}

bool MapReader::bytes(const std::string& key, uint64_t& out, uint64_t least) {
  std::string value;
  if (!text(key, value)) return false;
  const auto parsed = parse_bytes(value);
  if (parsed && *parsed >= least) {
    out = *parsed;
    return true;
  }
  wrong(key, "a size like 256MiB or 50GiB" +
                 (least > 0 ? ", at least " + std::to_string(least) + " bytes" : std::string()));
  return false;
}

bool MapReader::duration(const std::string& key, Duration& out, Duration least) {
  std::string value;
  if (!text(key, value)) return false;
  const auto parsed = parse_duration(value);
  if (parsed && *parsed >= least) {
    out = *parsed;
    return true;
  }
  wrong(key,
        std::string("a duration like 20ms, 2s or 5m") + (least > Duration::zero() ? ", more than 0" : ""));
  return false;
}

bool MapReader::duration(const std::string& key, Duration& out, std::chrono::seconds least,
                         std::chrono::seconds most) {
  std::string value;
  if (!text(key, value)) return false;
  const auto parsed = parse_duration(value);
  if (parsed && *parsed >= least && *parsed <= most) {
    out = *parsed;
    return true;
  }
  wrong(key,
        "a duration from " + std::to_string(least.count()) + "s to " + std::to_string(most.count()) + "s");
  return false;
}

bool MapReader::number(const std::string& key, double& out) {
  std::string value;
  if (!text(key, value)) return false;
  const auto parsed = parse_number(value);
  if (parsed) {
    out = *parsed;
    return true;
  }
  wrong(key, "a number like 5000, 0 for no limit");
  return false;
}

bool MapReader::count(const std::string& key, size_t& out, size_t least, size_t most,
                      const std::string& word) {
  std::string value;
  if (!text(key, value)) return false;
  if (!word.empty() && value == word) {
    out = 0;
    return true;
  }
  const auto parsed = parse_count(value);
  if (parsed && *parsed >= least && *parsed <= most) {
    out = static_cast<size_t>(*parsed);
    return true;
  }
  wrong(key, (word.empty() ? std::string() : word + " or ") + "a whole number from " + std::to_string(least) +
                 " to " + std::to_string(most));
  return false;
}

void MapReader::wrong(const std::string& key, const std::string& must_be) {
  const Node::Member* found = member(key);
  std::string shown;
  if (found && found->value.kind == Node::Kind::scalar) {
    constexpr size_t shown_max = 60;
    shown = ", not '" + found->value.scalar.substr(0, shown_max) +
            (found->value.scalar.size() > shown_max ? "..." : "") + "'";
  }
  context_.problem(at(key), "'" + name_of(key) + "' must be " + must_be + shown);
}

void MapReader::wrong_choice(const std::string& key, const std::vector<std::string>& names) {
  const Node::Member* found = member(key);
  const auto close = found ? nearest(found->value.scalar, names) : std::nullopt;
  wrong(key, one_of(names));
  if (close) context_.problems.back().second += "; did you mean '" + *close + "'?";
}

void MapReader::finish() {
  for (const auto& candidate : node_.members) {
    if (std::find(known_.begin(), known_.end(), candidate.key) != known_.end()) continue;
    std::string text = "unknown key '" + candidate.key + "'" + (path_.empty() ? "" : " in '" + path_ + "'");
    if (const auto close = nearest(candidate.key, known_)) {
      text += "; did you mean '" + *close + "'?";
    } else {
      text += "; known here: " + one_of(known_);
    }
    context_.problem(candidate.at, text);
  }
}

}  // namespace vmproxy::config
