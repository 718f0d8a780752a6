// Awaiting what completes on another thread (journal, pools), with the coroutine resumed on its own worker.
#pragma once

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <memory>
#include <utility>

namespace vmproxy::net {

// co_await completion<T>(executor, [&](std::function<void(T)> done) { start(..., std::move(done)); })
// `start` runs at once on the calling thread; `done` may be called from any thread, exactly once.
template <class T, class Start>
boost::asio::awaitable<T> completion(boost::asio::any_io_executor executor, Start start) {
  co_return co_await boost::asio::async_initiate<const boost::asio::use_awaitable_t<>, void(T)>(
      [executor, &start](auto handler) {
        auto shared = std::make_shared<decltype(handler)>(std::move(handler));
        start(std::function<void(T)>([executor, shared](T value) {
          auto held = std::make_shared<T>(std::move(value));
          boost::asio::post(executor, [shared, held] { std::move (*shared)(std::move(*held)); });
        }));
      },
      boost::asio::use_awaitable);
}

}  // namespace vmproxy::net
