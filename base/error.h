// Error and Result: how every room reports what can go wrong because of a peer, a disk or an operator.
// What only our own bug can break is an assert instead.
#pragma once

#include <boost/system/result.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace vmproxy {

// What went wrong, seen from the caller. `surely_not_done` below says which of these prove that a write
// did not happen: correctness.md 2 treats every other failed write as uncertain.
enum class Code {
  invalid,    // the request is wrong: a validation error of the peer or of ours
  not_found,  // collection, key or file is absent
  already_exists,
  unauthenticated,
  permission_denied,
  quota,         // 429, disk quota, rate limit: refused before it was done
  precondition,  // a gate, a state, a version does not allow it
  unsupported,  // this side cannot express it; the message begins with a stable code, e.g. "filter.like: ..."
  refused_connection,  // no connection was made: nothing was sent
  unavailable,         // the peer answered that it cannot serve now (503, UNAVAILABLE)
  connection_lost,     // broke after bytes may have been sent
  timeout,             // deadline passed after bytes may have been sent
  cancelled,           // given up before anything was sent
  overloaded,          // one of our own bounds is full: it was not begun, and a moment later it may be
  too_large,           // a message is larger than is taken; of an answer: what was asked for was done
  corrupt,             // checksum, format, impossible data
  io,                  // disk
  internal,
};

std::string_view name_of(Code code);

struct Error {
  Error() = default;  // boost::system::result needs one
  Error(Code c, std::string m) : code(c), message(std::move(m)) {}

  // The same error with what was being done in front: "collection 'x': ...".
  Error within(std::string_view context) const { return {code, std::string(context) + ": " + message}; }
  // The error of a later part of a call: once an earlier part is done, or may be, none may say that nothing was.
  Error not_whole(bool some_done) const;

  // True when the peer provably did not and will not execute a write that ended so.
  bool surely_not_done() const;
  // True when the same call may succeed later without anybody changing anything.
  bool retryable() const;

  Code code = Code::internal;
  std::string message;
};

[[noreturn]] void throw_exception_from_error(const Error& error, const boost::source_location& where);

template <class T = void>
using Result = boost::system::result<T, Error>;

}  // namespace vmproxy
