#include "fault_proxy.h"

#include <boost/asio/co_spawn.hpp>
#include <charconv>

#include "connection.h"

namespace vmproxy::faultproxy {

using namespace net;

// The listener of a link and its connections; kept alive by its own coroutine.
class FaultProxy::Link : public std::enable_shared_from_this<Link> {
 public:
  Link(asio::io_context& io, std::shared_ptr<LinkState> s) : state(std::move(s)), acceptor_(io), pause_(io) {}

  Result<uint16_t> open(uint16_t port) {
    if (auto bound = bind(port); !bound) return bound.error();
    port_ = acceptor_.local_endpoint().port();
    if (auto listening = listen(); !listening) return listening.error();
    return port_;
  }

  Result<void> set(const LinkFaults& faults) {
    const bool refused = state->faults.refuse;
    state->faults = faults;
    each([](Connection& connection) { connection.faults_changed(); });
    if (refused == faults.refuse) return {};
    if (!faults.refuse) return listen();
    // A port that is bound and not listened on is refused by the kernel, and nobody else gets it.
    end_listening();
    return bind(port_);
  }

  template <class Work>
  void each(Work work) {
    std::vector<std::shared_ptr<Connection>> alive;
    for (const auto& weak : connections_) {
      if (auto connection = weak.lock()) alive.push_back(std::move(connection));
    }
    for (const auto& connection : alive) work(*connection);
  }

  void close() {
    end_listening();
    each([](Connection& connection) { connection.close(); });
    for (const auto& weak : state->replays) {
      if (const auto replay = weak.lock()) replay->close();
    }
  }

  uint16_t port() const { return port_; }

  const std::shared_ptr<LinkState> state;

 private:
  Result<void> bind(uint16_t port) {
    error_code failed;
    acceptor_.open(tcp::v4(), failed);
    if (!failed) acceptor_.set_option(tcp::acceptor::reuse_address(true), failed);
    if (!failed) acceptor_.bind({asio::ip::address_v4::loopback(), port}, failed);
    if (failed) return Error(Code::io, "port " + std::to_string(port) + ": " + failed.message());
    return {};
  }

  Result<void> listen() {
    error_code failed;
    acceptor_.listen(asio::socket_base::max_listen_connections, failed);
    if (failed) return Error(Code::io, "port " + std::to_string(port_) + ": " + failed.message());
    asio::co_spawn(acceptor_.get_executor(), accept(shared_from_this(), ++listening_), rethrow);
    return {};
  }

  void end_listening() {
    ++listening_;
    error_code ignored;
    acceptor_.close(ignored);
    pause_.cancel();
  }

  static asio::awaitable<void> accept(std::shared_ptr<Link> self, uint64_t listening) {
    while (self->listening_ == listening) {
      auto [failed, socket] = co_await self->acceptor_.async_accept(as_values);
      if (self->listening_ != listening) co_return;
      if (failed) {  // no descriptors left, or the client has gone
        self->pause_.expires_after(std::chrono::milliseconds(10));
        co_await self->pause_.async_wait(as_values);
        continue;
      }
      auto& counts = self->state->counts;
      if (counts.open >= connections_max) continue;
      ++counts.accepted;
      const auto connection = std::make_shared<Connection>(std::move(socket), self->state, counts.accepted);
      std::erase_if(self->connections_, [](const auto& weak) { return weak.expired(); });
      self->connections_.push_back(connection);
      connection->start();
    }
  }

  tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  uint16_t port_ = 0;
  uint64_t listening_ =
      0;  // counts the times that it was begun or ended: an accept() of before ends by itself
  std::vector<std::weak_ptr<Connection>> connections_;
};

FaultProxy::FaultProxy(asio::io_context& io, uint64_t seed) : io_(io), seed_(seed) {}

FaultProxy::~FaultProxy() {
  close();
}

Result<uint16_t> FaultProxy::add_link(const LinkOptions& options) {
  if (links_.contains(options.name)) return Error(Code::already_exists, "link '" + options.name + "' exists");
  const auto link =
      std::make_shared<Link>(io_, std::make_shared<LinkState>(options.name, options.upstream, log_, seed_));
  const auto port = link->open(options.listen_port);
  if (port) links_.emplace(options.name, link);
  return port;
}

std::map<std::string, uint16_t> FaultProxy::ports() const {
  std::map<std::string, uint16_t> out;
  for (const auto& [name, link] : links_) out.emplace(name, link->port());
  return out;
}

Result<FaultProxy::Link*> FaultProxy::find(const std::string& name) const {
  const auto at = links_.find(name);
  if (at == links_.end()) return Error(Code::not_found, "no link '" + name + "'");
  return at->second.get();
}

Result<void> FaultProxy::set(const std::string& name, const LinkFaults& faults) {
  const auto link = find(name);
  if (!link) return link.error();
  return (*link)->set(faults);
}

Result<LinkFaults> FaultProxy::faults(const std::string& name) const {
  const auto link = find(name);
  if (!link) return link.error();
  return (*link)->state->faults;
}

Result<void> FaultProxy::clear() {
  for (const auto& [name, link] : links_) {
    if (auto cleared = link->set({}); !cleared) return cleared;
  }
  return {};
}

Result<void> FaultProxy::reset(const std::string& name) {
  const auto link = find(name);
  if (!link) return link.error();
  (*link)->each([](Connection& connection) { connection.reset(); });
  return {};
}

Result<void> FaultProxy::reset(const std::string& name, Direction direction) {
  const auto link = find(name);
  if (!link) return link.error();
  (*link)->each([direction](Connection& connection) { connection.reset(direction); });
  return {};
}

Result<void> FaultProxy::half_close(const std::string& name, Direction direction) {
  const auto link = find(name);
  if (!link) return link.error();
  (*link)->each([direction](Connection& connection) { connection.half_close(direction); });
  return {};
}

Result<Counts> FaultProxy::counts(const std::string& name) const {
  const auto link = find(name);
  if (!link) return link.error();
  return (*link)->state->counts;
}

void FaultProxy::close() {
  for (const auto& [name, link] : links_) link->close();
}

Result<LinkOptions> parse_link(const std::string& text) {
  const Error wrong(Code::invalid, "'" + text + "' is not NAME=PORT:HOST:PORT or NAME=PORT:PORT");
  const auto number = [](std::string_view digits, uint16_t& out) {
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), out);
    return read.ec == std::errc() && read.ptr == digits.data() + digits.size();
  };
  LinkOptions options;
  const std::string_view view = text;
  const auto equals = view.find('=');
  const auto first = view.find(':', equals == std::string_view::npos ? 0 : equals);
  if (equals == std::string_view::npos || equals == 0 || first == std::string_view::npos) return wrong;
  options.name = view.substr(0, equals);
  const auto last = view.rfind(':');
  uint16_t upstream_port = 0;
  if (!number(view.substr(equals + 1, first - equals - 1), options.listen_port)) return wrong;
  if (!number(view.substr(last + 1), upstream_port) || upstream_port == 0) return wrong;
  std::string host = "127.0.0.1";
  if (last != first) host = view.substr(first + 1, last - first - 1);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  error_code failed;
  const auto address = asio::ip::make_address(host, failed);
  if (failed) return wrong;
  options.upstream = {address, upstream_port};
  return options;
}

RunningFaultProxy::RunningFaultProxy(uint64_t seed)
    : proxy_(io_, seed), work_(asio::make_work_guard(io_)), thread_([this] { io_.run(); }) {}

RunningFaultProxy::~RunningFaultProxy() {
  call([](FaultProxy& proxy) { proxy.close(); });
  work_.reset();
  thread_.join();
}

uint16_t RunningFaultProxy::add(const std::string& link, uint16_t upstream_port) {
  LinkOptions options;
  options.name = link;
  options.upstream = {asio::ip::address_v4::loopback(), upstream_port};
  return call([&](FaultProxy& proxy) { return proxy.add_link(options).value(); });
}

void RunningFaultProxy::set(const std::string& link, const LinkFaults& faults) {
  call([&](FaultProxy& proxy) { proxy.set(link, faults).value(); });
}

void RunningFaultProxy::reset(const std::string& link) {
  call([&](FaultProxy& proxy) { proxy.reset(link).value(); });
}

Counts RunningFaultProxy::counts(const std::string& link) {
  return call([&](FaultProxy& proxy) { return proxy.counts(link).value(); });
}

}  // namespace vmproxy::faultproxy
