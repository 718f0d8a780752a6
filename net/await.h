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
  using Waiter = typename boost::asio::async_result<boost::asio::use_awaitable_t<>, void(T)>::handler_type;
  struct State {
    explicit State(boost::asio::any_io_executor e) : executor(std::move(e)) {}
    const boost::asio::any_io_executor executor;
    std::mutex mutex;
    std::optional<T> value;
    std::optional<Waiter> waiting;  // the coroutine, once there was nothing to take at once
  };
  // On the coroutine's own thread, as everything of the coroutine.
  const auto resume = [](std::shared_ptr<State> state) {
    // Taken out first: the coroutine holds the state, so the state must not hold the coroutine when nobody resumes it any more.
    Waiter handler = std::move(*state->waiting);
    state->waiting.reset();
    const auto& there = state->executor;
    boost::asio::post(there, [state = std::move(state), handler = std::move(handler)]() mutable {
      std::move(handler)(std::move(*state->value));
    });
  };
  const auto state = std::make_shared<State>(std::move(executor));
  start(std::function<void(T)>([state, resume](T value) {
    {
      std::lock_guard hold(state->mutex);
      state->value.emplace(std::move(value));
      if (!state->waiting) return;
    }
    resume(state);
  }));
  {
    std::lock_guard hold(state->mutex);
    if (state->value) co_return std::move(*state->value);
  }
  co_return co_await boost::asio::async_initiate<const boost::asio::use_awaitable_t<>, void(T)>(
      [state, resume](auto handler) {
        {
          std::lock_guard hold(state->mutex);
          state->waiting.emplace(std::move(handler));
          if (!state->value) return;
        }
        resume(state);  // done between the look above and here
      },
      boost::asio::use_awaitable);
}

}  // namespace vmproxy::net
