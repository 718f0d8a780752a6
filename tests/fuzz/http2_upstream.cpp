// A database that speaks HTTP/2, or something like it, behind the proxy: what it says once it was asked is what follows the first byte
// of an input. That byte says how the two requests of a client are carried. The client is nghttp2: whatever the database says, it
// is told nothing that breaks the protocol, and both of its requests come to an end.
#include <nghttp2/nghttp2.h>

#include "passing.h"

using namespace vmproxy;
using fuzz::must;

namespace {

constexpr std::string_view greeting("\0\0\0\4\0\0\0\0\0\0\0\0\4\1\0\0\0\0",
                                    18);  // settings, and ours acknowledged
constexpr int requests = 2;

class Client {
 public:
  explicit Client(bool with_body) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame*, int, void*) {
          must(false, "a client gets no frame that breaks the protocol");
          return 0;
        });
    nghttp2_session_callbacks_set_on_invalid_header_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame*, const uint8_t*, size_t, const uint8_t*, size_t,
                      uint8_t, void*) {
          must(false, "nor a field that is none");
          return 0;
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        callbacks, [](nghttp2_session*, int32_t, uint32_t, void* self) {
          ++static_cast<Client*>(self)->ended_;
          return 0;
        });
    nghttp2_session_client_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry window{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window_bytes};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &window, 1);
    nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, window_bytes);
    std::array fields{field(":method", "POST"), field(":scheme", "http"), field(":path", "/s/m"),
                      field(":authority", "h"), field("te", "trailers")};
    nghttp2_data_provider body{};
    body.read_callback = [](nghttp2_session*, int32_t, uint8_t* room, size_t, uint32_t* flags,
                            nghttp2_data_source*, void*) -> ssize_t {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      return std::string_view("body").copy(reinterpret_cast<char*>(room), 4);
    };
    for (int i = 0; i < requests; ++i)
      nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(), with_body ? &body : nullptr,
                             nullptr);
    take_said();
    // Behind the requests: no more of them, and the connection ends with their answers.
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, nullptr, 0);
    take_said();
  }
  ~Client() { nghttp2_session_del(session_); }
  Client(const Client&) = delete;

  const std::string& said() const { return said_; }
  void hear(std::string_view bytes) {
    const auto taken =
        nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    must(taken == static_cast<ssize_t>(bytes.size()), "a client can read all that it is told");
    must(ended_ == requests, "each request comes to an end");
  }

 private:
  static constexpr int32_t window_bytes = 1 << 20;

  static nghttp2_nv field(std::string_view name, std::string_view value) {
    return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
            reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
            NGHTTP2_NV_FLAG_NONE};
  }
  void take_said() {
    const uint8_t* bytes = nullptr;
    for (ssize_t size = 0; (size = nghttp2_session_mem_send(session_, &bytes)) > 0;)
      said_.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
  }

  nghttp2_session* session_ = nullptr;
  std::string said_;
  int ended_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const bool holds = (data[0] & 1) != 0, with_body = (data[0] & 2) != 0;
  fuzz::HostileServer::instance().say(greeting, fuzz::text_of(data, size).substr(1), requests);
  Client client(with_body);
  client.hear(fuzz::converse(client.said(), fuzz::listener_before_database(holds, false), false));
  return 0;
}
