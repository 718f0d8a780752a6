#include "net/server.h"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <memory>
#include <thread>

#include "base/log.h"
#include "net/connection.h"
#include "net/descriptors.h"

namespace vmproxy::net {
namespace {

using namespace std::chrono_literals;

// Only the worker's own thread uses its sockets: the reactor needs no locks.
constexpr int one_thread_per_context = BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO;
constexpr auto accept_pause = 100ms;
constexpr int backlog = 4096;
// Connections to databases that each worker may have where hardly any file may be open.
constexpr size_t places_least = 4;

struct WorkerThread {
  ConnectionList connections;  // outlives the coroutines that the io_context destroys
  asio::io_context io{one_thread_per_context};
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  std::thread thread;
};

struct Acceptor {
  Acceptor(asio::io_context& io, std::shared_ptr<const Listener> l)
      : acceptor(io), pause(io), listener(std::move(l)) {}
  tcp::acceptor acceptor;
  asio::steady_timer pause;
  std::shared_ptr<const Listener> listener;
};

asio::awaitable<void> run_connection(std::unique_ptr<Connection> connection) {
  co_await connection->run();
}

void start_connection(WorkerThread& worker, std::shared_ptr<const Listener> listener, int fd) {
  auto connection =
      std::make_unique<Connection>(worker_of(worker.io), std::move(listener), worker.connections, fd);
  asio::co_spawn(worker.io, run_connection(std::move(connection)), [](std::exception_ptr thrown) {
    if (!thrown) return;
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& e) {
      log::error("a connection ended by an exception, which is a bug of vmproxy", {{"what", e.what()}});
    }
  });
}

}  // namespace

struct Server::State {
  std::vector<std::unique_ptr<WorkerThread>> workers;
  std::vector<std::unique_ptr<Acceptor>> acceptors;  // run on the first worker
  bool started = false;
  bool stopped = false;

  size_t connections() const {
    size_t sum = 0;
    for (const auto& worker : workers) sum += worker->connections.count.load();
    return sum;
  }

  void accept(Acceptor& a) {
    a.acceptor.async_wait(tcp::acceptor::wait_read, [this, &a](const error_code& failed) {
      if (!failed) take(a);
    });
  }

  // Waits before it looks again: neither a full descriptor table nor a full connection table makes it spin.
  void wait(Acceptor& a) {
    a.pause.expires_after(accept_pause);
    a.pause.async_wait([this, &a](const error_code& failed) {
      if (!failed) take(a);
    });
  }

  void take(Acceptor& a) {
    const bool room = take_waiting(a, 64);
    if (!a.acceptor.is_open()) return;
    if (room) {
      accept(a);
    } else {
      wait(a);
    }
  }

  // Takes so many of those who wait. False: one more cannot be taken now; further clients wait in the backlog.
  bool take_waiting(Acceptor& a, int most) {
    for (int taken = 0; taken < most; ++taken) {
      if (connections() >= a.listener->options.connections_max) return false;
      const int fd = ::accept4(a.acceptor.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
          log::warn("cannot accept connections now; clients wait",
                    {{"reason", error_code(errno, boost::system::system_category()).message()}});
          return false;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) return true;
        if (errno == EBADF || errno == EINVAL) return true;  // closed
        continue;                                            // this connection failed before we took it
      }
      auto& worker = **std::min_element(workers.begin(), workers.end(), [](const auto& x, const auto& y) {
        return x->connections.count.load() < y->connections.count.load();
      });
      ++worker.connections.count;
      asio::post(worker.io, [&worker, listener = a.listener, fd] { start_connection(worker, listener, fd); });
    }
    return true;
  }

  template <class F>
  void on_each_connection(F f) {
    for (auto& worker : workers) {
      asio::post(worker->io, [&list = worker->connections, f] {
        const std::vector<Connection*> all(list.all.begin(), list.all.end());
        for (auto* connection : all) {
          if (list.all.count(connection) > 0) f(*connection);
        }
      });
    }
  }

  void stop(Duration drain_timeout) {
    if (stopped) return;
    stopped = true;
    if (started) {
      const auto closed = std::make_shared<std::promise<void>>();
      asio::post(workers.front()->io, [this, closed] {
        for (auto& a : acceptors) {
          take_waiting(*a,
                       backlog);  // whom the system has let in: they have perhaps sent their request already
          error_code ignored;
          a->acceptor.close(ignored);
          a->pause.cancel();
        }
        closed->set_value();
      });
      // They are told to drain like the others. A worker that hangs is not waited for.
      closed->get_future().wait_for(std::min<Duration>(drain_timeout / 2, 1s));
      drain(drain_timeout);
    }
    for (auto& worker : workers) {
      worker->work.reset();
      worker->io.stop();
      if (worker->thread.joinable()) worker->thread.join();
      worker_of(worker->io).forget_connections();
    }
  }

  void drain(Duration timeout) {
    const auto begun = std::chrono::steady_clock::now();
    const auto deadline = begun + timeout;
    // An idle client may be sending its next request just now: it gets a moment, and "Connection: close" with
    // the answer.
    const auto idle_until = begun + std::min<Duration>(timeout / 2, 1s);
    on_each_connection([](Connection& connection) { connection.drain(); });
    while (connections() > 0 && std::chrono::steady_clock::now() < deadline) {
      if (std::chrono::steady_clock::now() >= idle_until) {
        on_each_connection([](Connection& connection) {
          connection.drain();
          if (!connection.busy) connection.stream.close();
        });
      }
      std::this_thread::sleep_for(5ms);
    }
    on_each_connection([](Connection& connection) { connection.stream.close(); });
    const auto last = std::chrono::steady_clock::now() + 500ms;
    while (connections() > 0 && std::chrono::steady_clock::now() < last) std::this_thread::sleep_for(2ms);
  }
};

Server::Server(size_t workers) : state_(std::make_unique<State>()) {
  for (size_t i = 0; i < std::max<size_t>(workers, 1); ++i) {
    state_->workers.push_back(std::make_unique<WorkerThread>());
    worker_of(state_->workers.back()->io);
  }
}

Server::~Server() {
  stop(Duration{});
}

Result<uint16_t> Server::listen(const ListenOptions& options, Handler handler) {
  const std::string where = options.host + ":" + std::to_string(options.port);
  const auto refuse = [&](const error_code& failed) {
    return Error(Code::invalid,
                 "cannot listen on " + where + ": " + failed.message() +
                     ". Choose another address or port, or stop what uses it (ss -ltnp shows it).");
  };
  auto& io = state_->workers.front()->io;
  error_code failed;
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(options.host, std::to_string(options.port),
                                      tcp::resolver::passive | tcp::resolver::numeric_service, failed);
  if (failed || found.empty()) return refuse(failed);
  auto listener = std::make_shared<Listener>(Listener{options, std::move(handler), nullptr});
  listener->options.connections_max = std::min(options.connections_max, descriptor_shares().clients);
  if (!options.tls.certificate_file.empty()) {
    auto tls = server_tls(options.tls);
    if (!tls) return tls.error().within("listener " + where);
    listener->tls = *tls;
  }
  auto made = std::make_unique<Acceptor>(io, std::move(listener));
  const auto endpoint = found.begin()->endpoint();
  auto& acceptor = made->acceptor;
  acceptor.open(endpoint.protocol(), failed);
  if (!failed) acceptor.set_option(tcp::acceptor::reuse_address(true), failed);
  if (!failed) acceptor.bind(endpoint, failed);
  if (!failed) acceptor.listen(backlog, failed);
  if (!failed) acceptor.non_blocking(true, failed);
  if (failed) return refuse(failed);
  const uint16_t port = acceptor.local_endpoint(failed).port();
  state_->acceptors.push_back(std::move(made));
  if (state_->started) {
    asio::post(io, [state = state_.get(), acceptor_made = state_->acceptors.back().get()] {
      state->accept(*acceptor_made);
    });
  }
  return port;
}

void Server::start() {
  if (state_->started) return;
  state_->started = true;
  for (auto& acceptor : state_->acceptors) state_->accept(*acceptor);
  const size_t places = std::max(descriptor_shares().databases / state_->workers.size(), places_least);
  for (auto& worker : state_->workers) {
    worker_of(worker->io).places.at_most(places);
    worker->thread = std::thread([&io = worker->io] { io.run(); });
  }
}

void Server::stop(Duration drain_timeout) {
  state_->stop(drain_timeout);
}
asio::io_context& Server::worker(size_t index) {
  return state_->workers.at(index)->io;
}
size_t Server::connections() const {
  return state_->connections();
}

}  // namespace vmproxy::net
