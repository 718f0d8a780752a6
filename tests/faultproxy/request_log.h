// RequestLog: the requests that passed a link, as the side that got them must have seen them. One thread, bounded.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmproxy::faultproxy {

// Where the request was seen.
enum class Stage {
  arrived,   // came from the client
  passed,    // went to the upstream
  duplicate  // went to the upstream a second time, from here
};
std::string_view name_of(Stage stage);

struct LoggedRequest {
  std::string link;
  uint64_t connection = 0;  // counted from 1 on each link
  Stage stage = Stage::arrived;
  std::string
      protocol;        // "http1", "http2", or "other": the bytes of the connection that nobody here can read
  int32_t stream = 0;  // HTTP/2 only
  std::string method;
  std::string target;
  std::vector<std::pair<std::string, std::string>> headers;  // HTTP/2: without pseudo-headers
  uint64_t body_bytes = 0;                                   // chunks are unwrapped
  uint32_t body_crc32 = 0;
  bool complete = false;  // its last byte was seen
  int64_t at = 0;         // when; before, when its head was. In nanoseconds of the monotonic clock
  bool reset = false;     // HTTP/2: the client took it back by RST_STREAM
};

class RequestLog {
 public:
  explicit RequestLog(size_t entries_max = 100'000) : entries_max_(entries_max) {}

  // The number of the new entry. Once the log is full, new entries are counted in dropped() and not kept.
  uint64_t add(LoggedRequest entry);
  // Null when it is not kept (any more). Valid until the next add() or forget().
  LoggedRequest* find(uint64_t number);
  // Numbers of the entries that are kept: [first(), end()).
  uint64_t first() const { return first_; }
  uint64_t end() const { return first_ + entries_.size(); }
  uint64_t dropped() const { return dropped_; }
  // Makes room: entries of smaller numbers are gone. Numbers go on.
  void forget(uint64_t below);
  void forget() { forget(end()); }

 private:
  const size_t entries_max_;
  std::deque<LoggedRequest> entries_;
  uint64_t first_ = 0;
  uint64_t dropped_ = 0;
};

// What one connection's reader notes down: its link, connection and stage go into each entry.
class RequestNotes {
 public:
  RequestNotes(RequestLog& log, std::string link, uint64_t connection, Stage stage);

  uint64_t begin(LoggedRequest entry);
  void body(uint64_t number, std::string_view bytes);
  void complete(uint64_t number);
  void reset(uint64_t number);

 private:
  RequestLog* log_;
  std::string link_;
  uint64_t connection_;
  Stage stage_;
};

}  // namespace vmproxy::faultproxy
