// What nghttp2 calls, and how heads become its name/value arrays. Inner header of http2_session.cpp.
#pragma once

#include <vector>

#include "net/http2_session.h"

namespace vmproxy::net {

struct Http2Session::Callbacks {
  static nghttp2_session* make(Http2Session& self, Side side);
  // The arrays point into their arguments.
  static std::vector<nghttp2_nv> request_fields(const Http2Head& head);
  static std::vector<nghttp2_nv> response_fields(const Http2Head& head, const std::string& status);
  static nghttp2_data_provider provider();

 private:
  static Http2Stream* find(nghttp2_session* session, int32_t id);
  static int on_begin_frame(nghttp2_session* session, const nghttp2_frame_hd* frame, void* user);
  static int on_begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user);
  static int on_header(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                       size_t name_bytes, const uint8_t* value, size_t value_bytes, uint8_t flags,
                       void* user);
  static int on_frame(nghttp2_session* session, const nghttp2_frame* frame, void* user);
  static int on_data(nghttp2_session* session, uint8_t flags, int32_t id, const uint8_t* bytes, size_t size,
                     void* user);
  static int on_frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void* user);
  static int on_closed(nghttp2_session* session, int32_t id, uint32_t error, void* user);
  static ssize_t read(nghttp2_session* session, int32_t id, uint8_t* room, size_t size, uint32_t* flags,
                      nghttp2_data_source* source, void* user);
};

}  // namespace vmproxy::net
