#include "tests/checker/describe.h"

#include <algorithm>

#include "protocols/wire/json.h"

namespace vmproxy::checker {
namespace {

// A JSON object, member by member, in the order of the README.
class Line {
 public:
  explicit Line(std::string_view type) { text("type", type); }

  Line& text(std::string_view name, std::string_view value) {
    begin(name);
    protocols::wire::append_json_string(out_, value);
    return *this;
  }
  Line& raw(std::string_view name, std::string_view value) {
    begin(name);
    out_ += value;
    return *this;
  }
  Line& number(std::string_view name, int64_t value) { return raw(name, std::to_string(value)); }
  Line& value(std::string_view name, std::optional<std::string_view> value) {
    return value ? text(name, *value) : raw(name, "null");
  }
  std::string take() { return std::move(out_) + "}"; }

 private:
  void begin(std::string_view name) {
    out_ += out_.empty() ? "{\"" : ",\"";
    out_ += name;
    out_ += "\":";
  }
  std::string out_;
};

}  // namespace

Shown describe(const History& history, uint32_t key, const Op& op) {
  Line line("op");
  line.text("process", history.processes().text_of(op.process));
  line.text("key", history.keys().text_of(key)).text("op", name_of(op.kind));
  if (is_answer(op) || op.kind == Kind::write || op.kind == Kind::write_if_absent)
    line.value("value", history.value(op.value));
  line.number("call", op.call);
  if (op.ret != never) line.number("ret", op.ret);
  line.text("outcome", name_of(op.outcome));
  if (op.outcome == Outcome::unknown && op.latest != never) line.number("latest", op.latest);
  if (op.stale == never) line.text("stale", "any");
  if (op.stale != never && op.stale != 0) line.number("stale", op.stale);
  if (op.side != 0) line.text("side", history.sides().text_of(op.side));
  if (op.epoch != 0) line.number("epoch", op.epoch);
  return {line.take(), history.place_text(op.place)};
}

Shown describe(const History& history, uint32_t key, const ScanRecord& scan) {
  std::string name, keys;
  protocols::wire::append_json_string(name, history.keys().text_of(key));
  const auto [first, last] = std::equal_range(scan.keys.begin(), scan.keys.end(), key);
  for (auto at = first; at != last; ++at) keys += (keys.empty() ? "" : ",") + name;
  Line line("scan");
  line.text("process", history.processes().text_of(scan.process));
  line.raw("prefix", name).raw("keys", "[" + keys + "]").number("call", scan.call).number("ret", scan.ret);
  if (scan.partial) line.raw("partial", "true");
  return {line.take(), history.place_text(scan.place)};
}

Shown describe(const History& history, uint32_t key, const FinalRecord& final) {
  Line line("final");
  line.text("side", history.sides().text_of(final.side)).text("key", history.keys().text_of(key));
  line.value("value", history.value(final.value));
  return {line.take(), history.place_text(final.place)};
}

Shown describe(const History& history, uint32_t epoch, uint16_t side, const Reign::Example& example) {
  Line line("execution");
  line.text("side", history.sides().text_of(side)).number("epoch", epoch).text("key", example.key);
  line.number("call", example.call).number("ret", example.ret);
  return {line.take(), history.place_text(example.place)};
}

Shown describe(const History& history, uint16_t side, std::string_view request, Request::By by) {
  Line line(by == Request::By::seen ? "seen" : "sent");
  line.text("side", history.sides().text_of(side)).text("request", request);
  if (by == Request::By::maybe_sent) line.text("outcome", "unknown");
  return {line.take(), ""};
}

std::string_view name_of(Kind kind) {
  switch (kind) {
    case Kind::read: return "read";
    case Kind::write: return "write";
    case Kind::write_if_absent: return "write_if_absent";
    case Kind::remove: return "delete";
    case Kind::remove_where: return "delete_where";
  }
  return "";
}

std::string_view name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::ok: return "ok";
    case Outcome::fail: return "fail";
    case Outcome::unknown: return "unknown";
  }
  return "";
}

}  // namespace vmproxy::checker
