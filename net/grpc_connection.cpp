#include "net/grpc_connection.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace vmproxy::net {
namespace {

constexpr int32_t window_bytes = 8 << 20;
constexpr size_t field_bytes_max = 256 * 1024;
// Between calls come some settings, pings and window updates. The rest of an answer that was too large is not waited for.
constexpr size_t idle_bytes_max = 64 * 1024;

std::string_view text(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace

struct GrpcConnection::Callbacks {
  static Call* find(void* user, int32_t id) {
    auto& self = *static_cast<GrpcConnection*>(user);
    return id == self.id_ ? self.call_ : nullptr;
  }
  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_bytes,
                       const uint8_t* value, size_t value_bytes, uint8_t, void* user) {
    auto* call = find(user, frame->hd.stream_id);
    if (call == nullptr) return 0;
    // A field may come packed into one byte.
    call->field_bytes += name_bytes + value_bytes + 32;
    if (call->field_bytes > field_bytes_max)
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // resets the stream
    const auto field = text(name, name_bytes);
    const auto held = text(value, value_bytes);
    if (field == ":status") {
      std::from_chars(held.data(), held.data() + held.size(), call->status);
    } else if (!field.starts_with(':')) {
      (call->head_seen ? call->trailers : call->headers).add(field, held);
    }
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    auto& self = *static_cast<GrpcConnection*>(user);
    if (carries_something(frame->hd)) {
      self.idle_frames_.give();
    } else if (costs_nothing(frame->hd) && !self.idle_frames_.take()) {
      self.flooded_ = true;
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    auto* call = find(user, frame->hd.stream_id);
    if (call == nullptr) return 0;
    if (call->status >= 200) {
      call->head_seen = true;
    } else {
      call->headers = {};  // of an interim answer
    }
    return 0;
  }
  static int on_data(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* bytes, size_t size,
                     void* user) {
    auto* call = find(user, id);
    if (call == nullptr || call->too_large) return 0;
    if (call->answer.size() + size > call->answer_bytes_max) {
      call->too_large = true;
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    } else {
      call->answer.append(text(bytes, size));
    }
    return 0;
  }
  static int on_closed(nghttp2_session*, int32_t id, uint32_t error, void* user) {
    if (auto* call = find(user, id)) {
      call->closed = true;
      call->error = error;
    }
    return 0;
  }
  static ssize_t read(nghttp2_session*, int32_t id, uint8_t* room, size_t size, uint32_t* flags,
                      nghttp2_data_source*, void* user) {
    auto* call = find(user, id);
    if (call == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    const auto taken = std::min(size, call->body.size());
    std::copy_n(call->body.data(), taken, reinterpret_cast<char*>(room));
    call->body.remove_prefix(taken);
    if (call->body.empty()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(taken);
  }
};

GrpcConnection::GrpcConnection(std::unique_ptr<BlockingStream> stream) : stream_(std::move(stream)) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::on_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::on_frame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::on_closed);
  nghttp2_session_client_new(&session_, callbacks, this);
  nghttp2_session_callbacks_del(callbacks);
  if (session_ == nullptr) throw std::bad_alloc();
  const std::array<nghttp2_settings_entry, 2> settings = {
      {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window_bytes}}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, window_bytes);
}

GrpcConnection::~GrpcConnection() {
  nghttp2_session_del(session_);
}

bool GrpcConnection::still_usable() {
  const auto now = std::chrono::steady_clock::now();
  for (size_t bytes = 0; bytes <= idle_bytes_max;) {
    const auto received = receive_frames(now);  // what is there, without waiting
    if (!received) {
      return received.error().code == Code::timeout && nghttp2_session_check_request_allowed(session_) != 0;
    }
    if (*received == 0) return false;
    bytes += *received;
  }
  return false;
}

Result<void> GrpcConnection::send_frames(Deadline deadline) {
  std::string frames;
  for (;;) {
    const uint8_t* bytes = nullptr;
    const auto size = nghttp2_session_mem_send(session_, &bytes);
    if (size < 0) return Error(Code::connection_lost, nghttp2_strerror(static_cast<int>(size)));
    frames.append(text(bytes, static_cast<size_t>(size)));
    if (size == 0 || frames.size() > 256 * 1024) {
      if (frames.empty()) return {};
      size_t sent = 0;
      auto written = stream_->write(frames, deadline, &sent);
      if (call_ != nullptr) call_->sent += sent;
      if (!written) return written;
      frames.clear();
    }
  }
}

Result<size_t> GrpcConnection::receive_frames(Deadline deadline) {
  std::array<char, 64 * 1024> room;
  const auto bytes = stream_->read_some(room, deadline);
  if (!bytes || *bytes == 0) return bytes;
  const auto taken =
      nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(room.data()), *bytes);
  if (flooded_)
    return Error(Code::connection_lost,
                 "the server sent more frames with nothing in them than an honest one has use for");
  if (taken < 0)
    return Error(Code::connection_lost,
                 std::string("not HTTP/2: ") + nghttp2_strerror(static_cast<int>(taken)));
  return bytes;
}

Result<void> GrpcConnection::run(const std::vector<std::pair<std::string, std::string>>& head, Call& call,
                                 Deadline deadline) {
  std::vector<nghttp2_nv> fields;
  for (const auto& [name, value] : head) {
    fields.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                      reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
                      NGHTTP2_NV_FLAG_NONE});
  }
  nghttp2_data_provider provider{};
  provider.read_callback = Callbacks::read;
  call_ = &call;
  id_ = nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(), &provider, nullptr);
  Result<void> result;
  if (id_ < 0) result = Error(Code::connection_lost, nghttp2_strerror(id_));
  while (result && !call.closed) {
    result = send_frames(deadline);
    if (!result && result.error().code == Code::connection_lost && call.sent > 0) {
      result = {};  // the answer may be there although the server reads no more
    }
    if (!result || call.closed) break;
    const auto received = receive_frames(deadline);
    if (!received) result = received.error();
    if (received && *received == 0) result = Error(Code::connection_lost, "the server closed the connection");
  }
  if (result) (void)send_frames(deadline);  // acknowledgements and window updates
  call_ = nullptr;
  return result;
}

}  // namespace vmproxy::net
