#include "config/document.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <optional>
#include <sstream>

#include "config/reference.h"

namespace vmproxy::config {
namespace {

constexpr size_t text_bytes_max = 1 << 20;
constexpr size_t depth_max = 32;

struct Refused {
  Position at;
  std::string text;
};

Position position_of(const YAML::Mark& mark) {
  return {mark.line + 1, mark.column + 1};
}

// Builds the tree from the parser's events. Throws Refused at the first thing that a configuration may not
// hold.
class Builder final : public YAML::EventHandler {
 public:
  Node root;

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Node node;
    node.at = position_of(mark);
    add(std::move(node), anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Refused{position_of(mark),
                  "aliases ('*name') are not supported; write the value again, or use '${NAME}'"};
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Node node;
    node.kind = Node::Kind::scalar;
    node.at = position_of(mark);
    node.quoted = tag != "?";
    node.scalar = show_references(value);
    if (!node.quoted && (value == "~" || value == "null" || value.empty())) node.kind = Node::Kind::null;
    add(std::move(node), anchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(Node::Kind::sequence, mark, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(Node::Kind::map, mark, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Level {
    Node node;
    std::optional<Node> key;
  };

  void open(Node::Kind kind, const YAML::Mark& mark, YAML::anchor_t anchor) {
    const Position at = position_of(mark);
    if (levels_.size() >= depth_max)
      throw Refused{at, "nested more than " + std::to_string(depth_max) + " levels deep"};
    if (anchor != 0) refuse_anchor(at);
    Node node;
    node.kind = kind;
    node.at = at;
    levels_.push_back({std::move(node), std::nullopt});
  }
  void close() {
    Node done = std::move(levels_.back().node);
    levels_.pop_back();
    add(std::move(done), 0);
  }
  void add(Node node, YAML::anchor_t anchor) {
    if (anchor != 0) refuse_anchor(node.at);
    if (levels_.empty()) {
      root = std::move(node);
      return;
    }
    Level& level = levels_.back();
    if (level.node.kind == Node::Kind::sequence) {
      level.node.items.push_back(std::move(node));
    } else if (!level.key) {
      if (node.kind != Node::Kind::scalar) throw Refused{node.at, "a key must be a plain word"};
      for (const auto& member : level.node.members) {
        if (member.key == node.scalar) {
          throw Refused{node.at, "'" + node.scalar + "' is given twice; the first is at line " +
                                     std::to_string(member.at.line) + ". Remove one of them"};
        }
      }
      level.key = std::move(node);
    } else {
      level.node.members.push_back({std::move(level.key->scalar), level.key->at, std::move(node)});
      level.key.reset();
    }
  }
  [[noreturn]] static void refuse_anchor(Position at) {
    throw Refused{at, "anchors ('&name') are not supported; write the value where it is needed"};
  }

  std::vector<Level> levels_;
};

// Control characters have no business in YAML, and yaml-cpp takes byte 4 for the end of the file.
std::optional<Refused> find_bad_byte(std::string_view text) {
  Position at{1, 1};
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\r' && c != '\t') || byte == 0x7f) {
      return Refused{at, "a control character (byte " + std::to_string(byte) +
                             ") is not allowed here; is this a YAML file?"};
    }
    ++at.column;
    if (c == '\n') at = {at.line + 1, 1};
  }
  return std::nullopt;
}

}  // namespace

std::string located(std::string_view origin, Position at, std::string_view text) {
  return std::string(origin) + ':' + std::to_string(at.line) + ':' + std::to_string(at.column) + ": " +
         std::string(text);
}

Result<Node> parse_document(std::string_view text, std::string_view origin) {
  if (text.size() > text_bytes_max) {
    return Error(Code::invalid,
                 std::string(origin) + ": larger than 1 MiB; this is no configuration of vmproxy");
  }
  if (const auto bad = find_bad_byte(text)) return Error(Code::invalid, located(origin, bad->at, bad->text));
  std::istringstream stream(hide_references(text));
  Builder builder;
  try {
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) builder.root.kind = Node::Kind::null;
    Builder second;
    if (parser.HandleNextDocument(second)) {
      return Error(Code::invalid,
                   located(origin, second.root.at, "a second YAML document begins here; keep one per file"));
    }
  } catch (const Refused& refused) {
    return Error(Code::invalid, located(origin, refused.at, refused.text));
  } catch (const YAML::Exception& failure) {
    return Error(Code::invalid, located(origin, position_of(failure.mark), "not valid YAML: " + failure.msg));
  }
  if (builder.root.kind == Node::Kind::null) builder.root.kind = Node::Kind::map;
  if (builder.root.at.line == 0) builder.root.at = {1, 1};
  return std::move(builder.root);
}

}  // namespace vmproxy::config
