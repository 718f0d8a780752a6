#include "tests/checker/reader.h"

#include <simdjson.h>

#include <map>

#include "tests/checker/describe.h"
#include "tests/checker/fields.h"
#include "tests/checker/lines.h"

namespace vmproxy::checker {
namespace {

constexpr uint32_t sides_max = 64;

Error invalid(std::string what) {
  return {Code::invalid, std::move(what)};
}

// An operation whose process announced it and has not told its end.
struct Begun {
  std::string process, key, value, side;
  Operation operation;
  uint64_t place;

  Operation unknown() const {
    Operation out = operation;
    out.process = process;
    out.key = key;
    if (out.value) out.value = value;
    out.side = side;
    out.outcome = Outcome::unknown;
    return out;
  }
};

class FileReader {
 public:
  FileReader(History& history, uint64_t file) : history_(history), file_(file) {}

  Result<void> line(std::string_view text, uint64_t number) {
    simdjson::dom::element element;
    if (const auto error = parser_.parse(text.data(), text.size(), false).get(element))
      return invalid(simdjson::error_message(error));
    auto fields = Fields::of(element);
    if (!fields) return fields.error();
    const auto added = add(*fields, file_ + number);
    if (!added) return added.error();
    if (history_.sides().size() > sides_max) return invalid("too many sides");
    return {};
  }

  // What was announced and not ended may have happened.
  void end() {
    for (const auto& [id, begun] : begun_) history_.add(begun.unknown(), begun.place);
  }

 private:
  Result<void> add(const Fields& f, uint64_t place) {
    if (f.type == "op") return add_operation(f, place);
    if (f.type == "scan") {
      if (f.call > f.ret) return invalid("ret is before call");
      history_.add(Scan{.process = f.process,
                        .prefix = f.prefix,
                        .keys = f.keys,
                        .call = f.call,
                        .ret = f.ret,
                        .partial = f.partial},
                   place);
    } else if (f.type == "execution") {
      if (f.call > f.ret) return invalid("ret is before call");
      if (f.epoch == 0) return invalid("epochs begin at 1");
      history_.add(Execution{.side = f.side, .epoch = f.epoch, .key = f.key, .call = f.call, .ret = f.ret},
                   place);
    } else if (f.type == "sent") {
      if (f.has(Field::outcome) && f.outcome != "unknown")
        return invalid("outcome of sent is unknown or left out");
      history_.add(Request{.by = f.has(Field::outcome) ? Request::By::maybe_sent : Request::By::sent,
                           .side = f.side,
                           .request = f.request});
    } else if (f.type == "seen") {
      history_.add(Request{.by = Request::By::seen, .side = f.side, .request = f.request});
    } else if (f.type == "final") {
      history_.add(Final{.side = f.side, .key = f.key, .value = f.value}, place);
    } else {
      history_.add_final_complete(f.side);
    }
    return {};
  }

  Result<void> add_operation(const Fields& f, uint64_t place) {
    const bool begun = f.outcome == "begun";
    auto operation = operation_of(f);
    if (!operation) return operation.error();
    if (!f.has(Field::id)) {
      if (begun) return invalid("begun needs an id");
      history_.add(*operation, place);
      return {};
    }
    const auto found = begun_.find(f.id);
    if (begun) {
      if (found != begun_.end()) return invalid("the id is in use");
      begun_.emplace(f.id, Begun{.process = std::string(f.process),
                                 .key = std::string(f.key),
                                 .value = std::string(f.value.value_or("")),
                                 .side = std::string(f.side),
                                 .operation = *operation,
                                 .place = place});
      return {};
    }
    if (found != begun_.end()) {
      const Begun& start = found->second;
      if (start.process != f.process || start.key != f.key || start.operation.kind != operation->kind)
        return invalid("the id began another operation");
      begun_.erase(found);
    }
    history_.add(*operation, place);
    return {};
  }

  static Result<Operation> operation_of(const Fields& f) {
    Operation op{.process = f.process,
                 .key = f.key,
                 .value = f.value,
                 .call = f.call,
                 .ret = f.ret,
                 .latest = f.latest,
                 .stale = f.stale,
                 .side = f.side,
                 .epoch = f.epoch};
    const auto kind = kind_of(f.op);
    if (!kind) return invalid("unknown op " + std::string(f.op));
    op.kind = *kind;
    if (f.outcome == "ok") {
      op.outcome = Outcome::ok;
    } else if (f.outcome == "fail") {
      op.outcome = Outcome::fail;
    } else if (f.outcome == "unknown" || f.outcome == "begun") {
      op.outcome = Outcome::unknown;
    } else {
      return invalid("unknown outcome " + std::string(f.outcome));
    }

    const bool read = op.kind == Kind::read, ok = op.outcome == Outcome::ok;
    const bool stores = op.kind == Kind::write || op.kind == Kind::write_if_absent;
    if (ok && !f.has(Field::ret)) return invalid("ret is missing");
    if (op.ret < op.call) return invalid("ret is before call");
    if (stores && !op.value) return invalid("a write needs a value");
    if (read && ok && !f.has(Field::value)) return invalid("an answered read needs a value");
    if (!stores && !(read && ok) && f.has(Field::value)) return invalid("value has no meaning here");
    if (f.has(Field::stale) && !read) return invalid("stale belongs to reads");
    if (f.has(Field::latest) && (read || op.outcome != Outcome::unknown))
      return invalid("latest belongs to unknown writes");
    if (op.latest < op.call) return invalid("latest is before call");
    return op;
  }

  static std::optional<Kind> kind_of(std::string_view name) {
    for (const Kind kind :
         {Kind::read, Kind::write, Kind::write_if_absent, Kind::remove, Kind::remove_where}) {
      if (name_of(kind) == name) return kind;
    }
    return std::nullopt;
  }

  History& history_;
  uint64_t file_;
  simdjson::dom::parser parser_;
  std::map<uint64_t, Begun> begun_;  // by id; as many as operations are under way
};

}  // namespace

Result<void> Reader::read(const std::string& path) {
  auto lines = Lines::open(path);
  if (!lines) return lines.error();
  FileReader file(history_, history_.add_file(path));
  for (;;) {
    const auto more = lines->next();
    if (!more) return more.error().within(path);
    if (!*more) break;
    if (lines->line().find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const auto added = file.line(lines->line(), lines->number());
    if (added) continue;
    if (!lines->has_end()) {
      ++torn_lines_;
      break;
    }
    return added.error().within(path + ":" + std::to_string(lines->number()));
  }
  file.end();
  return {};
}

}  // namespace vmproxy::checker
