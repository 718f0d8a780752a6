// Session: up to which timestamp of the server a read has to wait so that it shows every write of this driver, which is
// what Milvus calls session consistency, kept by key.
//
// Why: a Strong read asks for everything up to now, and the server answers it after the next time tick has come through
// its log, 200 to 400 ms later (docs/decisions/0019). A read that asks for an older timestamp is answered at once. What
// others than this driver wrote is shown when it is about `others_age` old.
//
// A timestamp is milliseconds << 18 and a counter (milvus-proto: hybrid timestamps of its TSO; every answer to a write
// has the one of the write, MutationResult.timestamp). Thread-safe. Memory: the marks of `marks_max` written keys, and
// the names of collections that were written in two seconds, or are in doubt.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "model/key.h"

namespace vmproxy::protocols::milvus {

class Session {
 public:
  static constexpr Duration others_age = std::chrono::milliseconds(500);
  // How long after a write without an answer reads of its collection are Strong: it may be executed at any time until then.
  static constexpr Duration doubt = std::chrono::seconds(60);

  // `server_time`: asks the server for its timestamp; 0: it gives none out, and every read is Strong.
  Session(Clock& clock, std::function<uint64_t(Deadline)> server_time, size_t marks_max = 65536)
      : clock_(clock), server_time_(std::move(server_time)), marks_max_(marks_max) {}

  // An acknowledged write of these keys, before anybody else is told of it. Timestamp 0: the answer had none, as Milvus 2.3
  // gives none for a delete; then the server is asked what time it has, which is later.
  void wrote(const std::string& collection, std::span<const model::Key> keys, uint64_t timestamp,
             Deadline deadline);
  // A write that may have been executed, or may still be.
  void in_doubt(const std::string& collection);
  // The collection has, or may have, another name now: what was written by the old one is waited for by the new one, also
  // what is acknowledged only later.
  void renamed(const std::string& from, const std::string& to);

  // What a read has to ask for that shows no records but these; without keys: any of the collection. 0: it has to be
  // Strong. May ask the server what time it has.
  uint64_t guarantee(const std::string& collection, std::span<const model::Key> keys, Deadline deadline);
  // The same without asking, as a token; empty: Strong.
  std::string token(const std::string& collection, std::span<const model::Key> keys);
  static uint64_t timestamp(std::string_view token);  // 0: of none, or of one that is none of ours

 private:
  struct ServerTime {
    uint64_t timestamp;  // 0: the server gives none out
    TimePoint at;        // when it was that time there, or a little later
  };
  static uint64_t mark_of(const std::string& collection, const model::Key& key);
  bool time_is_known(Duration age_max) const;
  bool gives_none();
  uint64_t time_there() const;
  void learn(uint64_t timestamp, bool asked);
  uint64_t needed(const std::string& collection, std::span<const model::Key> keys);
  void forget(uint64_t newest);
  const std::string* new_name_of(const std::string& collection) const;  // nullptr: not renamed lately

  Clock& clock_;
  const std::function<uint64_t(Deadline)> server_time_;
  const size_t marks_max_;
  std::mutex mutex_;
  std::optional<ServerTime> time_;
  std::unordered_map<uint64_t, uint64_t> marks_;     // of written keys: the timestamp of the last write
  std::deque<std::pair<uint64_t, uint64_t>> order_;  // timestamp, mark, as they came
  uint64_t forgotten_ = 0;  // no key that has no mark was written later; 0: nothing is known yet
  std::map<std::string, uint64_t> last_;      // of collections that were written lately
  std::map<std::string, TimePoint> doubted_;  // until then
  struct NewName {
    std::string name;
    TimePoint until;
  };
  std::map<std::string, NewName> became_;  // by the old name
};

}  // namespace vmproxy::protocols::milvus
