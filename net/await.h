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
#include <mutex>
#include <optional>
#include <utility>

namespace vmproxy::net {

// co_await completion<T>(executor, [&](std::function<void(T)> done) { start(..., std::move(done)); })
// `start` runs at once on the calling thread; `done` may be called from any thread, exactly once. What is done by the
// time `start` returns (most gates stand open) costs no way through the executor.
template <class T, class Start>
boost::asio::awaitable<T> completion(boost::asio::any_io_executor executor, Start start) {
  struct State {
    std::mutex mutex;
    std::optional<T> value;
    std::function<void(T)> resume;
  };
  const auto state = std::make_shared<State>();
  start(std::function<void(T)>([state](T value) {
    std::function<void(T)> resume;
    {
      std::lock_guard hold(state->mutex);
      if (!state->resume) {
        state->value.emplace(std::move(value));
        return;
      }
      resume = std::move(state->resume);
    }
    resume(std::move(value));
  }));
  {
    std::lock_guard hold(state->mutex);
    if (state->value) co_return std::move(*state->value);
  }
  co_return co_await boost::asio::async_initiate<const boost::asio::use_awaitable_t<>, void(T)>(
      [executor, state](auto handler) {
        auto shared = std::make_shared<decltype(handler)>(std::move(handler));
        auto resume = [executor, shared](T value) {
          auto held = std::make_shared<T>(std::move(value));
          boost::asio::post(executor, [shared, held] { std::move (*shared)(std::move(*held)); });
        };
        std::unique_lock hold(state->mutex);
        if (!state->value) {
          state->resume = std::move(resume);
          return;
        }
        hold.unlock();  // done between the look above and here
        resume(std::move(*state->value));
      },
      boost::asio::use_awaitable);
}

}  // namespace vmproxy::net
