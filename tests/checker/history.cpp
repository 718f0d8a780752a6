#include "tests/checker/history.h"

#include <algorithm>

namespace vmproxy::checker {
namespace {

constexpr int line_bits = 40;

}  // namespace

History::History(Part part) : part_(part) {
  values_.number_of("");  // absent; the texts of values have a mark in front, so that none is empty
  sides_.number_of("");
}

uint64_t History::add_file(std::string name) {
  files_.push_back(std::move(name));
  return static_cast<uint64_t>(files_.size()) << line_bits;
}

std::string History::place_text(uint64_t place) const {
  const uint64_t file = place >> line_bits;
  if (file == 0) return place == 0 ? "" : "#" + std::to_string(place);
  return files_[file - 1] + ":" + std::to_string(place - (file << line_bits));
}

void History::add(const Operation& operation, uint64_t place) {
  const bool write = operation.kind != Kind::read;
  if (write && operation.outcome == Outcome::ok && operation.epoch != 0 && !operation.side.empty())
    executed(operation.side, operation.epoch, operation.key, operation.call, operation.ret, place);
  if (!mine(operation.key)) return;

  Op op;
  op.process = processes_.number_of(operation.process);
  op.value = value_number(operation.value);
  op.call = operation.call;
  op.ret = operation.ret;
  op.latest = operation.outcome == Outcome::unknown ? operation.latest : operation.ret;
  op.stale = operation.stale;
  op.place = place;
  op.epoch = operation.epoch;
  op.side = side_number(operation.side);
  op.kind = operation.kind;
  op.outcome = operation.outcome;
  operations_[key_number(operation.key)].push_back(op);

  if (!write) {
    ++counts_.reads;
  } else if (op.kind == Kind::remove || op.kind == Kind::remove_where) {
    ++counts_.deletes;
  } else {
    ++counts_.writes;
  }
  if (op.outcome == Outcome::unknown) ++counts_.unknown;
  if (op.outcome == Outcome::fail) ++counts_.failed;
}

void History::add(const Scan& scan, uint64_t place) {
  ScanRecord record{.process = processes_.number_of(scan.process),
                    .prefix = std::string(scan.prefix),
                    .keys = {},
                    .call = scan.call,
                    .ret = scan.ret,
                    .partial = scan.partial,
                    .place = place};
  for (const std::string_view key : scan.keys) {
    if (mine(key)) record.keys.push_back(key_number(key));
  }
  std::sort(record.keys.begin(), record.keys.end());
  scans_.push_back(std::move(record));
  if (first_part()) ++counts_.scans;
}

void History::add(const Execution& execution, uint64_t place) {
  executed(execution.side, execution.epoch, execution.key, execution.call, execution.ret, place);
}

void History::add(const Request& request) {
  if (!mine(request.request)) return;
  RequestCount& count = requests_[side_number(request.side)][std::string(request.request)];
  switch (request.by) {
    case Request::By::sent: ++count.sent; break;
    case Request::By::maybe_sent: ++count.maybe_sent; break;
    case Request::By::seen: ++count.seen; break;
  }
  ++counts_.requests;
}

void History::add(const Final& final, uint64_t place) {
  if (!mine(final.key)) return;
  const FinalRecord record{side_number(final.side), value_number(final.value), place};
  finals_[key_number(final.key)].push_back(record);
  ++counts_.finals;
}

void History::add_final_complete(std::string_view side) {
  complete_sides_.insert(side_number(side));
}

std::vector<FinalRecord> History::final_states(uint32_t key) const {
  std::vector<FinalRecord> states;
  const auto has = [&](uint16_t side) {
    return std::any_of(states.begin(), states.end(), [side](const FinalRecord& s) { return s.side == side; });
  };
  for (const FinalRecord& record : finals_[key]) {
    if (!has(record.side)) states.push_back(record);
  }
  for (const uint16_t side : complete_sides_) {
    if (!has(side)) states.push_back({side, absent, 0});
  }
  return states;
}

bool History::mine(std::string_view text) const {
  return part_.count <= 1 || std::hash<std::string_view>{}(text) % part_.count == part_.index;
}

uint32_t History::key_number(std::string_view key) {
  const uint32_t number = keys_.number_of(key);
  if (number == operations_.size()) {
    operations_.emplace_back();
    finals_.emplace_back();
  }
  return number;
}

uint32_t History::value_number(const std::optional<std::string_view>& value) {
  if (!value) return absent;
  std::string marked = "=";
  marked += *value;
  return values_.number_of(marked);
}

std::optional<std::string_view> History::value(uint32_t number) const {
  if (number == absent) return std::nullopt;
  return std::string_view(values_.text_of(number)).substr(1);
}

void History::executed(std::string_view side, uint32_t epoch, std::string_view key, Time call, Time ret,
                       uint64_t place) {
  if (!first_part()) return;
  ++counts_.executions;
  Reign& reign = reigns_[epoch][side_number(side)];
  const bool first = reign.executions++ == 0;
  if (first || call > reign.latest_call.call) reign.latest_call = {std::string(key), call, ret, place};
  if (first || ret < reign.earliest_ret.ret) reign.earliest_ret = {std::string(key), call, ret, place};
}

}  // namespace vmproxy::checker
