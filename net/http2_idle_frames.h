// Frames that cost their sender nothing: a peer that sends many of them keeps us busy for free.
#pragma once

#include <nghttp2/nghttp2.h>

namespace vmproxy::net {

// So many at once, and so many more in each second, are no flood yet.
inline constexpr double idle_frames_burst = 10000, idle_frames_per_second = 330;

inline bool carries_something(const nghttp2_frame_hd& frame) {
  if (frame.type == NGHTTP2_DATA) return frame.length > 0 || (frame.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  return frame.type == NGHTTP2_HEADERS;
}

inline bool costs_nothing(const nghttp2_frame_hd& frame) {
  return frame.type == NGHTTP2_PING || frame.type == NGHTTP2_SETTINGS || frame.type == NGHTTP2_PRIORITY ||
         (frame.type == NGHTTP2_DATA && !carries_something(frame));
}

}  // namespace vmproxy::net
