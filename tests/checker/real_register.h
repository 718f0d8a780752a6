// Histories of a register that is right, for property tests: processes with overlapping calls, each operation executed
// at one moment between its call and its end, answers that get lost, writes that execute late or not at all.
#pragma once

#include <algorithm>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "tests/checker/history.h"

namespace vmproxy::checker {

class RealRegister {
 public:
  struct Shape {
    size_t processes = 4;
    size_t operations = 60;
    size_t values = 0;   // written again and again; 0: each write has a value of its own
    bool plain = false;  // no conditions, no epochs, no stale reads
  };

  RealRegister(uint64_t seed, Shape shape) : random_(seed), shape_(shape) {
    plan();
    execute();
  }

  std::vector<Operation>& operations() { return operations_; }
  const std::optional<std::string_view>& end_value() const { return value_; }
  Time end() const { return end_; }

  History history() const {
    History history;
    for (const Operation& operation : operations_) history.add(operation);
    return history;
  }

 private:
  size_t below(size_t bound) { return static_cast<size_t>(random_() % bound); }
  bool chance(size_t percent) { return below(100) < percent; }

  std::string_view text(std::string value) { return texts_.emplace_back(std::move(value)); }

  // When everything is called, executes and ends.
  void plan() {
    const size_t each = shape_.operations / shape_.processes + 1;
    for (size_t p = 0; p < shape_.processes; ++p) {
      const std::string_view process = text("p" + std::to_string(p));
      Time now = static_cast<Time>(below(20));
      for (size_t i = 0; i < each; ++i) now = plan_one(process, now);
    }
  }

  Time plan_one(std::string_view process, Time now) {
    Operation op{.process = process, .key = "k"};
    op.call = now + static_cast<Time>(below(10));
    Time moment = op.call + static_cast<Time>(below(15));
    op.ret = moment + static_cast<Time>(below(15));
    const Time next = op.ret + 1;
    op.kind = kind();
    if (op.kind == Kind::write || op.kind == Kind::write_if_absent) {
      const size_t number = shape_.values == 0 ? operations_.size() : below(shape_.values);
      op.value = text("v" + std::to_string(number));
    }
    bool executes = true;
    if (op.kind == Kind::read) {
      if (!shape_.plain && chance(10)) {
        op.stale = static_cast<Time>(below(40));
        moment = op.call - static_cast<Time>(below(static_cast<size_t>(op.stale) + 1));
      }
    } else if (chance(15)) {
      op.outcome = Outcome::unknown;
      op.ret = never;
      executes = chance(60);
      if (chance(50)) moment += static_cast<Time>(below(200));
      if (chance(30)) op.latest = moment + static_cast<Time>(below(20));
    } else if (chance(5)) {
      op.outcome = Outcome::fail;
      executes = false;
    }
    if (op.kind == Kind::remove_where && op.outcome == Outcome::ok) executes = chance(50);
    plans_.push_back({moment, random_(), operations_.size(), executes});
    operations_.push_back(op);
    end_ = std::max({end_, moment + 1, next});
    return next;
  }

  Kind kind() {
    const size_t choice = below(100);
    if (choice < 45) return Kind::read;
    if (choice < 80) return Kind::write;
    if (choice < 92 || shape_.plain) return Kind::remove;
    return choice < 96 ? Kind::remove_where : Kind::write_if_absent;
  }

  // One after the other, in the order of the moments. The epoch grows now and then.
  void execute() {
    std::sort(plans_.begin(), plans_.end(), [](const Plan& a, const Plan& b) {
      return a.moment != b.moment ? a.moment < b.moment : a.tie < b.tie;
    });
    uint32_t epoch = 1;
    for (const Plan& plan : plans_) {
      Operation& op = operations_[plan.operation];
      if (op.kind == Kind::read) {
        op.value = value_;
        continue;
      }
      if (!shape_.plain && chance(5)) ++epoch;
      if (!shape_.plain && plan.executes) op.epoch = epoch;
      if (plan.executes) apply(op);
    }
  }

  void apply(const Operation& op) {
    switch (op.kind) {
      case Kind::read: break;
      case Kind::write: value_ = op.value; break;
      case Kind::write_if_absent:
        if (!value_) value_ = op.value;
        break;
      case Kind::remove:
      case Kind::remove_where: value_.reset(); break;
    }
  }

  struct Plan {
    Time moment;
    uint64_t tie;
    size_t operation;
    bool executes;
  };

  std::mt19937_64 random_;
  Shape shape_;
  std::deque<std::string> texts_;
  std::vector<Operation> operations_;
  std::vector<Plan> plans_;
  std::optional<std::string_view> value_;
  Time end_ = 0;
};

}  // namespace vmproxy::checker
