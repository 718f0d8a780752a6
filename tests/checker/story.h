// Short histories for tests, one call a record.
#pragma once

#include <optional>
#include <string_view>

#include "tests/checker/check.h"

namespace vmproxy::checker {

inline constexpr std::optional<std::string_view> absent;  // a read's value

struct Story {
  History history;
  uint64_t place = 0;

  Story& add(const Operation& operation) {
    history.add(operation, ++place);
    return *this;
  }
  Story& write(std::string_view process, std::string_view value, Time call, Time ret) {
    return add(
        {.process = process, .key = key, .kind = Kind::write, .value = value, .call = call, .ret = ret});
  }
  // Executed as primary by `side`.
  Story& write_at(std::string_view side, uint32_t epoch, std::string_view value, Time call, Time ret) {
    return add({.process = value,
                .key = key,
                .kind = Kind::write,
                .value = value,
                .call = call,
                .ret = ret,
                .side = side,
                .epoch = epoch});
  }
  Story& write_if_absent(std::string_view process, std::string_view value, Time call, Time ret) {
    return add({.process = process,
                .key = key,
                .kind = Kind::write_if_absent,
                .value = value,
                .call = call,
                .ret = ret});
  }
  Story& unknown_write(std::string_view value, Time call, Time latest = never, uint32_t epoch = 0) {
    return add({.process = value,
                .key = key,
                .kind = Kind::write,
                .value = value,
                .call = call,
                .outcome = Outcome::unknown,
                .latest = latest,
                .epoch = epoch});
  }
  Story& failed_write(std::string_view value, Time call, Time ret) {
    return add({.process = value,
                .key = key,
                .kind = Kind::write,
                .value = value,
                .call = call,
                .ret = ret,
                .outcome = Outcome::fail});
  }
  Story& remove(std::string_view process, Time call, Time ret, Kind kind = Kind::remove) {
    return add({.process = process, .key = key, .kind = kind, .call = call, .ret = ret});
  }
  Story& unknown_remove(Time call, Time latest = never) {
    return add({.process = "remover",
                .key = key,
                .kind = Kind::remove,
                .call = call,
                .outcome = Outcome::unknown,
                .latest = latest});
  }
  Story& read(std::string_view process, std::optional<std::string_view> value, Time call, Time ret,
              Time stale = 0) {
    return add({.process = process, .key = key, .value = value, .call = call, .ret = ret, .stale = stale});
  }
  Story& scan(std::initializer_list<std::string_view> keys, Time call, Time ret, bool partial = false) {
    history.add(Scan{.process = "scanner",
                     .prefix = "",
                     .keys = std::span(keys.begin(), keys.size()),
                     .call = call,
                     .ret = ret,
                     .partial = partial},
                ++place);
    return *this;
  }
  Story& executed(std::string_view side, uint32_t epoch, Time call, Time ret) {
    history.add(Execution{.side = side, .epoch = epoch, .key = key, .call = call, .ret = ret}, ++place);
    return *this;
  }
  Story& request(Request::By by, std::string_view text) {
    history.add(Request{.by = by, .side = "source", .request = text});
    return *this;
  }
  Story& final(std::string_view side, std::optional<std::string_view> value) {
    history.add(Final{.side = side, .key = key, .value = value}, ++place);
    return *this;
  }
  Story& complete(std::string_view side) {
    history.add_final_complete(side);
    return *this;
  }

  static constexpr std::string_view key = "k";
};

}  // namespace vmproxy::checker
