// on_pool: blocking work (drivers, disk) awaited by a coroutine that must not block its io thread.
#pragma once

#include "base/error.h"
#include "base/thread_pool.h"
#include "net/await.h"

namespace vmproxy::proxy {

// Code::overloaded when the pool is full. `work` may refer to what lives as long as the awaiting coroutine.
template <class T>
boost::asio::awaitable<Result<T>> on_pool(ThreadPool& pool, boost::asio::any_io_executor executor,
                                          std::function<Result<T>()> work) {
  co_return co_await net::completion<Result<T>>(executor, [&](std::function<void(Result<T>)> done) {
    // Copied into the pool's item: the frame that holds `work` may be gone the moment done() has run.
    const bool posted = pool.post([work, done] {
      try {
        done(work());
      } catch (const std::exception& e) {
        done(Error(Code::internal, e.what()));
      }
    });
    if (!posted) done(Error(Code::overloaded, "too many requests wait for the database"));
  });
}

}  // namespace vmproxy::proxy
