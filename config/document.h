// Document: a YAML text as a tree of our own, with a position for every node. The only place that knows
// yaml-cpp. Refused, because a configuration needs none of it and each has hurt somebody: duplicate keys,
// anchors and aliases, several documents, keys that are not plain words, more than 32 levels, more than 1
// MiB.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace vmproxy::config {

struct Position {
  int line = 0;    // from 1
  int column = 0;  // from 1, in bytes
};

struct Node {
  enum class Kind { null, scalar, sequence, map };
  struct Member;

  Kind kind = Kind::null;
  Position at;
  std::string scalar;  // as written, `${...}` not yet replaced
  bool quoted = false;
  std::vector<Node> items;      // sequence
  std::vector<Member> members;  // map, in order
};
struct Node::Member {
  std::string key;
  Position at;
  Node value;
};

// "origin:line:column: text".
std::string located(std::string_view origin, Position at, std::string_view text);

// An empty text is an empty map. Error invalid with the position.
Result<Node> parse_document(std::string_view text, std::string_view origin);

}  // namespace vmproxy::config
