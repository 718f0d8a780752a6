// The names of Asio that this folder's sources share. Included by sources and inner headers only: few files
// pay for it.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/error_code.hpp>

namespace vmproxy::net {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// I/O failures arrive as values: auto [failed, bytes] = co_await socket.async_read_some(buffer, as_values);
inline constexpr auto as_values = asio::as_tuple(asio::use_awaitable);

}  // namespace vmproxy::net
