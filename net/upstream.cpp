#include "net/upstream.h"

#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <boost/url/parse.hpp>
#include <charconv>

#include "net/http2_upstream.h"
#include "net/message.h"
#include "net/worker.h"

namespace vmproxy::net {
namespace {

std::atomic<uint64_t> upstreams_made{0};

// A FIN that arrived longer ago was seen by the poller or is asked for; servers close what is idle, not what
// was just used.
constexpr auto look_again_after = std::chrono::milliseconds(2);

std::string connect_advice(const std::string& address) {
  return ". Nothing was sent to " + address + ". Check that the database runs and that the address is right.";
}

Error too_many(const std::string& address) {
  return {
      Code::overloaded,
      "no connection to " + address +
          " can be made: as many are in use as the limit of open files allows. Nothing was sent. Try again, "
          "or raise the limit (ulimit -n, LimitNOFILE=) of vmproxy."};
}

}  // namespace

Result<UpstreamOptions> parse_upstream_url(const std::string& url) {
  // Never the address itself: it may hold a password, also where it is no URL.
  const auto wrong = [](std::string_view why) {
    return Error(Code::invalid, "the address " + std::string(why) +
                                    "; write http://host:port, https://host:port or host:port.");
  };
  std::string text = url;
  if (text.find("://") == std::string::npos) text = "http://" + text;
  const auto parsed = boost::urls::parse_uri(text);
  if (!parsed) return wrong("is not a URL");
  if (parsed->scheme() != "http" && parsed->scheme() != "https") return wrong("has an unknown scheme");
  if (parsed->host().empty()) return wrong("has no host");
  // What is escaped there no name has, and it would stand in the head of each request.
  using boost::urls::host_type;
  if (parsed->host_type() == host_type::ipvfuture ||
      (parsed->host_type() == host_type::name && parsed->encoded_host().contains('%')))
    return wrong("has a host that is no name and no address");
  if (parsed->has_userinfo())
    return wrong("holds credentials, which belong in the credentials' own settings");
  if (!parsed->encoded_path().empty() && parsed->encoded_path() != "/") return wrong("has a path");
  if (parsed->has_query() || parsed->has_fragment()) return wrong("has a query");
  UpstreamOptions options;
  options.host = parsed->host_type() == boost::urls::host_type::ipv6 ? parsed->host_ipv6_address().to_string()
                                                                     : std::string(parsed->host());
  options.tls.enabled = parsed->scheme() == "https";
  options.port = options.tls.enabled ? 443 : 80;
  if (parsed->has_port()) {
    const std::string digits(parsed->port());
    unsigned port = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (read.ec != std::errc() || read.ptr != digits.data() + digits.size() || port == 0 || port > 65535) {
      return wrong("has a port that is not between 1 and 65535");
    }
    options.port = static_cast<uint16_t>(port);
  }
  return options;
}

Upstream::Upstream(UpstreamOptions options)
    : options_(std::move(options)), pool_(std::make_shared<UpstreamPool>(options_)) {}
Upstream::~Upstream() = default;

UpstreamPool::UpstreamPool(const UpstreamOptions& o)
    : options(o), id(++upstreams_made), address(o.host + ":" + std::to_string(o.port)) {}

Result<TlsContext> UpstreamPool::tls(ClientProtocol protocol) {
  std::lock_guard hold(mutex_);
  auto& context = tls_[protocol == ClientProtocol::http2 ? 1 : 0];
  if (!context) {
    auto made = client_tls(options.tls, protocol);
    if (!made) return made.error();
    context = *made;
  }
  return context;
}

WorkerPool& Worker::pool(Upstream& upstream) {
  const auto& shared = upstream.pool();
  auto& pool = pools_[shared->id];
  if (!pool) pool = std::make_unique<WorkerPool>(*this, shared);
  return *pool;
}

WorkerPool::WorkerPool(Worker& worker, std::shared_ptr<UpstreamPool> shared)
    : worker_(worker),
      shared_(std::move(shared)),
      sweep_timer_(worker.deadlines, [this] { sweep(); }),
      connected_(worker.io, TimePoint::max()) {}

bool Worker::close_idle_connection() {
  return std::any_of(pools_.begin(), pools_.end(), [](auto& pool) { return pool.second->close_idle(); });
}

UpstreamConnectionPtr WorkerPool::take_idle(Reuse reuse) {
  return worker_.places.awaited() || reuse == Reuse::none ? nullptr : youngest_idle(reuse);
}

UpstreamConnectionPtr WorkerPool::youngest_idle(Reuse reuse) {
  const auto now = std::chrono::steady_clock::now();
  while (!idle_.empty()) {
    const auto idle = now - idle_.back()->idle_since;
    if (reuse == Reuse::recent && idle > recently) return nullptr;
    auto connection = std::move(idle_.back());
    idle_.pop_back();
    if (connection->usable_until > now &&
        connection->stream.quiet(reuse == Reuse::recent || idle > look_again_after))
      return connection;
  }
  return nullptr;
}

void WorkerPool::put_back(UpstreamConnectionPtr connection) {
  auto idle_max = shared_->options.idle_max;
  if (connection->keep_alive_timeout > Duration{}) {
    // A second before the server's own end; a server that announces one second gets no reuse.
    idle_max = std::min<Duration>(idle_max, connection->keep_alive_timeout - std::chrono::seconds(1));
  }
  if (idle_max <= Duration{}) return;
  connection->reused = true;
  connection->idle_since = std::chrono::steady_clock::now();
  connection->usable_until = connection->idle_since + idle_max;
  connection->buffer.shrink();
  if (idle_.size() >= shared_->options.idle_connections_max) idle_.pop_front();
  idle_.push_back(std::move(connection));
  if (sweep_timer_.deadline() == TimePoint::max()) sweep_timer_.set(idle_.back()->usable_until);
  worker_.places.changed();
}

bool WorkerPool::close_idle() {
  if (!idle_.empty()) {
    idle_.pop_front();
    return true;
  }
  const auto idle = std::find_if(sessions_.begin(), sessions_.end(),
                                 [](const auto& session) { return session->open_streams() == 0; });
  if (idle == sessions_.end()) return false;
  (*idle)->close();
  sessions_.erase(idle);
  return true;
}

void WorkerPool::sweep() {
  const auto now = std::chrono::steady_clock::now();
  std::erase_if(idle_, [now](const auto& connection) { return connection->usable_until <= now; });
  if (!idle_.empty()) sweep_timer_.set(now + shared_->options.idle_max);
}

asio::awaitable<Result<std::vector<tcp::endpoint>>> WorkerPool::resolve() {
  const auto& options = shared_->options;
  error_code failed;
  const auto literal = asio::ip::make_address(options.host, failed);
  if (!failed) co_return std::vector<tcp::endpoint>{tcp::endpoint(literal, options.port)};
  if (std::chrono::steady_clock::now() < endpoints_until_) co_return endpoints_;
  tcp::resolver resolver(worker_.io);
  const auto [unresolved, found] =
      co_await resolver.async_resolve(options.host, std::to_string(options.port), as_values);
  if (unresolved) {
    co_return Error(Code::refused_connection, "the host name '" + options.host + "' cannot be resolved: " +
                                                  unresolved.message() + connect_advice(shared_->address));
  }
  std::vector<tcp::endpoint> endpoints;
  for (const auto& entry : found) endpoints.push_back(entry.endpoint());
  endpoints_ = endpoints;
  endpoints_until_ = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  co_return endpoints;
}

asio::awaitable<Result<UpstreamConnectionPtr>> WorkerPool::wait_for_place(Deadline deadline, bool reuse) {
  auto& places = worker_.places;
  UpstreamPlaces::Turn turn(places);
  bool late = false;
  DeadlineTimer timer(worker_.deadlines, [&] {
    late = true;
    turn.changed().notify();
  });
  // What is sent then has the other half.
  const auto now = std::chrono::steady_clock::now();
  timer.set(now + (deadline - now) / 2);
  for (;;) {
    if (turn.first()) {
      if (auto idle = reuse ? youngest_idle(Reuse::any) : nullptr) co_return idle;
      if (places.full()) worker_.close_idle_connection();
      if (!places.full()) co_return UpstreamConnectionPtr();
    }
    if (late) co_return too_many(shared_->address);
    co_await turn.changed().wait();
  }
}

asio::awaitable<Result<UpstreamConnectionPtr>> WorkerPool::connect(Deadline deadline, ClientProtocol protocol,
                                                                   Reuse reuse) {
  const auto shared = shared_;  // this pool may be cleared while we wait
  const auto& options = shared->options;
  if (worker_.places.full() || worker_.places.awaited()) {
    auto waited = co_await wait_for_place(deadline, protocol == ClientProtocol::http1 && reuse == Reuse::any);
    if (!waited || *waited) co_return waited;
  }
  UpstreamPlaces::Place place(worker_.places);
  auto resolved = co_await resolve();
  if (!resolved) co_return resolved.error();
  deadline = std::min(deadline, std::chrono::steady_clock::now() + options.connect_timeout);
  std::string why = "no address";
  for (const auto& endpoint : *resolved) {
    const int fd = ::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) co_return too_many(shared->address);
    if (fd < 0) {
      why = error_code(errno, boost::system::system_category()).message();
      continue;
    }
    const bool waits = ::connect(fd, endpoint.data(), static_cast<socklen_t>(endpoint.size())) != 0;
    error_code failed(waits && errno != EINPROGRESS ? errno : 0, boost::system::system_category());
    auto connection = std::make_unique<UpstreamConnection>(worker_, fd);
    bool late = false;
    DeadlineTimer timer(worker_.deadlines, [&] {
      late = true;
      connection->stream.close();
    });
    timer.set(deadline);
    if (waits && !failed) {
      if (!co_await connection->stream.wait_writable()) failed = asio::error::operation_aborted;
      int problem = 0;
      socklen_t size = sizeof problem;
      if (!failed && ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size) == 0)
        failed.assign(problem, boost::system::system_category());
    }
    if (failed || late) {
      why = late ? "no answer in time" : failed.message();
      continue;
    }
    if (options.tls.enabled) {
      auto context = shared->tls(protocol);
      if (!context) co_return Error(Code::refused_connection, context.error().message);
      const auto& name = options.tls.server_name.empty() ? options.host : options.tls.server_name;
      const auto unsafe = co_await connection->stream.handshake_client(**context, name);
      if (unsafe || late) {
        co_return Error(Code::refused_connection,
                        "TLS with " + shared->address + " as '" + name +
                            "' failed: " + (late ? "no answer in time" : unsafe.message()) +
                            ". Nothing was sent. Check the certificate, tls.ca and tls.server_name.");
      }
      if (protocol == ClientProtocol::http2 && !connection->stream.negotiated_http2()) {
        co_return Error(Code::refused_connection,
                        shared->address + " does not speak HTTP/2 under TLS (ALPN). Nothing was sent.");
      }
    }
    timer.clear();
    connection->place = std::move(place);
    co_return connection;
  }
  endpoints_until_ = {};
  co_return Error(Code::refused_connection,
                  "cannot connect to " + shared->address + ": " + why + connect_advice(shared->address));
}

}  // namespace vmproxy::net
