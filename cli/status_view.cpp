#include "cli/status_view.h"

#include <cmath>
#include <vector>

#include "cli/format.h"
#include "cli/options.h"

namespace vmproxy::cli {
namespace json = boost::json;
namespace {

const json::value* find(const json::object& object, std::string_view path) {
  const size_t dot = path.find('.');
  const auto* value = object.if_contains(path.substr(0, dot));
  if (dot == std::string_view::npos || !value) return value;
  return value->is_object() ? find(value->get_object(), path.substr(dot + 1)) : nullptr;
}

bool source_is_primary(const json::object& s) {
  return text_at(s, "primary") != "target";
}

std::string owed(const json::object& s) {
  const uint64_t changes = std::max(count_at(s, "lag.changes"), count_at(s, "dirty"));
  return count(changes, "change", "changes");
}

// Is my data safe?
std::string safe(const json::object& s) {
  const std::string state = text_at(s, "state");
  const std::string primary = source_is_primary(s) ? "source" : "target",
                    replica = source_is_primary(s) ? "target" : "source";
  if (state == "created") return "yes: all of it is on the source; nothing was started";
  if (state == "abandoned") return "yes: all of it is on the source; the migration was abandoned";
  if (state == "finalized") return "yes: all of it is on the target; the migration is finished";
  std::string out = "yes, on the " + primary;
  if (const auto gaps = count_at(s, "gaps")) {
    return out + "; but " + count(gaps, "gap", "gaps") + ": writes may be missing on the " + replica;
  }
  if (const auto unknown = count_at(s, "unknown_requests")) {
    return out + "; but " + count(unknown, "unknown request", "unknown requests") +
           " may be missing on the " + replica;
  }
  if (const auto at_risk = count_at(s, "at_risk"))
    return "look: " + count(at_risk, "record", "records") +
           " of a forced switch exist only in vmproxy's journal";
  if (const auto refused = count_at(s, "quarantined")) {
    return out + "; the " + replica + " lacks " + count(refused, "change", "changes") +
           " (vmproxy quarantine list)";
  }
  if (const auto health = text_at(s, "mirror.health"); !health.empty() && health != "ok")
    return out + "; the " + replica + ": " + health;
  if (count_at(s, "lag.changes") + count_at(s, "dirty") == 0) {
    return state_rank(state) >= state_rank("ready") ? "yes, on both sides"
                                                    : out + "; nothing waits for the " + replica;
  }
  return out + "; " + owed(s) + " on the way to the " + replica + " (" +
         short_duration(number_at(s, "lag.seconds")) + " behind)";
}

// How far?
std::string far(const json::object& s) {
  const std::string state = text_at(s, "state");
  if (!text_at(s, "work.problem").empty() && state_rank(state) < state_rank("ready")) return progress_line(s);
  if (state == "created") return "not started";
  if (state == "mirroring") return "writes are mirrored; the history is not copied yet";
  if (state == "backfilling" || state == "validating") return progress_line(s);
  if (state == "ready") return "copied and compared; reads and writes are on the source";
  const std::string reads = bar(number_at(s, "reads_percent") / 100, 10) + ' ' +
                            percent(number_at(s, "reads_percent")) + " of reads on the target";
  if (state == "canary" || state == "reads_moved") return reads + ", writes on the source";
  if (state == "promoted")
    return "writes on the target, mirrored to the source; " + percent(number_at(s, "reads_percent")) +
           " of reads";
  return state;
}

// How long?
std::string long_(const json::object& s) {
  const std::string state = text_at(s, "state");
  if (state == "backfilling" || state == "validating") {
    const double eta = number_at(s, "backfill.eta_seconds", -1);
    if (text_at(s, "backfill.phase") == "paused") return "paused: " + text_at(s, "backfill.reason");
    if (state == "backfilling" && eta >= 0)
      return "about " + short_duration(eta) + " of copying, then the comparison";
    return state == "backfilling" ? "not known yet" : "until all are compared";
  }
  if (state == "created" || state == "mirroring") return "known once the copy has begun";
  return "nothing left to wait for";
}

// May I switch now, and if not, why not?
std::string may(const json::object& s) {
  const std::string state = text_at(s, "state");
  if (state == "finalized" || state == "abandoned") return "nothing to switch any more";
  for (const auto& gate : array_at(s, "gates")) {
    if (!gate.is_object() || truth_at(gate.get_object(), "ok")) continue;
    const auto& g = gate.get_object();
    const std::string clear = text_at(g, "clear_with");
    return (state == "promoted" ? "done; but not back: " : "no: ") + text_at(g, "name") + " is " +
           text_at(g, "value") + ", must be " + text_at(g, "threshold") +
           (clear.empty() ? "" : " -> " + clear);
  }
  if (state == "promoted") return "done, and back again at any time";
  if (state_rank(state) < state_rank("ready")) return "not yet";
  return "yes";
}

std::string back(const json::object& s) {
  const std::string command = text_at(s, "back");
  if (!command.empty()) return command;
  const std::string state = text_at(s, "state");
  if (state == "finalized") return "not any more: a new migration the other way";
  return "nothing to go back from";
}

// What the target could not hold. The first three; JSON has more.
std::string lost(const json::object& s) {
  const auto* all = find(s, "lost_fields");
  if (!all || !all->is_object()) return "";
  const auto& fields = all->get_object();
  std::string out;
  size_t shown = 0;
  for (const auto& field : fields) {
    if (shown == 3) break;
    ++shown;
    const uint64_t records = field.value().is_number() ? field.value().to_number<uint64_t>() : 0;
    out += (out.empty() ? "" : ", ") + cut(std::string(field.key()), 60) + " of " +
           count(records, "record", "records");
  }
  if (fields.size() > shown)
    out += ", and of " + count(fields.size() - shown, "field", "fields") + " more (-o json)";
  return out;
}

struct Part {
  int mark;  // 0 not yet, 1 at work, 2 done, 3 wrong
  std::string name, text;
};

std::vector<Part> parts(const json::object& s) {
  const std::string state = text_at(s, "state");
  const int rank = state_rank(state);
  std::vector<Part> out;

  const uint64_t failed = count_at(s, "mirror.failed") + count_at(s, "quarantined");
  const bool mirrors = rank >= 1 && rank <= state_rank("promoted");
  std::string mirror = "not yet";
  if (rank >= 1)
    mirror = count(count_at(s, "mirror.writes"), "write, ", "writes, ") +
             grouped(count_at(s, "lag.changes")) + " pending, " + grouped(failed) + " failed";
  out.push_back({failed ? 3 : mirrors ? 1 : rank >= 1 ? 2 : 0, "mirror", mirror});

  const std::string copy = text_at(s, "backfill.phase");
  std::string text = "not yet";
  int mark = 0;
  if (copy == "done") {
    mark = 2;
    text = count(count_at(s, "backfill.records"), "record", "records") + " copied";
  } else if (copy == "failed" || copy == "paused") {
    mark = copy == "failed" ? 3 : 1;
    text = copy + ": " + text_at(s, "backfill.reason");
  } else if (copy != "none" && !copy.empty()) {
    mark = 1;
    text = progress_line(s);
  }
  out.push_back({mark, "backfill", text});

  const std::string phase = text_at(s, "validation.phase");
  const uint64_t wrong = count_at(s, "validation.different") + count_at(s, "validation.missing") +
                         count_at(s, "validation.extra");
  text = "not yet";
  mark = 0;
  if (phase == "failed") {
    mark = 3;
    text = "failed: " + text_at(s, "validation.reason");
  } else if (!phase.empty() && phase != "none") {
    mark = phase == "running" ? 1 : wrong ? 3 : 2;
    text = grouped(wrong) + " of " + grouped(count_at(s, "validation.compared")) +
           (phase == "running" ? " so far differ" : " differ");
    if (wrong) {
      text += ": " + grouped(count_at(s, "validation.different")) + " different, " +
              grouped(count_at(s, "validation.missing")) + " missing, " +
              grouped(count_at(s, "validation.extra")) + " extra";
    }
    text += unsettled_part(s);
  }
  out.push_back({mark, "validate", text});

  const uint64_t moved = count_at(s, "reads.to_target"), all = moved + count_at(s, "reads.to_source");
  uint64_t returned = 0;
  if (const auto* reasons = find(s, "reads.returned"); reasons && reasons->is_object()) {
    for (const auto& reason : reasons->get_object())
      returned += reason.value().is_number() ? reason.value().to_number<uint64_t>() : 0;
  }
  text = percent(number_at(s, "reads_percent")) + " to the target";
  if (all > 0) text += "; " + grouped(moved) + " of " + grouped(all) + " served there";
  if (returned > 0) text += ", " + grouped(returned) + " sent back";
  out.push_back(
      {number_at(s, "reads_percent") > 0 ? (rank >= state_rank("reads_moved") ? 2 : 1) : 0, "reads", text});
  text = "on the source";
  if (rank >= state_rank("promoted") && state != "abandoned") text = "on the target";
  if (const double pause = number_at(s, "last_pause_seconds"); pause > 0)
    text += "; the last switch held them for " + short_duration(pause);
  out.push_back({text.rfind("on the target", 0) == 0 ? 2 : 0, "writes", text});
  return out;
}

}  // namespace

std::string text_at(const json::object& object, std::string_view path) {
  const auto* value = find(object, path);
  return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

double number_at(const json::object& object, std::string_view path, double absent) {
  const auto* value = find(object, path);
  return value && value->is_number() ? value->to_number<double>() : absent;
}

uint64_t count_at(const json::object& object, std::string_view path) {
  const double value = number_at(object, path);
  return value > 0 && value < 1.8e19 ? static_cast<uint64_t>(value) : 0;
}

bool truth_at(const json::object& object, std::string_view path) {
  const auto* value = find(object, path);
  return value && value->is_bool() && value->get_bool();
}

const json::array& array_at(const json::object& object, std::string_view name) {
  static const json::array none;
  const auto* value = object.if_contains(name);
  return value && value->is_array() ? value->get_array() : none;
}

std::string unsettled_part(const json::object& s) {
  const uint64_t unsettled = count_at(s, "validation.unsettled");
  return unsettled == 0 ? "" : ", " + grouped(unsettled) + " not compared (written all the while)";
}

std::string left_behind_names(const json::object& s) {
  const auto& names = array_at(s, "left_behind");
  std::string out;
  for (size_t i = 0; i < names.size() && i < 3; ++i) {
    if (names[i].is_string()) out += (i == 0 ? "" : ", ") + cut(std::string(names[i].get_string()), 60);
  }
  if (names.size() > 3) out += ", and " + grouped(names.size() - 3) + " more (-o json)";
  return out;
}

std::string progress_line(const json::object& s) {
  if (const auto problem = text_at(s, "work.problem"); !problem.empty())
    return (truth_at(s, "work.retrying") ? "waiting: " : "stopped: ") + problem;
  const std::string state = text_at(s, "state"), phase = text_at(s, "backfill.phase");
  if (state == "validating" || text_at(s, "validation.phase") == "running") {
    return "comparing: " + grouped(count_at(s, "validation.compared")) + " compared, " +
           grouped(count_at(s, "validation.different") + count_at(s, "validation.missing") +
                   count_at(s, "validation.extra")) +
           " differ";
  }
  if (state != "backfilling" && state != "mirroring") return state;
  if (phase == "barrier") return "waiting for the writes in flight";
  if (phase == "settling") return "letting earlier writes settle";
  if (phase == "indexing") return "building the target's indexes";
  if (phase == "paused") return "copy paused: " + text_at(s, "backfill.reason");
  if (phase == "failed") return "copy failed: " + text_at(s, "backfill.reason");
  const uint64_t records = count_at(s, "backfill.records"), total = count_at(s, "backfill.total");
  if (phase == "copying" || phase == "done") {
    const double share =
        total > 0 ? static_cast<double>(std::min(records, total)) / static_cast<double>(total) : 0;
    std::string out = total > 0 ? bar(share, 10) + ' ' + percent(std::floor(share * 100)) + "  " +
                                      grouped(records) + " / " + grouped(total)
                                : grouped(records) + " copied";
    if (const double rate = number_at(s, "backfill.rate"); rate >= 0.5)
      out += "  " + grouped(static_cast<uint64_t>(std::llround(rate))) + "/s";
    if (const double eta = number_at(s, "backfill.eta_seconds", -1); eta >= 0)
      out += "  " + short_duration(eta) + " left";
    return out;
  }
  return state;
}

std::string status_screen(const json::object& s, const Terminal& terminal) {
  std::string verdict = text_at(s, "verdict");
  if (verdict.empty()) verdict = text_at(s, "state");
  const size_t width = terminal.width();
  const bool bad = verdict.rfind("NOT", 0) == 0;
  const std::string route = text_at(s, "name") + "   " + text_at(s, "source") + " -> " + text_at(s, "target");
  std::string out;
  if (columns(verdict) + 3 + columns(route) <= width) {
    out = terminal.paint(verdict, bad ? Colour::yellow : Colour::green) + "   " + route + '\n';
  } else {
    out = terminal.paint(wrap(verdict, width, 2), bad ? Colour::yellow : Colour::green) + '\n' + "  " +
          cut(route, width - 2) + '\n';
  }
  const auto indented = [&](const std::string& question, const std::string& answer) {
    const std::string wrapped = wrap(std::string(14, 'x') + answer, width, 14).substr(14);
    out += "  " + terminal.paint(question, Colour::dim) + std::string(12 - question.size(), ' ') + wrapped +
           '\n';
  };
  indented("data safe", safe(s));
  indented("how far", far(s));
  indented("how long", long_(s));
  indented("may switch", may(s));
  indented("go back", back(s));
  const auto all = parts(s);
  static constexpr const char* unicode_marks[] = {"·", "●", "✓", "✗"};
  static constexpr const char* plain_marks[] = {".", "*", "+", "!"};
  static constexpr Colour colours[] = {Colour::dim, Colour::yellow, Colour::green, Colour::red};
  for (size_t i = 0; i < all.size(); ++i) {
    const bool last = i + 1 == all.size();
    const std::string branch = terminal.unicode() ? (last ? "└── " : "├── ") : (last ? "`-- " : "|-- ");
    const char* mark = (terminal.unicode() ? unicode_marks : plain_marks)[all[i].mark];
    out += branch + terminal.paint(mark, colours[all[i].mark]) + ' ' + all[i].name +
           std::string(10 - all[i].name.size(), ' ') + cut(all[i].text, width - 16) + '\n';
  }
  if (const auto fields = lost(s); !fields.empty())
    out += wrap("lost on the target: " + fields, width, 2) + '\n';
  if (const auto names = left_behind_names(s); !names.empty())
    out += wrap("still on the target, dropped on the source: " + names, width, 2) + '\n';
  if (const auto when = text_at(s, "rolled_back_at"); !when.empty()) {
    const auto why = text_at(s, "rolled_back_reason");
    out += wrap("rolled back " + when + (why.empty() ? "" : ": " + why), width, 2) + '\n';
  }
  if (const auto next = text_at(s, "next"); !next.empty())
    out += "next: " + terminal.paint(next, Colour::bold) + '\n';
  return out;
}

}  // namespace vmproxy::cli
