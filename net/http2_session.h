// HTTP/2 over one Stream, either side: Http2Session drives nghttp2, Http2Stream is one request on it.
// nghttp2 is never entered again from its callbacks: what they want sent leaves with the next flush.
// Flow control: the connection's window opens again at once, a stream's only when its bytes went on
// (back-pressure): a peer can make us hold at most stream_window for each of streams_max.
#pragma once

#include <nghttp2/nghttp2.h>

#include <memory>
#include <unordered_set>
#include <utility>

#include "base/clock.h"
#include "net/buffer.h"
#include "net/deadline_queue.h"
#include "net/http2_idle_frames.h"
#include "net/message.h"
#include "net/rate_budget.h"
#include "net/signal.h"
#include "net/stream.h"

namespace vmproxy::net {

class Worker;
class Http2Session;

struct Http2Head {
  std::string method, scheme, authority, path;  // requests
  int status = 0;                               // answers
  Headers headers;
};

class Http2Stream {
 public:
  virtual ~Http2Stream();
  Http2Stream() = default;
  Http2Stream(const Http2Stream&) = delete;
  Http2Stream& operator=(const Http2Stream&) = delete;

  bool attached() const { return session_ != nullptr; }

  // All of these do nothing once the stream is closed.
  void send_response(const Http2Head& head, bool end);
  void send_data(std::string_view bytes);
  void send_trailers(const Headers& trailers);  // ends the stream
  void send_end();
  void reset(uint32_t error);
  void consumed(size_t bytes);  // bytes of on_data() went on: the peer may send as many more
  // Our side has ended in order, and the frame that says so is on its way. What is reset before drops it.
  bool end_sent() const { return end_sent_; }

 protected:
  virtual void on_head(Http2Head head, bool end) = 0;
  virtual void on_data(std::string_view bytes) = 0;
  virtual void on_trailers(Headers trailers) = 0;
  virtual void on_end() = 0;
  virtual void on_sent(size_t) {}              // bytes of send_data() left
  virtual void on_end_sent() {}                // end_sent() has become true
  virtual void on_closed(uint32_t error) = 0;  // the stream is detached; NO_ERROR after an end in order
  void detach();                               // resets it when it is still open
  int32_t id_ = 0;

 private:
  friend class Http2Session;
  Http2Session* session_ = nullptr;
  Buffer out_;
  bool out_end_ = false;
  bool deferred_ = false;
  bool send_finished_ = false;  // everything was given to the session
  bool end_sent_ = false;
  std::optional<Headers> out_trailers_;
  // The header block that is arriving.
  Http2Head arriving_;
  size_t arriving_bytes_ = 0;
  bool head_seen_ = false;
};

class Http2Session : public std::enable_shared_from_this<Http2Session> {
 public:
  enum class Side { server, client };
  static constexpr int32_t stream_window = 256 * 1024;
  static constexpr uint32_t streams_max = 128;
  // Streams that are reset, by the peer or by us: so many at once, and so many more in each second.
  static constexpr uint64_t resets_burst = 1000;
  static constexpr uint64_t resets_per_second = 100;

  // A peer that takes longer to read flush_bytes than `write_timeout` (zero: any time) is cut.
  Http2Session(Worker& worker, Stream& stream, Side side, size_t head_bytes_max, Duration write_timeout = {});
  virtual ~Http2Session();

  // Reads until the connection ends; `buffer` may hold the first bytes. Streams that are open then are
  // closed.
  asio::awaitable<void> run(Buffer& buffer);
  // A new stream of ours. False when the session takes no more.
  bool request(Http2Stream& stream, const Http2Head& head, bool end);
  void flush_soon();
  void drain(bool last);  // GOAWAY; `last`: streams that are on their way now are not served any more
  void close();

  bool alive() const { return !dead_; }
  bool takes_requests() const;
  bool writing() const { return writing_; }  // frames wait for the peer to read
  size_t open_streams() const { return streams_.size(); }
  Worker& worker() { return worker_; }

 protected:
  // Servers: where a new stream's events go, null to refuse it.
  virtual Http2Stream* on_stream_begun() { return nullptr; }
  virtual void on_settings() {}  // the peer's own
  virtual void on_settings_acknowledged() {}
  // After what arrived was processed, outside of callbacks.
  virtual void on_processed() {}

 private:
  friend class Http2Stream;
  struct Callbacks;
  void attach(Http2Stream& stream, int32_t id);
  void stream_closed(Http2Stream& stream, uint32_t error);
  void flush();
  bool fill();
  void end();

  Worker& worker_;
  Stream& stream_;
  const size_t head_bytes_max_;
  nghttp2_session* session_ = nullptr;
  std::unordered_set<Http2Stream*> streams_;
  std::string out_;  // frames being written; bound: flush_bytes and a frame
  bool writing_ = false;
  Signal written_;
  const Duration write_timeout_;
  DeadlineTimer write_timer_;
  bool flush_posted_ = false;
  bool dead_ = false;
  // nghttp2 bounds the resets that a peer sends, not those that it provokes (MadeYouReset, CVE-2025-8671).
  RateBudget resets_{resets_burst, resets_per_second};
  // PING, SETTINGS, PRIORITY and DATA without bytes cost their sender nothing. gRPC sends a PING for what it receives, so
  // each frame with something in it allows one more.
  RateBudget idle_frames_{idle_frames_burst, idle_frames_per_second};
  bool calm_down_ = false;  // a budget is used up: GOAWAY is due
  // Servers: the highest stream begun, the last two between which streams were passed over, and whether one of those came.
  int32_t last_begun_ = -1;
  std::pair<int32_t, int32_t> passed_over_{0, 0};
  bool went_back_ = false;  // GOAWAY is due
};

}  // namespace vmproxy::net
