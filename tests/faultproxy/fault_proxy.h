// FaultProxy: links between two parties, each with faults that can change while connections run. All of it belongs to
// the thread that runs its io_context; RunningFaultProxy below is for tests that have a thread of their own.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <map>
#include <thread>

#include "link.h"
#include "net/asio.h"

namespace vmproxy::faultproxy {

struct LinkOptions {
  std::string name;
  uint16_t listen_port = 0;  // on 127.0.0.1; 0: any free one
  net::tcp::endpoint upstream;
};

// "NAME=PORT:HOST:PORT" or "NAME=PORT:PORT" (then on 127.0.0.1); HOST is a numeric address, IPv6 in brackets.
Result<LinkOptions> parse_link(const std::string& text);

class FaultProxy {
 public:
  static constexpr size_t connections_max = 10'000;  // of each link; more are closed at once

  // The seed decides every jitter: the same for the same link name, connection number and direction.
  FaultProxy(net::asio::io_context& io, uint64_t seed);
  ~FaultProxy();

  // Binds now. The port, or why not.
  Result<uint16_t> add_link(const LinkOptions& options);
  std::map<std::string, uint16_t> ports() const;

  // For connections that are open, and for new ones; a duplicate is for new ones only. Errors: not_found; io when the
  // port cannot be listened on again after refuse.
  Result<void> set(const std::string& link, const LinkFaults& faults);
  Result<LinkFaults> faults(const std::string& link) const;
  Result<void> clear();  // all links

  // What is open now.
  Result<void> reset(const std::string& link);
  Result<void> reset(const std::string& link, Direction direction);
  Result<void> half_close(const std::string& link, Direction direction);

  Result<Counts> counts(const std::string& link) const;
  RequestLog& log() { return log_; }

  // Everything ends; the io_context then runs out of work.
  void close();

 private:
  class Link;
  Result<Link*> find(const std::string& name) const;

  net::asio::io_context& io_;
  const uint64_t seed_;
  RequestLog log_;
  std::map<std::string, std::shared_ptr<Link>> links_;
};

// A FaultProxy on a thread of its own. Thread-safe.
class RunningFaultProxy {
 public:
  explicit RunningFaultProxy(uint64_t seed = 1);
  ~RunningFaultProxy();

  // Runs work(proxy) on the proxy's thread and returns its value; what it throws is thrown here.
  template <class Work>
  auto call(Work work) {
    using Value = decltype(work(std::declval<FaultProxy&>()));
    std::packaged_task<Value()> task([this, &work] { return work(proxy_); });
    auto value = task.get_future();
    net::asio::post(io_, [&task] { task(); });
    return value.get();
  }
  // The most usual calls; they throw where FaultProxy has an error.
  uint16_t add(const std::string& link, uint16_t upstream_port);
  void set(const std::string& link, const LinkFaults& faults);
  void reset(const std::string& link);
  Counts counts(const std::string& link);

 private:
  net::asio::io_context io_{1};
  FaultProxy proxy_;
  net::asio::executor_work_guard<net::asio::io_context::executor_type> work_;
  std::thread thread_;
};

}  // namespace vmproxy::faultproxy
