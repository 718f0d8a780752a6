// What one process sees of one key never goes back: not behind its own writes, not behind what it has read.
// Both are judged from what surely came before what, so that a report is never wrong; the register's search finds the
// rest. Reads that may be stale are left out: their contract says so.
#include <algorithm>
#include <map>

#include "tests/checker/describe.h"
#include "tests/checker/rules.h"
#include "tests/checker/writers.h"

namespace vmproxy::checker {
namespace {

// One process and one key.
class Session {
 public:
  Session(const History& history, uint32_t key, const Writers& writers, Findings& findings)
      : history_(history), key_(key), writers_(writers), findings_(findings) {}

  void run(std::vector<const Op*> ops) {
    std::vector<const Op*> ended = ops;
    std::sort(ops.begin(), ops.end(), [](const Op* a, const Op* b) { return a->call < b->call; });
    std::sort(ended.begin(), ended.end(), [](const Op* a, const Op* b) { return a->ret < b->ret; });
    size_t next = 0;
    for (const Op* op : ops) {
      if (op->kind != Kind::read) continue;
      for (; next < ended.size() && ended[next]->ret <= op->call; ++next) end(*ended[next]);
      judge(*op);
    }
  }

 private:
  // What the process knows from here on.
  void end(const Op& op) {
    if (op.kind != Kind::read) {
      if (!write_ || op.call > write_->call) write_ = &op;
      return;
    }
    if (!writers_.known(op.value)) return;
    if (!read_ || writers_.earliest(op.value) > writers_.earliest(read_->value)) read_ = &op;
    if (last_ && last_->ret > op.call) return;  // two at once: neither came first
    if (last_ && last_->value != op.value) left_[last_->value] = {last_, &op};
    last_ = &op;
  }

  void judge(const Op& read) {
    if (!writers_.known(read.value)) return;
    const Time latest = writers_.latest(read.value, read.ret);
    if (write_) {
      findings_.checked(Rule::read_your_writes);
      if (latest < write_->call)
        report(Rule::read_your_writes, "the process reads a state that is older than its own write",
               {read.value}, {write_, &read});
    }
    if (!read_) return;
    findings_.checked(Rule::monotone_reads);
    if (latest < writers_.earliest(read_->value)) {
      report(Rule::monotone_reads, "the process reads a state that is older than what it read before",
             {read.value, read_->value}, {read_, &read});
      return;
    }
    const auto left = left_.find(read.value);
    if (left == left_.end() || last_->value == read.value || writers_.count(read.value, read.ret) != 1)
      return;
    const auto [before, between] = left->second;
    report(Rule::monotone_reads, "the process reads a state that it had already seen go",
           {read.value, between->value}, {before, between, &read});
  }

  void report(Rule rule, std::string what, const std::vector<uint32_t>& values, std::vector<const Op*> ops) {
    if (!findings_.found(rule)) return;
    for (const uint32_t value : values)
      ops.insert(ops.end(), writers_.of(value).begin(), writers_.of(value).end());
    std::sort(ops.begin(), ops.end(),
              [](const Op* a, const Op* b) { return a->call != b->call ? a->call < b->call : a < b; });
    ops.erase(std::unique(ops.begin(), ops.end()), ops.end());
    std::vector<Shown> records;
    for (const Op* op : ops) records.push_back(describe(history_, key_, *op));
    findings_.describe(rule, history_.keys().text_of(key_), std::move(what), std::move(records));
  }

  const History& history_;
  uint32_t key_;
  const Writers& writers_;
  Findings& findings_;
  const Op* write_ = nullptr;  // the own write that was called last
  const Op* read_ = nullptr;   // the read whose value was written last
  const Op* last_ = nullptr;   // the read before
  struct Left {
    const Op* seen;  // a read that found the value
    const Op* gone;  // the next read, which found another one
  };
  std::map<uint32_t, Left> left_;  // by value
};

}  // namespace

void check_sessions(const History& history, uint32_t key, Findings& findings) {
  const std::vector<Op>& operations = history.operations(key);
  std::map<uint32_t, std::vector<const Op*>> by_process;
  for (const Op& op : operations) {
    if (op.outcome != Outcome::ok) continue;
    const bool certain_write = op.kind == Kind::write || op.kind == Kind::remove;
    if (certain_write || (is_answer(op) && op.stale == 0)) by_process[op.process].push_back(&op);
  }
  const Writers writers(operations);
  for (auto& [process, ops] : by_process) Session(history, key, writers, findings).run(std::move(ops));
}

}  // namespace vmproxy::checker
