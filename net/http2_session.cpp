#include "net/http2_session.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include "net/http2_callbacks.h"
#include "net/worker.h"

namespace vmproxy::net {
namespace {

constexpr size_t flush_bytes = 64 * 1024;
constexpr size_t read_bytes_max = 64 * 1024;
// Frames that wait for a peer who does not read. In order there are an answer's head for each stream and some
// acknowledgements.
constexpr size_t frames_waiting_max = 4096;

}  // namespace

Http2Session::Http2Session(Worker& worker, Stream& stream, Side side, size_t head_bytes_max,
                           Duration write_timeout)
    : worker_(worker),
      stream_(stream),
      head_bytes_max_(head_bytes_max),
      written_(worker.signals),
      write_timeout_(write_timeout),
      write_timer_(worker.deadlines, [this] { close(); }) {
  session_ = Callbacks::make(*this, side);
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, streams_max},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(head_bytes_max)},
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, side == Side::client ? 4 : 3);
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, 4 << 20);
}

Http2Session::~Http2Session() {
  // The connection may be gone already: run() ended, or the worker is being destroyed.
  for (auto* stream : streams_) stream->session_ = nullptr;
  nghttp2_session_del(session_);
}

bool Http2Session::takes_requests() const {
  return !dead_ && nghttp2_session_check_request_allowed(session_) != 0 &&
         streams_.size() < std::min<size_t>(nghttp2_session_get_remote_settings(
                                                session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS),
                                            1000);
}

asio::awaitable<void> Http2Session::run(Buffer& buffer) {
  const auto keep = shared_from_this();
  flush();
  while (!dead_) {
    if (buffer.empty()) {
      Stream::ReadResult read;
      const auto room = buffer.space(read_bytes_max);
      if (!stream_.read_now(room, read)) read = co_await stream_.read_some(room);
      const auto [failed, bytes] = read;
      if (failed || dead_) break;
      buffer.filled(bytes);
    }
    const auto bytes = buffer.bytes();
    const auto taken =
        nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    on_processed();
    if (taken < 0) {
      nghttp2_session_terminate_session(
          session_, taken == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
      flush();
      break;
    }
    buffer.consume(static_cast<size_t>(taken));
    flush();
    if (writing_ && nghttp2_session_get_outbound_queue_size(session_) > frames_waiting_max) close();
  }
  end();
  while (writing_) co_await written_.wait();  // the writer uses what our owner is about to destroy
}

void Http2Session::end() {
  dead_ = true;
  stream_.cancel();
  while (!streams_.empty()) stream_closed(**streams_.begin(), NGHTTP2_CONNECT_ERROR);
}

void Http2Session::close() {
  dead_ = true;
  stream_.close();
}

void Http2Session::drain(bool last) {
  if (dead_) return;
  if (last) {
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_),
                          NGHTTP2_NO_ERROR, nullptr, 0);
  } else {
    nghttp2_submit_shutdown_notice(session_);
  }
  flush_soon();
}

void Http2Session::flush_soon() {
  if (flush_posted_ || dead_) return;
  flush_posted_ = true;
  asio::post(worker_.io, [self = shared_from_this()] {
    self->flush_posted_ = false;
    self->flush();
  });
}

// Takes frames until there is enough for one write. False: there is nothing to write.
bool Http2Session::fill() {
  out_.clear();
  while (out_.size() < flush_bytes) {
    if (std::exchange(went_back_, false)) nghttp2_session_terminate_session(session_, NGHTTP2_PROTOCOL_ERROR);
    if (std::exchange(calm_down_, false))
      nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
    const uint8_t* bytes = nullptr;
    const auto size = nghttp2_session_mem_send(session_, &bytes);
    if (size < 0) close();
    if (size <= 0) break;
    out_.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
  }
  return !out_.empty();
}

void Http2Session::flush() {
  // While a write is on its way nothing more is taken from the streams: back-pressure.
  while (!dead_ && !writing_ && fill()) {
    Pieces pieces{out_};
    error_code failed;
    if (stream_.write_now(pieces, failed)) {
      if (failed) close();
      continue;
    }
    writing_ = true;
    if (write_timeout_ > Duration::zero())
      write_timer_.set(std::chrono::steady_clock::now() + write_timeout_);
    asio::co_spawn(
        worker_.io,
        [](std::shared_ptr<Http2Session> self, Pieces rest) -> asio::awaitable<void> {
          const auto broken = co_await self->stream_.write_rest(rest);
          self->writing_ = false;
          self->write_timer_.clear();
          if (broken) {
            self->close();
          } else {
            self->flush();
          }
          self->written_.notify();
        }(shared_from_this(), pieces),
        [](std::exception_ptr) {});
  }
  if (!dead_ && !writing_ && nghttp2_session_want_read(session_) == 0 &&
      nghttp2_session_want_write(session_) == 0) {
    dead_ = true;
    stream_.end_writing();
    stream_.cancel();
  }
}

void Http2Session::attach(Http2Stream& stream, int32_t id) {
  stream.session_ = this;
  stream.id_ = id;
  streams_.insert(&stream);
  nghttp2_session_set_stream_user_data(session_, id, &stream);
}

void Http2Session::stream_closed(Http2Stream& stream, uint32_t error) {
  streams_.erase(&stream);
  stream.session_ = nullptr;
  nghttp2_session_set_stream_user_data(session_, stream.id_, nullptr);  // nghttp2 remembers closed streams
  stream.on_closed(error);
}

bool Http2Session::request(Http2Stream& stream, const Http2Head& head, bool end) {
  if (dead_) return false;
  const auto fields = Callbacks::request_fields(head);
  const auto provider = Callbacks::provider();
  const int32_t id = nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(),
                                            end ? nullptr : &provider, &stream);
  if (id < 0) return false;
  attach(stream, id);
  stream.deferred_ = false;
  stream.send_finished_ = end;
  flush_soon();
  return true;
}

Http2Stream::~Http2Stream() {
  detach();
}

void Http2Stream::detach() {
  if (session_ == nullptr) return;
  auto* session = std::exchange(session_, nullptr);
  session->streams_.erase(this);
  nghttp2_session_set_stream_user_data(session->session_, id_, nullptr);
  if (session->dead_) return;
  nghttp2_submit_rst_stream(session->session_, NGHTTP2_FLAG_NONE, id_, NGHTTP2_CANCEL);
  session->flush_soon();
}

void Http2Stream::send_response(const Http2Head& head, bool end) {
  if (session_ == nullptr) return;
  const auto status = std::to_string(head.status);
  const auto fields = Http2Session::Callbacks::response_fields(head, status);
  const auto provider = Http2Session::Callbacks::provider();
  nghttp2_submit_response(session_->session_, id_, fields.data(), fields.size(), end ? nullptr : &provider);
  send_finished_ = end;
  session_->flush_soon();
}

void Http2Stream::send_data(std::string_view bytes) {
  if (session_ == nullptr || bytes.empty()) return;
  out_.append(bytes);
  if (deferred_) {
    deferred_ = false;
    nghttp2_session_resume_data(session_->session_, id_);
  }
  session_->flush_soon();
}

void Http2Stream::send_trailers(const Headers& trailers) {
  out_trailers_ = trailers;
  send_end();
}

void Http2Stream::send_end() {
  if (session_ == nullptr || out_end_ || send_finished_) return;
  out_end_ = true;
  if (deferred_) {
    deferred_ = false;
    nghttp2_session_resume_data(session_->session_, id_);
  }
  session_->flush_soon();
}

void Http2Stream::reset(uint32_t error) {
  if (session_ == nullptr) return;
  nghttp2_submit_rst_stream(session_->session_, NGHTTP2_FLAG_NONE, id_, error);
  session_->flush_soon();
}

void Http2Stream::consumed(size_t bytes) {
  if (session_ == nullptr || bytes == 0) return;
  nghttp2_session_consume_stream(session_->session_, id_, bytes);
  session_->flush_soon();
}

}  // namespace vmproxy::net
