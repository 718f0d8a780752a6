#include "control.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "connection.h"

namespace vmproxy::faultproxy {

using namespace net;
namespace json = boost::json;

namespace {

constexpr uint64_t requests_max = 1000;  // of the log, in one answer

json::object bytes_of(const DirectionCounts& counts) {
  return {{"arrived_bytes", counts.arrived_bytes}, {"passed_bytes", counts.passed_bytes}};
}

json::object counts_of(const Counts& counts) {
  return {{"accepted", counts.accepted},
          {"open", counts.open},
          {"connect_failed", counts.connect_failed},
          {"cut", counts.cut},
          {"reset", counts.reset},
          {"duplicated", counts.duplicated},
          {"to_upstream", bytes_of(counts.to_upstream)},
          {"to_client", bytes_of(counts.to_client)}};
}

json::object request_of(const LoggedRequest& request) {
  json::array headers;
  for (const auto& [name, value] : request.headers) headers.push_back(json::array{name, value});
  return {{"link", request.link},
          {"connection", request.connection},
          {"stage", name_of(request.stage)},
          {"protocol", request.protocol},
          {"stream", request.stream},
          {"method", request.method},
          {"target", request.target},
          {"headers", std::move(headers)},
          {"body_bytes", request.body_bytes},
          {"body_crc32", request.body_crc32},
          {"complete", request.complete},
          {"at", request.at},
          {"reset", request.reset}};
}

std::string text(const json::object& request, std::string_view name) {
  const auto* value = request.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

// "faults" are those of one direction and replace them; "refuse" and "duplicate" are the link's. What is absent stays.
Result<void> set(FaultProxy& proxy, const json::object& request) {
  const auto link = text(request, "link");
  auto kept = proxy.faults(link);
  if (!kept) return kept.error();
  LinkFaults faults = *kept;
  for (const auto& [name, value] : request) {
    if (name == "do" || name == "link" || name == "direction") continue;
    if (name == "faults" && value.is_object()) {
      const auto direction = read_direction(text(request, "direction"));
      if (!direction) return direction.error();
      const auto read = read_faults(value.get_object());
      if (!read) return read.error();
      faults.of(*direction) = *read;
    } else if (name == "refuse" && value.is_bool()) {
      faults.refuse = value.get_bool();
    } else if (name == "duplicate" && value.is_null()) {
      faults.duplicate.reset();
    } else if (name == "duplicate" && value.is_object()) {
      const auto read = read_duplicate(value.get_object());
      if (!read) return read.error();
      faults.duplicate = *read;
    } else {
      return Error(Code::invalid, "unknown or wrong field '" + std::string(name.data(), name.size()) + "'");
    }
  }
  return proxy.set(link, faults);
}

Result<void> reset(FaultProxy& proxy, const json::object& request) {
  if (!request.contains("direction")) return proxy.reset(text(request, "link"));
  const auto direction = read_direction(text(request, "direction"));
  if (!direction) return direction.error();
  return proxy.reset(text(request, "link"), *direction);
}

Result<void> half_close(FaultProxy& proxy, const json::object& request) {
  const auto direction = read_direction(text(request, "direction"));
  if (!direction) return direction.error();
  return proxy.half_close(text(request, "link"), *direction);
}

void add_counts(FaultProxy& proxy, json::object& out) {
  json::object links;
  for (const auto& [name, port] : proxy.ports()) {
    auto counts = counts_of(*proxy.counts(name));
    counts["port"] = port;
    links[name] = std::move(counts);
  }
  out["links"] = std::move(links);
}

// The number of an entry that the request names, or `otherwise`.
Result<uint64_t> entry(const json::object& request, std::string_view name, uint64_t otherwise) {
  const auto* value = request.if_contains(name);
  if (value == nullptr) return otherwise;
  if (!value->is_int64() || value->get_int64() < 0)
    return Error(Code::invalid, std::string(name) + " is not a number of an entry");
  return static_cast<uint64_t>(value->get_int64());
}

Result<void> forget(FaultProxy& proxy, const json::object& request) {
  const auto below = entry(request, "below", proxy.log().end());
  if (!below) return below.error();
  proxy.log().forget(*below);
  return {};
}

Result<void> add_log(FaultProxy& proxy, const json::object& request, json::object& out) {
  auto& log = proxy.log();
  const auto from = entry(request, "from", log.first());
  if (!from) return from.error();
  uint64_t number = std::max(log.first(), *from);
  const uint64_t end = std::max(number, std::min(log.end(), number + requests_max));
  json::array requests;
  for (; number < end; ++number) requests.push_back(request_of(*log.find(number)));
  out["requests"] = std::move(requests);
  out["next"] = number;
  out["end"] = log.end();
  out["dropped"] = log.dropped();
  return {};
}

Result<void> obey(FaultProxy& proxy, const json::object& request, json::object& out) {
  const auto what = text(request, "do");
  if (what == "set") return set(proxy, request);
  if (what == "clear") return request.contains("link") ? proxy.set(text(request, "link"), {}) : proxy.clear();
  if (what == "reset") return reset(proxy, request);
  if (what == "half_close") return half_close(proxy, request);
  if (what == "log") return add_log(proxy, request, out);
  if (what == "counts") {
    add_counts(proxy, out);
    return {};
  }
  if (what == "forget") return forget(proxy, request);
  return Error(Code::invalid, "do is none of set, clear, reset, half_close, counts, log, forget");
}

}  // namespace

json::object answer_control(FaultProxy& proxy, std::string_view line) {
  json::object out;
  json::error_code failed;
  const auto request = json::parse(json::string_view(line.data(), line.size()), failed);
  Result<void> done = Error(Code::invalid, "not a JSON object");
  if (!failed && request.is_object()) done = obey(proxy, request.get_object(), out);
  out["ok"] = done.has_value();
  if (!done) out["error"] = done.error().message;
  return out;
}

Result<uint16_t> Control::listen(uint16_t port) {
  error_code failed;
  acceptor_.open(tcp::v4(), failed);
  if (!failed) acceptor_.set_option(tcp::acceptor::reuse_address(true), failed);
  if (!failed) acceptor_.bind({asio::ip::address_v4::loopback(), port}, failed);
  if (!failed) acceptor_.listen(asio::socket_base::max_listen_connections, failed);
  if (failed) return Error(Code::io, "control port " + std::to_string(port) + ": " + failed.message());
  asio::co_spawn(acceptor_.get_executor(), accept(*this), rethrow);
  return acceptor_.local_endpoint().port();
}

asio::awaitable<void> Control::accept(Control& self) {
  for (;;) {
    auto [failed, socket] = co_await self.acceptor_.async_accept(as_values);
    if (failed == asio::error::operation_aborted) co_return;
    if (failed || self.sessions_ >= sessions_max) continue;
    ++self.sessions_;
    asio::co_spawn(self.acceptor_.get_executor(), serve(self, std::move(socket)), rethrow);
  }
}

asio::awaitable<void> Control::serve(Control& self, tcp::socket socket) {
  std::string lines;
  for (bool open = true; open;) {
    const auto [failed, bytes] =
        co_await asio::async_read_until(socket, asio::dynamic_buffer(lines, line_bytes_max), '\n', as_values);
    if (failed) break;
    const auto out =
        json::serialize(answer_control(self.proxy_, std::string_view(lines).substr(0, bytes))) + "\n";
    lines.erase(0, bytes);
    const auto [unsent, sent] = co_await asio::async_write(socket, asio::buffer(out), as_values);
    open = !unsent;
  }
  --self.sessions_;
}

}  // namespace vmproxy::faultproxy
