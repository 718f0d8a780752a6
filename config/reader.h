// Reader: takes typed values out of a document's maps and collects what is wrong with them, all at once, each
// with its position. Values that stand in `secret` fields are never repeated in a message; of others only the
// text as written (with `${NAME}` unreplaced) is.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/document.h"
#include "config/nearest.h"
#include "config/reference.h"
#include "config/units.h"

namespace vmproxy::config {

struct Context {
  std::string origin;
  std::string directory;  // where relative paths begin
  Lookup variable;
  std::vector<std::pair<Position, std::string>> problems;

  void problem(Position at, std::string_view text) { problems.emplace_back(at, text); }
  // One per line, in the order of the file.
  std::string report();
};

// One map of the document. Ask for each known key, then finish(): what was not asked for is unknown.
class MapReader {
 public:
  // `path` for messages: "journal", "" at the top.
  MapReader(const Node& node, std::string path, Context& context);

  // The value's node, or nullptr when absent or null.
  const Node* find(const std::string& key);
  // Where `key` stands, else where the map begins.
  Position at(const std::string& key) const;
  // Complains, with an example of what to write, when the key is absent or null.
  bool require(const std::string& key, const std::string& example);

  // Each leaves `out` alone when the key is absent or wrong. True when it was set.
  bool text(const std::string& key, std::string& out);
  bool secret(const std::string& key, std::string& out);
  bool path(const std::string& key, std::string& out);  // relative ones become relative to the file
  bool boolean(const std::string& key, bool& out);
  bool bytes(const std::string& key, uint64_t& out, uint64_t least);
  bool duration(const std::string& key, Duration& out, Duration least);
  bool duration(const std::string& key, Duration& out, std::chrono::seconds least, std::chrono::seconds most);
  bool number(const std::string& key, double& out);
  // `word`, when given, is allowed too and stands for 0 ("auto").
  bool count(const std::string& key, size_t& out, size_t least, size_t most, const std::string& word = "");
  template <class T>
  bool choice(const std::string& key, T& out, const std::vector<std::pair<std::string, T>>& allowed) {
    std::string value;
    if (!text(key, value)) return false;
    std::vector<std::string> names;
    for (const auto& [name, meaning] : allowed) {
      if (name == value) {
        out = meaning;
        return true;
      }
      names.push_back(name);
    }
    wrong_choice(key, names);
    return false;
  }

  std::string name_of(const std::string& key) const { return path_.empty() ? key : path_ + '.' + key; }
  void wrong(const std::string& key, const std::string& must_be);
  void finish();

 private:
  const Node::Member* member(const std::string& key) const;
  void wrong_choice(const std::string& key, const std::vector<std::string>& names);

  const Node& node_;
  std::string path_;
  Context& context_;
  bool is_map_;
  std::vector<std::string> known_;
};

// A scalar's text with references replaced. Nothing after a complaint.
std::optional<std::string> scalar_text(const Node& node, const std::string& name, Context& context);

}  // namespace vmproxy::config
