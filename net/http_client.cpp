#include "net/http_client.h"

#include "net/blocking_stream.h"
#include "net/body_framer.h"
#include "net/buffer.h"
#include "net/connection_gate.h"

namespace vmproxy::net {
namespace {

struct ClientConnection {
  explicit ClientConnection(std::unique_ptr<BlockingStream> s) : stream(std::move(s)) {}
  std::unique_ptr<BlockingStream> stream;
  Buffer buffer;
};

std::string head_text(const Request& request, const UpstreamOptions& options) {
  std::string head =
      request.method + " " + (request.target.empty() ? "/" : request.target) + " HTTP/1.1\r\nHost: ";
  const bool ipv6 = options.host.find(':') != std::string::npos;
  head += ipv6 ? "[" + options.host + "]" : options.host;
  if (options.port != (options.tls.enabled ? 443 : 80)) head += ":" + std::to_string(options.port);
  head += "\r\n";
  for (const auto& [name, value] : request.headers.all()) {
    if (equal_ignoring_case(name, "host") || equal_ignoring_case(name, "content-length") ||
        equal_ignoring_case(name, "transfer-encoding") || equal_ignoring_case(name, "connection")) {
      continue;
    }
    head += name + ": " + value + "\r\n";
  }
  const bool bodiless = request.body.empty() &&
                        (request.method == "GET" || request.method == "HEAD" || request.method == "DELETE");
  if (!bodiless) head += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
  return head + "\r\n";
}

bool well_formed(const Request& request) {
  if (!is_token(request.method)) return false;
  for (const char c : request.target) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f) return false;
  }
  for (const auto& [name, value] : request.headers.all()) {
    if (!is_token(name) || !is_field_value(value)) return false;
  }
  return true;
}

}  // namespace

struct HttpClient::State {
  State(UpstreamOptions o, size_t connections_max)
      : options(std::move(o)),
        gate(connections_max),
        address(options.host + ":" + std::to_string(options.port)) {
    if (!options.tls.enabled) return;
    auto made = client_tls(options.tls, ClientProtocol::http1);
    if (made) {
      tls = *made;
    } else {
      tls_problem = made.error();
    }
  }

  Error within(const Error& error, std::string_view what) const {
    return {error.code, address + ": " + error.message + std::string(what)};
  }
  Result<std::unique_ptr<ClientConnection>> send_on_some(const Request& request, Deadline deadline);
  Result<Response> read_answer(ClientConnection& connection, const Request& request, Deadline deadline,
                               uint64_t bytes_max, Duration& usable_for);
  Result<size_t> read_more(ClientConnection& connection, Deadline deadline) {
    const auto room = connection.buffer.space(64 * 1024);
    auto bytes = connection.stream->read_some(room, deadline);
    if (!bytes) return within(bytes.error(), ". The request may have been executed there.");
    connection.buffer.filled(*bytes);
    return *bytes;
  }

  const UpstreamOptions options;
  ConnectionGate<ClientConnection> gate;
  const std::string address;
  TlsContext tls;
  std::optional<Error> tls_problem;
};

HttpClient::HttpClient(UpstreamOptions options, size_t connections_max)
    : state_(std::make_unique<State>(std::move(options), connections_max)) {}
HttpClient::~HttpClient() = default;

Result<Response> HttpClient::send(const Request& request, Deadline deadline, uint64_t response_bytes_max) {
  State& state = *state_;
  if (!well_formed(request))
    return Error(Code::invalid, "the request to " + state.address +
                                    " holds characters that HTTP does not allow. Nothing was sent.");
  if (state.tls_problem) return Error(Code::refused_connection, state.tls_problem->message);
  if (std::chrono::steady_clock::now() >= deadline) {
    return Error(Code::cancelled,
                 "the deadline of a request to " + state.address + " had passed. Nothing was sent.");
  }
  if (!state.gate.enter(deadline)) {
    return Error(Code::refused_connection,
                 "all connections to " + state.address + " were busy until the deadline. Nothing was sent.");
  }
  Duration usable_for{};
  auto connection = state.send_on_some(request, deadline);
  Result<Response> answer =
      connection ? state.read_answer(**connection, request, deadline, response_bytes_max, usable_for)
                 : Result<Response>(connection.error());
  if (answer) state.gate.put_back(std::move(*connection), usable_for);
  state.gate.leave();
  return answer;
}

Result<std::unique_ptr<ClientConnection>> HttpClient::State::send_on_some(const Request& request,
                                                                          Deadline deadline) {
  const std::string head = head_text(request, options);
  for (;;) {
    auto connection = gate.take();
    const bool reused = connection != nullptr;
    if (reused && !connection->stream->quiet()) continue;
    if (!reused) {
      auto stream = BlockingStream::connect(options, tls, deadline);
      if (!stream) return stream.error();
      connection = std::make_unique<ClientConnection>(std::move(*stream));
    }
    size_t sent = 0;
    Result<void> written;
    if (request.body.size() <= 64 * 1024) {
      written = connection->stream->write(head + request.body, deadline, &sent);  // one packet, one wake-up
    } else {
      written = connection->stream->write(head, deadline, &sent);
      if (written) written = connection->stream->write(request.body, deadline, &sent);
    }
    if (written || (written.error().code == Code::connection_lost && sent > 0))
      return connection;                // its answer may be there
    if (reused && sent == 0) continue;  // it was dead: not one byte left
    return within(written.error(), ". The request may have been executed there.");
  }
}

Result<Response> HttpClient::State::read_answer(ClientConnection& connection, const Request& request,
                                                Deadline deadline, uint64_t bytes_max, Duration& usable_for) {
  const auto garbage = [&](std::string_view why) {
    return Error(Code::connection_lost, address + " answered with something that is not HTTP/1.1 (" +
                                            std::string(why) +
                                            "). The request may have been executed there.");
  };
  const auto too_large = [&] {
    return Error(Code::too_large, "the answer of " + address + " is larger than " +
                                      std::to_string(bytes_max) + " bytes. The request was executed there.");
  };
  Buffer& buffer = connection.buffer;
  Http1Head head;
  for (size_t scanned = 0;;) {
    const auto found = scan_head(buffer.bytes(), scanned);
    if (found == HeadScan::bad) return garbage("a line that does not end with CRLF");
    if (found == HeadScan::complete) {
      if (!parse_response_head(buffer.bytes().substr(0, scanned), request.method, head))
        return garbage(head.problem);
      if (head.status >= 200) break;
      if (head.status == 101) return garbage("it switched protocols");
      buffer.consume(scanned);
      scanned = 0;
      continue;
    }
    if (buffer.size() > 256 * 1024) return garbage("its head is larger than 256 KiB");
    auto bytes = read_more(connection, deadline);
    if (!bytes) return bytes.error();
    if (*bytes == 0)
      return Error(
          Code::connection_lost,
          address + " closed the connection before its answer. The request may have been executed there.");
  }
  Response response;
  response.status = head.status;
  response.headers = headers_of(head);
  BodyFramer framer(head);
  if (framer.kind() == BodyKind::length) {
    if (head.length > bytes_max) return too_large();
    response.body.reserve(std::min<size_t>(head.length, 16u << 20));
  }
  buffer.consume(head.raw.size());
  for (;;) {
    buffer.consume(framer.take(buffer.bytes(), &response.body));
    if (framer.bad()) return garbage("a malformed chunk");
    if (response.body.size() > bytes_max) return too_large();
    if (framer.complete()) break;
    auto bytes = read_more(connection, deadline);
    if (!bytes) return bytes.error();
    if (*bytes == 0) {
      framer.peer_ended();
      if (!framer.complete())
        return Error(Code::connection_lost, address +
                                                " closed the connection in the middle of its answer. The "
                                                "request may have been executed there.");
    }
  }
  if (head.keep_alive && buffer.empty()) {
    usable_for = options.idle_max;
    if (head.keep_alive_timeout > Duration{})
      usable_for = std::min<Duration>(usable_for, head.keep_alive_timeout - std::chrono::seconds(1));
  }
  buffer.shrink();
  return response;
}

}  // namespace vmproxy::net
