#include "net/http2_callbacks.h"

#include <charconv>

namespace vmproxy::net {
namespace {

nghttp2_nv field(std::string_view name, std::string_view value) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NONE};
}

void add_fields(std::vector<nghttp2_nv>& fields, const Headers& headers) {
  for (const auto& [name, value] : headers.all()) fields.push_back(field(name, value));
}

}  // namespace

nghttp2_session* Http2Session::Callbacks::make(Http2Session& self, Side side) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
  nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_closed);
  nghttp2_option* options = nullptr;
  nghttp2_option_new(&options);
  nghttp2_option_set_no_auto_window_update(options, 1);
  nghttp2_option_set_max_settings(options, 32);
  nghttp2_option_set_max_outbound_ack(options, 1000);
#ifdef VMPROXY_NGHTTP2_LIMITS
  // Rapid reset and continuation floods; patched into 1.52 by distributions.
  nghttp2_option_set_stream_reset_rate_limit(options, resets_burst, resets_per_second);
  nghttp2_option_set_max_continuations(options, 16);
#endif
  nghttp2_session* session = nullptr;
  if (side == Side::server) {
    nghttp2_session_server_new2(&session, callbacks, &self, options);
  } else {
    nghttp2_session_client_new2(&session, callbacks, &self, options);
  }
  nghttp2_option_del(options);
  nghttp2_session_callbacks_del(callbacks);
  if (session == nullptr) throw std::bad_alloc();
  return session;
}

std::vector<nghttp2_nv> Http2Session::Callbacks::request_fields(const Http2Head& head) {
  std::vector<nghttp2_nv> fields;
  fields.reserve(head.headers.all().size() + 4);
  fields.push_back(field(":method", head.method));
  fields.push_back(field(":scheme", head.scheme));
  if (!head.authority.empty()) fields.push_back(field(":authority", head.authority));
  fields.push_back(field(":path", head.path));
  add_fields(fields, head.headers);
  return fields;
}

std::vector<nghttp2_nv> Http2Session::Callbacks::response_fields(const Http2Head& head,
                                                                 const std::string& status) {
  std::vector<nghttp2_nv> fields;
  fields.reserve(head.headers.all().size() + 1);
  fields.push_back(field(":status", status));
  add_fields(fields, head.headers);
  return fields;
}

nghttp2_data_provider Http2Session::Callbacks::provider() {
  nghttp2_data_provider provider{};
  provider.read_callback = read;
  return provider;
}

Http2Stream* Http2Session::Callbacks::find(nghttp2_session* session, int32_t id) {
  return static_cast<Http2Stream*>(nghttp2_session_get_stream_user_data(session, id));
}

// What comes for a stream that its client has ended or reset is an error by nghttp2's own memory: it keeps as many closed
// streams as may be open. It ignores a stream that was passed over, since it may have forgotten it; we know the last ones.
int Http2Session::Callbacks::on_begin_frame(nghttp2_session* session, const nghttp2_frame_hd* frame,
                                            void* user) {
  auto& self = *static_cast<Http2Session*>(user);
  if (frame->type != NGHTTP2_HEADERS || nghttp2_session_check_server_session(session) == 0) return 0;
  const int32_t id = frame->stream_id;
  if (id > self.last_begun_) {
    if (id > self.last_begun_ + 2) self.passed_over_ = {self.last_begun_, id};
    self.last_begun_ = id;
  } else if (id > self.passed_over_.first && id < self.passed_over_.second) {
    self.went_back_ = true;
  }
  return 0;
}

int Http2Session::Callbacks::on_begin_headers(nghttp2_session* session, const nghttp2_frame* frame,
                                              void* user) {
  auto& self = *static_cast<Http2Session*>(user);
  auto* stream = find(session, frame->hd.stream_id);
  if (stream == nullptr) {
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    stream = self.on_stream_begun();
    if (stream == nullptr) {
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    self.attach(*stream, frame->hd.stream_id);
  }
  stream->arriving_ = Http2Head{};
  stream->arriving_bytes_ = 0;
  return 0;
}

int Http2Session::Callbacks::on_header(nghttp2_session* session, const nghttp2_frame* frame,
                                       const uint8_t* name_data, size_t name_bytes, const uint8_t* value_data,
                                       size_t value_bytes, uint8_t, void* user) {
  const auto& self = *static_cast<Http2Session*>(user);
  auto* stream = find(session, frame->hd.stream_id);
  if (stream == nullptr) return 0;
  stream->arriving_bytes_ += name_bytes + value_bytes + 32;
  if (stream->arriving_bytes_ > self.head_bytes_max_)
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // resets the stream
  const std::string_view name(reinterpret_cast<const char*>(name_data), name_bytes);
  const std::string_view value(reinterpret_cast<const char*>(value_data), value_bytes);
  auto& head = stream->arriving_;
  if (!name.starts_with(':')) {
    head.headers.add(name, value);
  } else if (name == ":method") {
    head.method = value;
  } else if (name == ":path") {
    head.path = value;
  } else if (name == ":scheme") {
    head.scheme = value;
  } else if (name == ":authority") {
    head.authority = value;
  } else if (name == ":status") {
    std::from_chars(value.data(), value.data() + value.size(), head.status);
    // As over HTTP/1.1: three digits are not yet a status that a client may be told.
    if (head.status < 100 || head.status > 599) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }
  return 0;
}

int Http2Session::Callbacks::on_frame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
  auto& self = *static_cast<Http2Session*>(user);
  if (carries_something(frame->hd)) {
    self.idle_frames_.give();
  } else if (costs_nothing(frame->hd)) {
    self.calm_down_ = self.calm_down_ || !self.idle_frames_.take();
  }
  if (frame->hd.type == NGHTTP2_SETTINGS && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) {
    self.on_settings_acknowledged();
  } else if (frame->hd.type == NGHTTP2_SETTINGS) {
    self.on_settings();
  }
  if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
  auto* stream = find(session, frame->hd.stream_id);
  if (stream == nullptr) return 0;
  const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  if (frame->hd.type == NGHTTP2_HEADERS) {
    if (stream->head_seen_) {
      stream->on_trailers(std::move(stream->arriving_.headers));
    } else if (stream->arriving_.status < 100 ||
               stream->arriving_.status >= 200) {  // interim answers stay here
      stream->head_seen_ = true;
      stream->on_head(std::move(stream->arriving_), end);
    }
  }
  if (end) stream->on_end();
  return 0;
}

int Http2Session::Callbacks::on_data(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* bytes,
                                     size_t size, void*) {
  nghttp2_session_consume_connection(session, size);
  auto* stream = find(session, id);
  if (stream == nullptr) {
    nghttp2_session_consume_stream(session, id, size);
  } else {
    stream->on_data({reinterpret_cast<const char*>(bytes), size});
  }
  return 0;
}

int Http2Session::Callbacks::on_frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
  auto& self = *static_cast<Http2Session*>(user);
  // NO_ERROR follows a complete answer. A client of a database resets what its own callers give up.
  if (frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR &&
      nghttp2_session_check_server_session(session) != 0)
    self.calm_down_ = self.calm_down_ || !self.resets_.take();
  if (carries_something(frame->hd)) self.idle_frames_.give();
  const bool ends = (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
                    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  auto* stream = ends ? find(session, frame->hd.stream_id) : nullptr;
  if (stream == nullptr) return 0;
  stream->end_sent_ = true;
  stream->on_end_sent();
  return 0;
}

int Http2Session::Callbacks::on_closed(nghttp2_session* session, int32_t id, uint32_t error, void* user) {
  if (auto* stream = find(session, id)) static_cast<Http2Session*>(user)->stream_closed(*stream, error);
  return 0;
}

ssize_t Http2Session::Callbacks::read(nghttp2_session* session, int32_t id, uint8_t* room, size_t size,
                                      uint32_t* flags, nghttp2_data_source*, void*) {
  auto* stream = find(session, id);
  if (stream == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  const auto bytes = stream->out_.bytes().substr(0, size);
  if (bytes.empty() && !stream->out_end_) {
    stream->deferred_ = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(room));
  const auto taken = bytes.size();
  stream->out_.consume(taken);
  stream->out_.shrink();
  if (stream->out_end_ && stream->out_.empty()) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    stream->send_finished_ = true;
    if (stream->out_trailers_) {
      std::vector<nghttp2_nv> fields;
      add_fields(fields, *stream->out_trailers_);
      if (!fields.empty() && nghttp2_submit_trailer(session, id, fields.data(), fields.size()) == 0)
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    }
  }
  if (taken > 0) stream->on_sent(taken);
  return static_cast<ssize_t>(taken);
}

}  // namespace vmproxy::net
