// HTTP/2 towards a database: one connection carries the streams of many requests of one worker.
#pragma once

#include "net/http2_session.h"
#include "net/worker.h"

namespace vmproxy::net {

class Http2Upstream final : public Http2Session {
 public:
  Http2Upstream(Worker& worker, UpstreamConnectionPtr connection)
      : Http2Session(worker, connection->stream, Side::client, 256 * 1024),
        connection_(std::move(connection)),
        changed_(worker.signals) {}
  ~Http2Upstream() override { close(); }

  // Servers may refuse a request that comes before they acknowledged our settings ...
  bool settled() const { return settled_; }
  // ... but one that serves several protocols on a port acknowledges nothing before it has seen a request. Either has
  // sent its own settings by then.
  bool announced() const { return announced_; }
  // Told once announced, settled or dead.
  Signal& changed() { return changed_; }

  static void start(std::shared_ptr<Http2Upstream> self);
  // Young enough, not closed by the server, and with room.
  bool usable(Duration idle_max, bool surely);

 private:
  void on_processed() override { used_ = std::chrono::steady_clock::now(); }

  void on_settings() override {
    announced_ = true;
    changed_.notify();
  }
  void on_settings_acknowledged() override {
    settled_ = true;
    changed_.notify();
  }

  UpstreamConnectionPtr connection_;
  Signal changed_;
  bool announced_ = false;
  bool settled_ = false;
  TimePoint used_ = std::chrono::steady_clock::now();
};

// A request to a database and its answer. The owner waits for `changed`; whatever arrived is in the members.
class Http2UpstreamStream : public Http2Stream {
 public:
  explicit Http2UpstreamStream(Signal& changed) : changed_(changed) {}
  ~Http2UpstreamStream() override { detach(); }
  void abandon() { detach(); }

  bool head_seen = false;
  bool ended = false;   // in order
  bool closed = false;  // with `error`
  uint32_t error = NGHTTP2_NO_ERROR;
  int status = 0;
  // It was refused in a way that proves that it was not executed.
  bool refused() const { return closed && !head_seen && error == NGHTTP2_REFUSED_STREAM; }
  // Its connection ended before anything of an answer came.
  bool lost() const { return closed && !head_seen && error == NGHTTP2_CONNECT_ERROR; }
  bool finished() const { return ended || closed; }

 protected:
  void on_end() override {
    ended = true;
    changed_.notify();
  }
  void on_closed(uint32_t code) override {
    closed = true;
    error = code;
    changed_.notify();
  }
  Signal& changed_;
};

Error http2_upstream_error(const Http2UpstreamStream& stream, std::string_view address, bool expired);

}  // namespace vmproxy::net
