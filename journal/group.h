// Group: what will become one commit. Appenders fill the newest group while the committer writes an older
// one; until a group is committed, lookups of rows and outcomes find them here. Not thread-safe: the
// journal's mutex guards it.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "journal/journal.h"

namespace vmproxy::journal {

// Who wants to know that part of a group is durable.
struct Completion {
  Seq seq = 0;  // of an intent
  std::function<void(Result<Seq>)> intent;
  std::function<void(Result<void>)> rows;
  size_t first = 0, last = 0;  // its operations: [first, last)

  void finish(const std::optional<Error>& error) {
    if (intent) {
      if (error)
        intent(*error);
      else
        intent(seq);
    }
    if (rows) {
      if (error)
        rows(*error);
      else
        rows({});
    }
  }
};

class Group {
 public:
  // Intents: looked up by nobody before they are committed.
  void put(std::string key, std::string value);
  // Rows and outcomes.
  void put_visible(std::string key, std::string value);
  void erase_visible(std::string key);
  void erase_visible_range(std::string from, std::string to);
  void erase_range(std::string from, std::string to);
  void complete(Completion completion) { completions.push_back(std::move(completion)); }

  // Nothing: this group does not know the key. An inner nothing: it erases it.
  std::optional<std::optional<std::string>> find(const std::string& key) const;
  // Keys with from <= key < to that find() knows by name: put, or erased one by one.
  void keys_between(const std::string& from, const std::string& to, std::vector<std::string>& keys) const;
  // After a failure: drops the operations that somebody waited for (they are told), keeps the lazy ones in
  // order.
  void keep_lazy();
  bool empty() const { return batch.empty() && completions.empty(); }

  uint64_t number = 0;
  store::Batch batch;
  std::vector<Completion> completions;
  uint64_t bytes = 0;
  bool sync = false;                // of its intents and durable rows
  bool force_sync = false;          // whatever the durability
  bool urgent = false;              // somebody waits
  Seq trims_to = 0, bodies_to = 0;  // set by the committer when it adds them
  bool has_visible() const { return !newest_.empty() || !erased_.empty(); }

 private:
  std::unordered_map<std::string, size_t> newest_;  // key -> its last operation
  std::vector<std::pair<std::string, std::string>> erased_;
};

}  // namespace vmproxy::journal
